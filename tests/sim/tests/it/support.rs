//! Clusters for stories.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use swarmw_model::Time;
use swarmw_sim::{Cluster, Happening, Settings};

/// Settings with components compiled once for all tests; `RUST_LOG` shows what nodes say.
pub fn settings() -> Settings {
    static LOG: Once = Once::new();
    LOG.call_once(|| {
        if std::env::var_os("RUST_LOG").is_some() {
            let filter = tracing_subscriber::EnvFilter::from_default_env();
            tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().init();
        }
    });
    Settings::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"))
}

/// Three managers, and so many workers.
pub async fn cluster(workers: usize) -> Cluster {
    Cluster::new(Settings { workers, ..settings() }).await
}

/// One manager, and so many workers: for stories that are not about managers.
pub async fn small(workers: usize) -> Cluster {
    Cluster::new(Settings { managers: 1, workers, ..settings() }).await
}

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub const fn span(seconds: i64) -> swarmw_model::Duration {
    swarmw_model::Duration::from_secs(seconds)
}

/// Seconds between one happening and the next.
pub fn gaps(happenings: &[Happening]) -> Vec<f64> {
    happenings.windows(2).map(|pair| seconds(pair[0].at, pair[1].at)).collect()
}

/// Seconds from one time to another.
pub fn seconds(from: Time, to: Time) -> f64 {
    to.since(from).as_nanos() as f64 / 1e9
}
