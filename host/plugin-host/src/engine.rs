//! Engines, and every limit a component runs under.

use std::time::Duration;

use wasmtime::{Config, Engine};

/// What a component is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// A plugin: pure, deterministic, no imports but the log.
    Policy,
    /// A task: WASI, its own process.
    Task,
}

/// The most memory of one plugin, in all its memories together.
pub const MEMORY: usize = 64 << 20;
/// The most elements of its tables, all together.
pub const TABLE_ELEMENTS: usize = 20_000;
/// The most core instances, tables and memories of one plugin; one in Python has 38
/// instances, as its libraries are linked when it starts.
pub const INSTANCES: usize = 64;
/// See [`INSTANCES`].
pub const TABLES: usize = 16;
/// See [`INSTANCES`].
pub const MEMORIES: usize = 4;
/// The deepest stack.
const STACK: usize = 512 << 10;
/// The most bytes that one call may hand to the host.
pub const HOSTCALL_FUEL: usize = 4 << 20;
/// The largest plugin that is added without the operator's word for it.
pub const COMPONENT: usize = 16 << 20;
/// The largest that is added with it.
pub const LARGE_COMPONENT: usize = 64 << 20;
/// The clock of budgets; see [`crate::ticker`].
pub const TICK: Duration = Duration::from_millis(1);

/// CPU time for describing, reading an expression, or checking settings.
pub const COMPILE_BUDGET: Duration = Duration::from_millis(50);
/// CPU time for verdicts and classes, and for each row of them.
pub const ROWS_BUDGET: Duration = Duration::from_millis(20);
/// See [`ROWS_BUDGET`].
pub const ROW_BUDGET: Duration = Duration::from_micros(1);
/// CPU time for sharing out tasks, and for each bin of them, of which an interpreter
/// needs most.
pub const ALLOCATE_BUDGET: Duration = Duration::from_millis(50);
/// See [`ALLOCATE_BUDGET`].
pub const BIN_BUDGET: Duration = Duration::from_micros(10);
/// CPU time for a step of an update.
pub const STEP_BUDGET: Duration = Duration::from_millis(100);
/// CPU time for a plan of a volume driver.
pub const VOLUME_BUDGET: Duration = Duration::from_millis(100);

impl Profile {
    /// As the command line of the compiling child has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Task => "task",
        }
    }

    /// Reads [`Profile::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Policy, Self::Task].into_iter().find(|profile| profile.as_str() == text)
    }

    /// The largest component, in bytes.
    pub const fn component_max(self) -> usize {
        match self {
            Self::Policy => LARGE_COMPONENT,
            Self::Task => 128 << 20,
        }
    }
}

/// The engine of a profile. Code compiled by one is loaded by any other of the
/// same profile and binary.
pub fn engine(profile: Profile) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    // Threads and garbage collection are not even compiled in.
    config
        .max_wasm_stack(STACK)
        .wasm_shared_everything_threads(false)
        .wasm_stack_switching(false)
        .wasm_component_model_async(false)
        .concurrency_support(false)
        .parallel_compilation(false);
    match profile {
        Profile::Policy => {
            config
                .epoch_interruption(true)
                .wasm_memory64(false)
                .relaxed_simd_deterministic(true)
                .cranelift_nan_canonicalization(true);
        }
        // A task is a process: the kernel interrupts it.
        Profile::Task => {
            config.max_wasm_stack(2 * STACK);
        }
    }
    Engine::new(&config)
}
