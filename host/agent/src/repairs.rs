//! What somebody took from networks in the node's kernel, and was put back: told to whoever
//! listens, as the log is.

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// So many are kept for a listener that falls behind; then it misses the oldest.
const KEPT: usize = 64;

/// Sentences, each about one thing. Clones are the same.
#[derive(Clone, Debug)]
pub struct Repairs(broadcast::Sender<String>);

// === impl Repairs ===

impl Repairs {
    /// Those from now on.
    pub fn listen(&self) -> BoxStream<'static, String> {
        let heard = self.0.subscribe();
        stream::unfold(heard, async |mut heard| {
            loop {
                match heard.recv().await {
                    Ok(what) => return Some((what, heard)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }

    pub(crate) fn tell(&self, what: String) {
        // Often nobody listens.
        let _ = self.0.send(what);
    }
}

impl Default for Repairs {
    fn default() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_falls_behind_misses_the_oldest_and_hears_the_rest() {
        let repairs = Repairs::default();
        repairs.tell("before anybody listened".to_owned());
        let mut heard = repairs.listen();
        (0..=KEPT).for_each(|n| repairs.tell(n.to_string()));
        assert_eq!(heard.next().await.expect("one"), "1");
        drop(repairs);
        assert_eq!(heard.count().await, KEPT - 1);
    }
}
