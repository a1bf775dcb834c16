//! A machine: a network namespace that goes with this value.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A machine.
pub struct Machine(String);

// === impl Machine ===

impl Machine {
    /// Named after this process.
    pub fn new(prefix: &str) -> Self {
        let machine = Self(format!("{prefix}{}", std::process::id()));
        ip(&format!("netns add {}", machine.0));
        machine.ip("link set lo up");
        machine
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(self.name())
    }

    /// Runs `ip` in it.
    pub fn ip(&self, words: &str) {
        ip(&format!("-n {} {words}", self.0));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The router's has gone already, unless something failed.
        for name in [format!("{}r", self.name()), self.name().to_owned()] {
            let _ = Command::new("ip").args(["netns", "delete", &name]).output();
        }
    }
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().expect("iproute2");
    assert!(status.success(), "ip {words} (this needs root)");
}
