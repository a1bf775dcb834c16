//! A client of the daemon's API that costs next to nothing, so that what is measured
//! is the daemon.

use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// A connection that is kept for all requests of one client.
pub(super) struct Connection(BufReader<UnixStream>);

// === impl Connection ===

impl Connection {
    /// Connects to the daemon's socket.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(super) async fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket)
            .await
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// One request, and the body of its answer.
    ///
    /// # Errors
    /// The connection breaks, or the status is another one than `want`.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
        want: u16,
    ) -> Result<Vec<u8>> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: swarmw\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).await?;
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse::<u16>().ok());
        let mut length = None;
        loop {
            let mut header = String::new();
            if self.0.read_line(&mut header).await? == 0 {
                bail!("the daemon closed the connection");
            }
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = Some(value.trim().parse().context("a length")?);
            }
        }
        let answer = match length {
            Some(length) => self.exactly(length).await?,
            None => self.chunks().await?,
        };
        if status != Some(want) {
            bail!("{method} {path}: {} {}", line.trim_end(), String::from_utf8_lossy(&answer));
        }
        Ok(answer)
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok(body)
    }

    /// A body in chunks: each after a line with its length, the last one empty.
    async fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await?;
            let length = usize::from_str_radix(line.trim_end(), 16).context("a chunk's length")?;
            body.extend(self.exactly(length).await?);
            self.exactly("\r\n".len()).await?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}
