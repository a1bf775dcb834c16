//! Tells the service manager that started the daemon, such as systemd, that it is ready: as
//! sd_notify(3) has it, by a datagram to the socket that `NOTIFY_SOCKET` names.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::pin::pin;
use std::time::Duration;

use tracing::warn;

/// Names the socket; without it nobody waits.
const SOCKET: &str = "NOTIFY_SOCKET";
/// Whoever waits for the daemon, the machine's engine among them, goes on then all the same.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says that the daemon is ready.
pub(super) fn ready() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    if let Err(error) = send(&socket, b"READY=1\n") {
        let socket = socket.display();
        warn!(%error, %socket, "the service manager does not hear that the daemon is ready");
    }
}

/// Says it when something is done, or takes long.
pub(super) async fn ready_after(work: impl Future<Output = ()>) {
    ready_by(work, ready).await;
}

async fn ready_by(work: impl Future<Output = ()>, ready: impl FnOnce()) {
    let mut work = pin!(work);
    let is_late = tokio::time::timeout(PATIENCE, &mut work).await.is_err();
    ready();
    if is_late {
        work.await;
    }
}

fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        // Of no file: the kernel's own names.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_service_manager_hears_it_at_a_file_and_at_a_name_of_the_kernels() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("notify");
        let name = format!("swarmw-notify-{}", std::process::id());
        let of_kernel = SocketAddr::from_abstract_name(&name).expect("a name");
        for (listener, socket) in [
            (UnixDatagram::bind(&file), file.into_os_string()),
            (UnixDatagram::bind_addr(&of_kernel), format!("@{name}").into()),
        ] {
            let listener = listener.expect("listens");
            send(&socket, b"READY=1\n").expect("sent");
            let mut heard = [0; 64];
            let length = listener.recv(&mut heard).expect("heard");
            assert_eq!(&heard[..length], b"READY=1\n", "{}", socket.display());
        }
        assert!(send(OsStr::new("/nowhere/notify"), b"").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_long() {
        for (takes, said_after) in [(Duration::ZERO, Duration::ZERO), (2 * PATIENCE, PATIENCE)] {
            let begun = tokio::time::Instant::now();
            let said = Cell::new(None);
            ready_by(tokio::time::sleep(takes), || said.set(Some(begun.elapsed()))).await;
            assert!(said.get().is_some_and(|at| at >= said_after && at < said_after + PATIENCE));
            assert!(begun.elapsed() >= takes, "the work is done to its end");
        }
    }
}
