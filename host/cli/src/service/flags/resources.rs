//! `--limit-*`, `--reserve-*`

use swarmw_model::ResourceRequirements;

use crate::parse::{Bytes, Cpus, bytes, cpus, int};

/// What a task reserves and is held to.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct ResourceFlags {
    /// Limit CPUs
    #[arg(long, value_name = "decimal", value_parser = cpus)]
    limit_cpu: Option<Cpus>,
    /// Limit Memory
    #[arg(long, value_name = "bytes", value_parser = bytes)]
    limit_memory: Option<Bytes>,
    /// Limit maximum number of processes (default 0 = unlimited)
    #[arg(long, value_name = "int", value_parser = int)]
    limit_pids: Option<i64>,
    /// Reserve CPUs
    #[arg(long, value_name = "decimal", value_parser = cpus)]
    reserve_cpu: Option<Cpus>,
    /// Reserve Memory
    #[arg(long, value_name = "bytes", value_parser = bytes)]
    reserve_memory: Option<Bytes>,
}

// === impl ResourceFlags ===

impl ResourceFlags {
    pub(super) fn apply(&self, resources: &mut Option<ResourceRequirements>) {
        if *self == Self::default() {
            return;
        }
        let resources = resources.get_or_insert_default();
        if self.limit_cpu.is_some() || self.limit_memory.is_some() || self.limit_pids.is_some() {
            let limits = resources.limits.get_or_insert_default();
            set(&mut limits.nano_cpus, self.limit_cpu.map(|cpus| cpus.0));
            set(&mut limits.memory_bytes, self.limit_memory.map(|b| b.0));
            set(&mut limits.pids, self.limit_pids);
        }
        if self.reserve_cpu.is_some() || self.reserve_memory.is_some() {
            let reserved = resources.reservations.get_or_insert_default();
            set(&mut reserved.nano_cpus, self.reserve_cpu.map(|cpus| cpus.0));
            set(&mut reserved.memory_bytes, self.reserve_memory.map(|b| b.0));
        }
    }
}

fn set(field: &mut i64, value: Option<i64>) {
    if let Some(value) = value {
        *field = value;
    }
}
