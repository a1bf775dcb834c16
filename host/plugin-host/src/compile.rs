//! From a component's bytes to native code, in a child process with limits.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::{self, LoadError};
use crate::engine::{Profile, engine};

/// How long a component may take to compile, on a machine that has other work too: what
/// it takes of the processor has a bound of its own, 60 s at most.
pub const COMPILE_TIMEOUT: Duration = Duration::from_secs(600);
/// Address space of the compiling child.
const CHILD_MEMORY: u64 = 4 << 30;
/// CPU time of the compiling child, in seconds: so much, and more for each MiB…
const CHILD_CPU: u64 = 6;
/// …this much, …
const CHILD_CPU_PER_MIB: u64 = 4;
/// …up to this.
const CHILD_CPU_MAX: u64 = 60;
/// The largest file that the child writes.
const CHILD_FILE: u64 = 1 << 30;
/// What is kept of the child's complaint.
const COMPLAINT_MAX: u64 = 4 << 10;
/// How often the child is looked at.
const CHILD_POLL: Duration = Duration::from_millis(2);

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Too large.
    #[error("the component has {size} bytes; at most {max} are taken")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The most.
        max: usize,
    },
    /// The bytes are not those of the digest.
    #[error("the component's digest is {found}, not {wanted}")]
    WrongDigest {
        /// As named.
        wanted: String,
        /// Of the bytes.
        found: String,
    },
    /// The compiler refused it.
    #[error("the component does not compile: {0}")]
    Refused(String),
    /// It took too long.
    #[error(
        "the component was not compiled within {} s, and it needs {CHILD_CPU_MAX} s of a processor \
         at most: this machine is too busy, try again",
        COMPILE_TIMEOUT.as_secs()
    )]
    TooSlow,
    /// The child could not run, or a file not be written.
    #[error("cannot compile components: {0}")]
    Machine(#[from] io::Error),
    /// What was compiled does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The engine does not start on this machine.
    #[error("the Wasm engine does not start: {0}")]
    Engine(String),
}

/// Compiles components, once each, and keeps the result.
#[derive(Clone)]
pub struct Compiler(Arc<Inner>);

struct Inner {
    method: Method,
    cache: PathBuf,
    key: [u8; 32],
}

enum Method {
    Child { exe: PathBuf, before: Vec<OsString> },
    InProcess,
}

// === impl Compiler ===

impl Compiler {
    /// Compiles in children `exe compile-component PROFILE IN OUT`, which must run
    /// [`compile_child`]. Results are kept in `cache`, authenticated with the
    /// node's key.
    pub fn new(exe: PathBuf, cache: PathBuf, node_key: [u8; 32]) -> Self {
        Self::with_arguments(exe, Vec::new(), cache, node_key)
    }

    /// As [`Compiler::new`], with arguments before `compile-component`.
    pub fn with_arguments(
        exe: PathBuf,
        before: Vec<OsString>,
        cache: PathBuf,
        node_key: [u8; 32],
    ) -> Self {
        let method = Method::Child { exe, before };
        Self::by(method, cache, node_key)
    }

    /// Compiles on the calling thread, without limits: for simulations, benchmarks
    /// and tests, which trust what they load.
    pub fn in_process(cache: PathBuf, node_key: [u8; 32]) -> Self {
        Self::by(Method::InProcess, cache, node_key)
    }

    fn by(method: Method, cache: PathBuf, key: [u8; 32]) -> Self {
        Self(Arc::new(Inner { method, cache, key }))
    }

    /// The key of the cache's MACs.
    pub fn key(&self) -> &[u8; 32] {
        &self.0.key
    }

    /// The authenticated native code of a component; compiled now unless it was
    /// before. Blocks for at most [`COMPILE_TIMEOUT`].
    ///
    /// # Errors
    /// When the bytes are too many, not of this digest, or no valid component.
    pub fn compiled(
        &self,
        profile: Profile,
        digest: &str,
        wasm: &[u8],
    ) -> Result<PathBuf, CompileError> {
        let engine = engine(profile).map_err(engine_error)?;
        let path = self.path(profile, digest, &engine);
        if cache::verify(&self.0.key, &path).is_err() {
            self.compile(&engine, profile, digest, wasm, &path)?;
        }
        Ok(path)
    }

    /// Compiles, or finds, and maps a component.
    ///
    /// # Errors
    /// As [`Compiler::compiled`].
    pub fn component(
        &self,
        engine: &Engine,
        profile: Profile,
        digest: &str,
        wasm: &[u8],
    ) -> Result<Component, CompileError> {
        let path = self.path(profile, digest, engine);
        if let Ok(component) = cache::load(engine, &self.0.key, &path) {
            return Ok(component);
        }
        self.compile(engine, profile, digest, wasm, &path)?;
        Ok(cache::load(engine, &self.0.key, &path)?)
    }

