//! What a component's process and the daemon say to each other: one question for each
//! connection of a socket, its answer, and after [`Answer::Reached`] the bytes themselves.
//! Each is JSON after two bytes that say how long it is, so that nobody reads into what
//! follows.

use std::io;
use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The socket in a task's folder.
pub(crate) const DOOR: &str = "networks.sock";

/// What a component wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// The addresses of a name.
    Find(String),
    /// A connection to a port of a name or an address.
    Reach(String, u16),
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Addresses; none: the name is one of the task's networks, and nobody has it now.
    Found(Vec<IpAddr>),
    /// Nothing on the task's networks is called so, or has this address.
    NotOurs,
    /// Bytes follow, both ways.
    Reached,
    /// There is no connection.
    Failed(Failure),
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Failure {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// Nobody answered in time.
    #[error("nobody answered in time")]
    TimedOut,
    /// Nobody has the address, or its node is not reached.
    #[error("not reached")]
    Unreachable,
    /// The task has as many connections as it may have.
    #[error("too many connections")]
    TooMany,
}

// === impl Failure ===

impl Failure {
    /// What an error of the machine's means.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Self::Refused,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Unreachable,
        }
    }
}

/// Says something.
pub(crate) async fn put<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    said: &T,
) -> io::Result<()> {
    let said = serde_json::to_vec(said)?;
    let length = u16::try_from(said.len()).map_err(io::Error::other)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(said);
    stream.write_all(&bytes).await
}

/// Hears what was said, and not a byte of what follows.
pub(crate) async fn get<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<T> {
    let mut said = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut said).await?;
    serde_json::from_slice(&said).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_follows_an_answer_is_not_read_with_it() {
        let (mut near, mut far) = tokio::io::duplex(1024);
        put(&mut far, &Answer::Reached).await.expect("said");
        far.write_all(b"hello").await.expect("said");
        assert_eq!(get::<Answer>(&mut near).await.expect("heard"), Answer::Reached);
        let mut rest = [0; 5];
        near.read_exact(&mut rest).await.expect("the rest");
        assert_eq!(&rest, b"hello");
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_said() {
        let (_near, mut far) = tokio::io::duplex(1024);
        let ask = Ask::Find("x".repeat(70_000));
        assert!(put(&mut far, &ask).await.is_err());
    }
}
