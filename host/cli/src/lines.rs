//! Answers that are told a line at a time, as things happen.

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::failure::Failure;

/// Longest line that a daemon may tell, in bytes.
const LINE_MAX: usize = 16 << 20;

/// Hands each line that is not blank to `tell`, until the daemon tells no more.
pub(crate) async fn each<B>(
    mut body: B,
    mut tell: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure>
where
    B: BodyExt<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut buffered = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Failure::new(format!("error from daemon in stream: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        buffered.extend_from_slice(&data);
        while let Some(end) = buffered.iter().position(|byte| *byte == b'\n') {
            let line = buffered.split_to(end);
            buffered.advance(1);
            if !line.trim_ascii().is_empty() {
                tell(&line)?;
            }
        }
        if buffered.len() > LINE_MAX {
            return Err(Failure::new(format!(
                "the daemon tells an event of more than {LINE_MAX} bytes"
            )));
        }
    }
    Ok(())
}