    fn compile(
        &self,
        engine: &Engine,
        profile: Profile,
        digest: &str,
        wasm: &[u8],
        path: &Path,
    ) -> Result<(), CompileError> {
        let max = profile.component_max();
        if wasm.len() > max {
            return Err(CompileError::TooLarge { size: wasm.len(), max });
        }
        let found = digest_of(wasm);
        if found != digest {
            return Err(CompileError::WrongDigest { wanted: digest.to_owned(), found });
        }
        cache::create_folder(&self.0.cache)?;
        let code = match &self.0.method {
            Method::Child { exe, before } => self.in_child(exe, before, profile, wasm)?,
            Method::InProcess => engine
                .precompile_component(wasm)
                .map_err(|error| CompileError::Refused(format!("{error:#}")))?,
        };
        cache::store(&self.0.key, path, &code)?;
        Ok(())
    }

    /// Named by content and by engine: another wasmtime makes another file.
    fn path(&self, profile: Profile, digest: &str, engine: &Engine) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let content = digest.trim_start_matches("sha256:");
        self.0.cache.join(format!("{content}-{}-{:016x}.cwasm", profile.as_str(), hasher.finish()))
    }

    fn in_child(
        &self,
        exe: &Path,
        before: &[OsString],
        profile: Profile,
        wasm: &[u8],
    ) -> Result<Vec<u8>, CompileError> {
        let mut input = tempfile::NamedTempFile::new_in(&self.0.cache)?;
        input.write_all(wasm)?;
        let output = tempfile::NamedTempFile::new_in(&self.0.cache)?;
        let mut child = Command::new(exe)
            .args(before)
            .args(["compile-component", profile.as_str()])
            .args([input.path(), output.path()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let complaint = collect(&mut child)?;
        let status = wait(&mut child)?;
        let complaint = complaint.join().unwrap_or_default();
        match status {
            None => Err(CompileError::TooSlow),
            Some(status) if status.success() => Ok(fs::read(output.path())?),
            Some(status) if complaint.trim().is_empty() => Err(CompileError::Refused(format!(
                "the compiler ended with {status}: it was out of time or memory"
            ))),
            Some(_) => Err(CompileError::Refused(complaint.trim().to_owned())),
        }
    }
}

/// Reads the child's complaint beside it, so that a full pipe never blocks it.
fn collect(child: &mut Child) -> io::Result<thread::JoinHandle<String>> {
    let stderr = child.stderr.take();
    thread::Builder::new().name("compile-complaint".to_owned()).spawn(move || {
        let Some(mut stderr) = stderr else {
            return String::new();
        };
        let mut text = Vec::new();
        let kept = stderr.by_ref().take(COMPLAINT_MAX).read_to_end(&mut text);
        let dropped = io::copy(&mut stderr, &mut io::sink());
        match kept.and(dropped.map(|_| 0)) {
            Ok(_) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => error.to_string(),
        }
    })
}

/// `None` when it took too long and was ended.
fn wait(child: &mut Child) -> io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + COMPILE_TIMEOUT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(CHILD_POLL);
    }
}

/// `sha256:` and the hexadecimal digits.
pub fn digest_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn engine_error(error: wasmtime::Error) -> CompileError {
    CompileError::Engine(format!("{error:#}"))
}

/// What the hidden subcommand `compile-component PROFILE IN OUT` runs: limits
/// itself, then compiles IN to OUT. The error is for standard error.
///
/// # Errors
/// When the arguments are wrong, a file cannot be read or written, or the input
/// is no valid component.
pub fn compile_child(arguments: &[OsString]) -> Result<(), CompileError> {
    let [profile, input, output] = arguments else {
        return Err(CompileError::Refused("usage: compile-component PROFILE IN OUT".to_owned()));
    };
    let profile = profile
        .to_str()
        .and_then(Profile::parse)
        .ok_or_else(|| CompileError::Refused("the profiles are policy and task".to_owned()))?;
    let wasm = fs::read(input)?;
    let cpu = CHILD_CPU + CHILD_CPU_PER_MIB * (wasm.len() as u64 >> 20);
    for (resource, limit) in [
        (Resource::As, CHILD_MEMORY),
        (Resource::Cpu, cpu.min(CHILD_CPU_MAX)),
        (Resource::Fsize, CHILD_FILE),
        (Resource::Core, 0),
    ] {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        setrlimit(resource, limit).map_err(io::Error::from)?;
    }
    let code = engine(profile)
        .map_err(engine_error)?
        .precompile_component(&wasm)
        .map_err(|error| CompileError::Refused(format!("{error:#}")))?;
    fs::write(output, code)?;
    Ok(())
}
