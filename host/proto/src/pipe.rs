//! Bytes both ways as the messages of a call.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::TryStreamExt;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;
use tokio_util::sync::PollSender;
use tonic::Streaming;

use crate::{Wire, pb};

/// Messages on their way in one direction; who writes more waits.
pub const PIECES_IN_FLIGHT: usize = 16;
/// Bytes in one message.
const PIECE_MAX: usize = 16 << 10;

/// The messages of a call as bytes to read and to write. A half that is shut down ends the
/// messages of its direction alone; dropping the whole ends the call.
pub fn pipe<T: Send + 'static>(
    incoming: Streaming<pb::ContainerBytes>,
    outgoing: mpsc::Sender<T>,
    wrap: fn(pb::ContainerBytes) -> T,
) -> Box<dyn Wire> {
    let bytes = incoming.map_ok(|piece| Bytes::from(piece.data)).map_err(io::Error::other);
    let pieces = Pieces { outgoing: PollSender::new(outgoing), wrap };
    Box::new(tokio::io::join(StreamReader::new(bytes), pieces))
}

/// Makes messages of bytes.
struct Pieces<T> {
    outgoing: PollSender<T>,
    wrap: fn(pb::ContainerBytes) -> T,
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the other node has ended the call")
}

// === impl Pieces ===

impl<T: Send + 'static> AsyncWrite for Pieces<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.outgoing.poll_reserve(cx)).map_err(|_| gone())?;
        let size = bytes.len().min(PIECE_MAX);
        let piece = pb::ContainerBytes { data: bytes[..size].to_vec(), ..Default::default() };
        let piece = (self.wrap)(piece);
        self.outgoing.send_item(piece).map_err(|_| gone())?;
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn pieces(room: usize) -> (Pieces<Vec<u8>>, mpsc::Receiver<Vec<u8>>) {
        let (outgoing, incoming) = mpsc::channel(room);
        (Pieces { outgoing: PollSender::new(outgoing), wrap: |piece| piece.data }, incoming)
    }

    #[tokio::test]
    async fn what_is_long_goes_in_pieces_and_a_shut_half_ends() {
        let (mut pieces, mut incoming) = pieces(PIECES_IN_FLIGHT);
        let long = vec![7; 2 * PIECE_MAX + 1];
        pieces.write_all(&long).await.expect("written");
        pieces.shutdown().await.expect("shut down");
        let mut sizes = Vec::new();
        while let Some(piece) = incoming.recv().await {
            sizes.push(piece.len());
        }
        assert_eq!(sizes, [PIECE_MAX, PIECE_MAX, 1]);
    }

    #[tokio::test]
    async fn who_writes_faster_than_is_read_waits() {
        let (mut pieces, mut incoming) = pieces(1);
        pieces.write_all(b"a").await.expect("written");
        let second = tokio::spawn(async move { pieces.write_all(b"b").await });
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "there is room for one");
        assert_eq!(incoming.recv().await.expect("the first"), b"a");
        second.await.expect("no panic").expect("written");
        assert_eq!(incoming.recv().await.expect("the second"), b"b");
    }

    #[tokio::test]
    async fn nobody_is_written_to_who_has_gone() {
        let (mut pieces, incoming) = pieces(1);
        drop(incoming);
        let failed = pieces.write_all(b"a").await.expect_err("gone");
        assert_eq!(failed.kind(), io::ErrorKind::BrokenPipe);
    }
}
