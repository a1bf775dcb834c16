//! `--health-*`, `--no-healthcheck`

use swarmw_model::{Duration, HealthCheck};

use crate::failure::Failure;
use crate::parse::{boolean, int, positive_duration};

/// How to tell whether a task is healthy.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct HealthFlags {
    /// Command to run to check health
    #[arg(long, value_name = "string")]
    health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = positive_duration)]
    health_interval: Option<Duration>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "int", value_parser = int)]
    health_retries: Option<i64>,
    /// Time between running the check during the start period (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = positive_duration)]
    health_start_interval: Option<Duration>,
    /// Start period for the container to initialize before counting retries towards unstable (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = positive_duration)]
    health_start_period: Option<Duration>,
    /// Maximum time to allow one check to run (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = positive_duration)]
    health_timeout: Option<Duration>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long, num_args(0..=1), require_equals = true, default_missing_value = "true",
        value_parser = boolean, value_name = "bool")]
    no_healthcheck: Option<bool>,
}

// === impl HealthFlags ===

impl HealthFlags {
    pub(super) fn apply(&self, check: &mut Option<HealthCheck>) -> Result<(), Failure> {
        let mut others = self.clone();
        others.no_healthcheck = None;
        let any = others != Self::default();
        if self.no_healthcheck == Some(true) {
            if any {
                return Err(Failure::new("--no-healthcheck conflicts with --health-* options"));
            }
            *check = Some(HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() });
            return Ok(());
        }
        let nothing = Self { health_cmd: Some(String::new()), ..Self::default() };
        if !any || check.is_none() && others == nothing {
            return Ok(());
        }
        let check = check.get_or_insert_default();
        if check.test.first().is_some_and(|word| word == "NONE") {
            check.test.clear();
        }
        if let Some(command) = &self.health_cmd {
            check.test = match command.as_str() {
                "" => Vec::new(),
                command => vec!["CMD-SHELL".to_owned(), command.to_owned()],
            };
        }
        for (field, value) in [
            (&mut check.interval, self.health_interval),
            (&mut check.timeout, self.health_timeout),
            (&mut check.start_period, self.health_start_period),
            (&mut check.start_interval, self.health_start_interval),
        ] {
            if let Some(value) = value {
                *field = value;
            }
        }
        if let Some(retries) = self.health_retries {
            check.retries = retries;
        }
        Ok(())
    }
}
