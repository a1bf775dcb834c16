//! What a Wasm task prints, line by line with the time, in two files of bounded
//! size: when the newer is full it becomes the older.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use swarmw_ambient::Ambient;
use swarmw_model::Time;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use super::folder::Folder;
use crate::logs::{Line, Output};

/// Bytes of each of the two files.
const FILE_MAX: u64 = 10 << 20;
/// The longest line kept in one piece.
const LINE_MAX: usize = 16 << 10;

/// Writes the log of one task.
#[derive(Clone)]
pub(crate) struct Writer(Arc<Mutex<Inner>>);

struct Inner {
    files: [PathBuf; 2],
    file: File,
    size: u64,
    /// The unfinished line of each output.
    partial: [Vec<u8>; 2],
}

/// One output of the component, as WASI wants it.
#[derive(Clone)]
pub(crate) struct Sink {
    writer: Writer,
    output: Output,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn open(folder: &Folder) -> io::Result<Self> {
        let files = folder.logs();
        let file = OpenOptions::new().create(true).append(true).open(&files[1])?;
        let size = file.metadata()?.len();
        let partial = Default::default();
        Ok(Self(Arc::new(Mutex::new(Inner { files, file, size, partial }))))
    }

    pub(crate) fn sink(&self, output: Output) -> Sink {
        Sink { writer: self.clone(), output }
    }

    /// Writes a line of our own to the standard error.
    pub(crate) fn note(&self, text: &str) {
        let _ = self.write(Output::Stderr, format!("{text}\n").as_bytes());
    }

    fn write(&self, output: Output, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let partial = &mut inner.partial[output.index()];
            partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || partial.len() >= LINE_MAX {
                let line = std::mem::take(partial);
                inner.line(output, &line)?;
            }
        }
        Ok(())
    }

    /// Writes what is left of unfinished lines, at the end.
    pub(crate) fn finish(&self) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for output in [Output::Stdout, Output::Stderr] {
            let line = std::mem::take(&mut inner.partial[output.index()]);
            if !line.is_empty() {
                let _ = inner.line(output, &line);
            }
        }
    }
}

// === impl Inner ===

impl Inner {
    /// `NANOS OUTPUT TEXT\n`: a text that ends without a line end stands before `\\`.
    fn line(&mut self, output: Output, text: &[u8]) -> io::Result<()> {
        let mut record =
            format!("{} {} ", Ambient::system().now().as_nanos(), output as u8).into_bytes();
        record.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
        record.push(b'\n');
        if self.size + record.len() as u64 > FILE_MAX {
            std::fs::rename(&self.files[1], &self.files[0])?;
            self.file = OpenOptions::new().create(true).append(true).open(&self.files[1])?;
            self.size = 0;
        }
        self.size += record.len() as u64;
        self.file.write_all(&record)
    }
}

// === impl Sink ===

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.writer.write(self.output, bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The lines of a task's log, older ones first, and where in the newer file they end.
pub(crate) fn read(folder: &Folder, from: u64) -> io::Result<(Vec<Line>, u64)> {
    let [old, new] = folder.logs();
    let mut lines = Vec::new();
    if from == 0
        && let Ok(file) = File::open(&old)
    {
        read_file(file, &mut lines)?;
    }
    let end = match File::open(&new) {
        Ok(mut file) => {
            let size = file.metadata()?.len();
            // The file was turned over meanwhile: what is in it is all new.
            let from = if from > size { 0 } else { from };
            io::Seek::seek(&mut file, io::SeekFrom::Start(from))?;
            from + read_file(file, &mut lines)?
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
        Err(e) => return Err(e),
    };
    Ok((lines, end))
}

/// Reads whole lines; how many bytes they were.
fn read_file(file: File, lines: &mut Vec<Line>) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    let mut read = 0;
    let mut record = Vec::new();
    loop {
        record.clear();
        let size = reader.read_until(b'\n', &mut record)? as u64;
        if size == 0 || record.last() != Some(&b'\n') {
            return Ok(read);
        }
        read += size;
        lines.extend(parse(&record));
    }
}

fn parse(record: &[u8]) -> Option<Line> {
    let mut parts = record.splitn(3, |byte| *byte == b' ');
    let nanos: i64 = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let output = if parts.next()? == b"2" { Output::Stderr } else { Output::Stdout };
    let text = parts.next()?.to_vec();
    Some(Line { at: Time::from_nanos(nanos), output, text, attributes: BTreeMap::new() })
}
