//! Output that tests can read back.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::io::Io;

/// What was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured {
    stdout: Buffer,
    stderr: Buffer,
}

#[derive(Clone, Debug, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

// === impl Captured ===

impl Captured {
    pub(crate) fn io(&self, is_tty: bool, columns: u16) -> Io {
        Io {
            stdout: Box::new(self.stdout.clone()),
            stderr: Box::new(self.stderr.clone()),
            is_tty,
            columns,
        }
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }
}

// === impl Buffer ===

impl Buffer {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
