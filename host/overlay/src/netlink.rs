//! Requests to the kernel's routing part, in one network namespace.

use std::io;
use std::time::Duration;

use futures::StreamExt;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;

use crate::namespace::Namespace;
use crate::{Error, Result};

/// The kernel answers at once, but an answer that this process cannot read is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Until a socket that is busy is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// A netlink socket in a namespace.
#[derive(Clone, Debug)]
pub(crate) struct Netlink {
    handle: rtnetlink::Handle,
}

/// What is done if there is one already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is an error.
    Make,
    /// It is replaced, or made.
    Replace,
    /// It must be there: it is changed, or removed.
    Change,
}

// === impl Netlink ===

impl Netlink {
    /// A socket stays in the namespace it was made in.
    pub(crate) async fn open(inside: &Namespace) -> Result<Self> {
        let opened = inside.within(rtnetlink::new_connection).await?;
        let failed = Error::kernel("opened", "a netlink socket");
        let (connection, handle, _) = opened.map_err(failed)?;
        // Ends when the last handle is dropped.
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Asks for a change, and waits until it is made.
    pub(crate) async fn ask(&self, message: RouteNetlinkMessage, mode: Mode) -> io::Result<()> {
        let flags = match mode {
            Mode::Make => NLM_F_CREATE | NLM_F_EXCL,
            Mode::Replace => NLM_F_CREATE | NLM_F_REPLACE,
            Mode::Change => 0,
        };
        self.exchange(message, flags | NLM_F_ACK).await.map(|_| ())
    }

    /// Asks for one thing.
    pub(crate) async fn get(
        &self,
        message: RouteNetlinkMessage,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        Ok(self.exchange(message, NLM_F_ACK).await?.into_iter().next())
    }

    /// Asks for all of a kind.
    pub(crate) async fn dump(
        &self,
        message: RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let read = async {
            loop {
                match self.exchange(message.clone(), NLM_F_DUMP).await {
                    // Another answer of this kind is under way, to somebody who gave up
                    // waiting for it.
                    Err(busy) if busy.kind() == io::ErrorKind::ResourceBusy => {
                        tokio::time::sleep(ASK_AGAIN).await;
                    }
                    done => return done,
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.map_err(late)?
    }

    async fn exchange(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags | NLM_F_REQUEST;
        let closed = |_| io::Error::other("the netlink socket is closed");
        let mut answers = self.handle.clone().request(request).map_err(closed)?;
        let read = async {
            let mut got = Vec::new();
            while let Some(answer) = answers.next().await {
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => got.push(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    _ => {}
                }
            }
            Ok(got)
        };
        tokio::time::timeout(PATIENCE, read).await.map_err(late)?
    }
}

fn late(_: tokio::time::error::Elapsed) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer within 10 s")
}
