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
    /// Swap Bytes (-1 for unlimited)
    #[arg(long, value_name = "bytes", value_parser = swap, allow_hyphen_values = true)]
    memory_swap: Option<Bytes>,
    /// Tune memory swappiness (0-100), -1 to reset to default
    #[arg(long, value_name = "int", value_parser = int, allow_hyphen_values = true)]
    memory_swappiness: Option<i64>,
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
        if let Some(Bytes(swap)) = self.memory_swap {
            resources.swap_bytes = Some(swap);
        }
        if let Some(swappiness) = self.memory_swappiness {
            resources.memory_swappiness = (swappiness != -1).then_some(swappiness);
        }
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

/// A size, or -1.
fn swap(text: &str) -> Result<Bytes, String> {
    match text {
        "-1" => Ok(Bytes(-1)),
        size => bytes(size),
    }
}

fn set(field: &mut i64, value: Option<i64>) {
    if let Some(value) = value {
        *field = value;
    }
}
