//! What every node runs: the session with the leader, the task machine, the
//! executors, and the node's end of published ports.
//!
//! [`Agent`] is the front door. `machine.rs` decides what to do next with a task
//! and is pure; `runner.rs` does it through an [`Executor`]; `session.rs` talks to
//! the leader; `store.rs` remembers tasks over restarts, so that running ones are
//! adopted; `volumes` does what volume drivers plan; `secrets` shows tasks their
//! secrets and configs; `net` has the kernel and the engine join containers to networks,
//! and `forward` leads components to them. This room knows nothing of Raft, the state or HTTP.

mod agent;
mod credentials;
mod describe;
mod docker;
mod doctor;
mod equipment;
mod executor;
mod forward;
mod images;
mod logs;
mod machine;
mod net;
mod no_engine;
mod port_list;
mod process;
mod reach;
mod repairs;
mod runner;
mod secrets;
mod session;
mod store;
mod template;
mod traffic;
mod volumes;
mod wasm;
mod worker;

pub use agent::{Agent, AgentConfig, Place, Welcomed};
pub use describe::{describe_machine, engine_answers};
pub use docker::{ContainersService, LeftOnEngine, Resident, Shadow, Shadows, clear_left};
pub use doctor::DoctorService;
pub use equipment::{Executors, Runs};
pub use executor::{Executor, Exit, Found, Leaves, Started, TaskError};
pub use forward::Forwarded;
pub use logs::{Line, LogOptions, LogStream, Output};
pub use net::{NetworkView, network_driver};
pub use repairs::Repairs;
pub use swarmw_names::Counts as NameQueries;
pub use traffic::TunnelService;
pub use volumes::run_volume_warden;
pub use wasm::{TaskFigures, WasmExecutor, measure_wasm_tasks, run_wasm_tasks};
