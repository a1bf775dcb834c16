//! Where the daemon listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::terminal;

/// The variable that names the daemon when `-H` does not.
pub const HOST_VARIABLE: &str = "SWARMW_HOST";
/// Where root's daemon listens.
const ROOT_SOCKET: &str = "/run/swarmw.sock";
const SOCKET_NAME: &str = "swarmw.sock";

/// Where the daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A socket of this machine.
    Unix(PathBuf),
    /// `HOST:PORT`, without TLS.
    Tcp(String),
}

/// The text names no place a daemon could listen at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse host {0:?}: want unix:///PATH or tcp://HOST:PORT")]
pub struct InvalidHost(String);

// === impl Host ===

impl Host {
    /// The host named by `-H`, else by `SWARMW_HOST`, else the default socket.
    pub fn find(flag: Option<&str>) -> Result<Self, InvalidHost> {
        match flag {
            Some(text) => text.parse(),
            None => match std::env::var(HOST_VARIABLE) {
                Ok(text) if !text.is_empty() => text.parse(),
                _ => Ok(Self::Unix(default_socket())),
            },
        }
    }
}

/// Where this user's daemon listens unless told otherwise: `/run/swarmw.sock`
/// for root, else the runtime folder, else the state folder.
pub fn default_socket() -> PathBuf {
    let folder =
        |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    if terminal::is_root() {
        return PathBuf::from(ROOT_SOCKET);
    }
    if let Some(runtime) = folder("XDG_RUNTIME_DIR") {
        return runtime.join(SOCKET_NAME);
    }
    let state = folder("XDG_STATE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir);
    state.join("swarmw").join(SOCKET_NAME)
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://") {
            return match path {
                "" => Err(invalid()),
                path => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        let address = text
            .strip_prefix("tcp://")
            .or_else(|| text.strip_prefix("http://"))
            .unwrap_or(text)
            .trim_end_matches('/');
        match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(address.to_owned()))
            }
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_sockets_or_addresses() {
        for (text, want) in [
            ("unix:///run/x.sock", Some("unix:///run/x.sock")),
            ("tcp://127.0.0.1:2375", Some("tcp://127.0.0.1:2375")),
            ("127.0.0.1:2375", Some("tcp://127.0.0.1:2375")),
            ("tcp://[::1]:2375", Some("tcp://[::1]:2375")),
            ("unix://", None),
            ("tcp://nohost", None),
            ("", None),
        ] {
            let got = text.parse::<Host>().ok().map(|host| host.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }
}
