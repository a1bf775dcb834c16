//! A component's native code. Whoever serves the same bytes shares it, so that a plugin
//! that is disabled, or has other powers, needs no compiler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime::component::Component;

use crate::compile::CompileError;
use crate::engine::Profile;
use crate::host::Runtime;
use crate::no_answer::NoAnswer;

/// A component, compiled or to be compiled.
pub struct Code {
    digest: String,
    bytes: Bytes,
    stands: Mutex<Stands>,
    /// Whether somebody compiles it, or has promised to.
    claimed: AtomicBool,
}

enum Stands {
    Waits,
    Ready(Component),
    Failed(String),
}

/// The promise to compile a component; it is given back when this is dropped.
pub struct Claim(Arc<Code>);

// === impl Code ===

impl Code {
    /// A component that is not compiled yet.
    pub fn new(digest: &str, bytes: Bytes) -> Self {
        Self {
            digest: digest.to_owned(),
            bytes,
            stands: Mutex::new(Stands::Waits),
            claimed: AtomicBool::new(false),
        }
    }

    /// Its content's digest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes of the component.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// What is called, if it is there.
    ///
    /// # Errors
    /// It is not compiled yet, or could not be.
    pub fn component(&self) -> Result<Component, NoAnswer> {
        match &*self.stands() {
            Stands::Waits => Err(NoAnswer::NotYet),
            Stands::Ready(component) => Ok(component.clone()),
            Stands::Failed(why) => {
                Err(NoAnswer::NotCalled(format!("is not compiled on this node: {why}")))
            }
        }
    }

    /// Whether it is compiled.
    pub fn is_ready(&self) -> bool {
        matches!(*self.stands(), Stands::Ready(_))
    }

    /// Whether it was tried to compile it.
    pub fn is_settled(&self) -> bool {
        !matches!(*self.stands(), Stands::Waits)
    }

    /// Compiles it, or finds it compiled. Blocks for as long as that takes; whoever calls
    /// it meanwhile does not.
    ///
    /// # Errors
    /// It does not compile. Until the next try all calls are told so.
    pub fn compile(&self, runtime: &Runtime) -> Result<(), CompileError> {
        if self.is_ready() {
            return Ok(());
        }
        let engine = &runtime.engine;
        let found = runtime.compiler.component(engine, Profile::Policy, &self.digest, &self.bytes);
        let (stands, outcome) = match found {
            Ok(component) => (Stands::Ready(component), Ok(())),
            Err(error) => (Stands::Failed(error.to_string()), Err(error)),
        };
        *self.stands() = stands;
        outcome
    }

    fn stands(&self) -> MutexGuard<'_, Stands> {
        self.stands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Claim ===

impl Claim {
    /// Takes it on, unless it is compiled or somebody else has.
    pub fn of(code: &Arc<Code>) -> Option<Self> {
        let free = !code.is_ready() && !code.claimed.swap(true, Ordering::AcqRel);
        free.then(|| Self(Arc::clone(code)))
    }

    /// What is to be compiled.
    pub fn code(&self) -> &Arc<Code> {
        &self.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.claimed.store(false, Ordering::Release);
    }
}
