//! Addresses of a node: where it listens, what it tells others.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use swarmw_model::Refusal;

/// Swarm's port for everything between nodes.
pub const DEFAULT_PORT: u16 = 2377;

/// Reads `IP[:PORT]`, `[IPv6]:PORT`, `INTERFACE[:PORT]`, `:PORT` or an empty text (all
/// addresses).
///
/// # Errors
/// Anything else.
pub fn listen(text: &str) -> Result<SocketAddr, Refusal> {
    let text = if text.is_empty() { "0.0.0.0" } else { text };
    let whole = match text.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => text.to_owned(),
    };
    match parse(&whole) {
        Some(address) => Ok(address),
        None => of_interface("ListenAddr", &whole, DEFAULT_PORT),
    }
}

/// What to tell other nodes: as asked, or the one address that this machine uses
/// towards `remote`, or towards the world.
///
/// # Errors
/// A text that is no address, or no address to be found.
pub fn advertise(
    asked: &str,
    listening: SocketAddr,
    remote: Option<&str>,
) -> Result<SocketAddr, Refusal> {
    if !asked.is_empty() {
        let found =
            parse(asked).map(|address| match asked.contains(':') && !asked.ends_with(']') {
                true => address,
                false => SocketAddr::new(address.ip(), listening.port()),
            });
        return match found {
            Some(address) => Ok(address),
            None => of_interface("AdvertiseAddr", asked, listening.port()),
        };
    }
    if !listening.ip().is_unspecified() {
        return Ok(listening);
    }
    let towards = remote.unwrap_or("192.0.2.1:9");
    match own_address(towards) {
        Some(ip) => Ok(SocketAddr::new(ip, listening.port())),
        // Of `init` the clients say by themselves which flag names one.
        None => Err(Refusal::invalid(format!(
            "could not choose an IP address to advertise since this system has no route to {}",
            remote.map_or("the others".to_owned(), |remote| format!(
                "{remote} - specify one with --advertise-addr"
            ))
        ))),
    }
}

/// Where the traffic of networks ends on this node: an address or an interface; `None`
/// where the text is empty: at the advertised address.
///
/// # Errors
/// Anything else.
pub fn data_path(text: &str) -> Result<Option<IpAddr>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() => Ok(Some(address)),
        // An interface's name has no colon here, as there is no port.
        Err(_) if !text.contains(':') => {
            of_interface("DataPathAddr", text, DEFAULT_PORT).map(|address| Some(address.ip()))
        }
        _ => Err(Refusal::invalid(
            "data path address must be a non-zero IP address or network interface (without a \
             port number)",
        )),
    }
}

/// The address of a network interface, by its name: `eth0` or `eth0:2377`.
fn of_interface(field: &str, text: &str, port: u16) -> Result<SocketAddr, Refusal> {
    let invalid = |why: String| Refusal::invalid(format!("invalid {field} {text:?}: {why}"));
    let (name, port) = match text.rsplit_once(':') {
        Some((name, digits)) => {
            (name, digits.parse().map_err(|_| invalid(format!("{digits:?} is not a port")))?)
        }
        None => (text, port),
    };
    let all = if_addrs::get_if_addrs().map_err(|e| invalid(e.to_string()))?;
    let mine: Vec<IpAddr> = all.iter().filter(|i| i.name == name).map(|i| i.ip()).collect();
    let v4: Vec<_> = mine.iter().filter(|ip| ip.is_ipv4()).collect();
    let v6: Vec<_> = mine.iter().filter(|ip| !is_link_local(ip) && ip.is_ipv6()).collect();
    match (v4.as_slice(), v6.as_slice()) {
        ([only], _) | ([], [only]) => Ok(SocketAddr::new(**only, port)),
        ([], []) if mine.is_empty() => Err(invalid(format!(
            "neither IP[:PORT] nor a network interface with an address: {name}"
        ))),
        ([], []) => Err(invalid(format!("interface {name} has a link-local address only"))),
        ([first, second, ..], _) | (_, [first, second, ..]) => Err(invalid(format!(
            "interface {name} has more than one address ({first} and {second}); give one of them"
        ))),
    }
}

fn is_link_local(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Reads an address with [`DEFAULT_PORT`] where none is given.
pub fn parse(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, DEFAULT_PORT));
    }
    None
}

/// The address this machine would send from. Nothing is sent: connecting a UDP
/// socket only asks the kernel for its route.
fn own_address(towards: &str) -> Option<IpAddr> {
    let remote = towards.to_socket_addrs().ok()?.next()?;
    let any = if remote.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(remote).ok()?;
    socket.local_addr().ok().map(|a| a.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_path_is_an_address_or_an_interface_without_a_port() {
        assert_eq!(data_path("").ok(), Some(None));
        for text in ["10.0.0.1", "fd00::1", "[fd00::1]"] {
            let want = text.trim_matches(['[', ']']).parse().ok();
            assert_eq!(data_path(text).ok(), Some(want), "{text}");
        }
        assert_eq!(data_path("lo").ok(), Some("127.0.0.1".parse().ok()));
        for text in ["0.0.0.0", "::", "10.0.0.1:4789", "lo:4789", "nope"] {
            assert!(data_path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn listen_addresses_have_swarms_defaults() {
        for (text, want) in [
            ("", "0.0.0.0:2377"),
            ("127.0.0.2", "127.0.0.2:2377"),
            ("127.0.0.2:99", "127.0.0.2:99"),
            (":99", "0.0.0.0:99"),
            ("[::1]:5", "[::1]:5"),
        ] {
            assert_eq!(listen(text).map(|a| a.to_string()), Ok(want.to_owned()), "{text}");
        }
        assert_eq!(listen("lo:7").map(|a| a.to_string()), Ok("127.0.0.1:7".to_owned()));
        let why = listen("nonsense").expect_err("no such interface").message;
        assert_eq!(
            why,
            "invalid ListenAddr \"nonsense\": neither IP[:PORT] nor a network interface with an \
             address: nonsense"
        );
    }

    #[test]
    fn an_advertised_address_without_port_has_the_listening_one() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let told = |asked, listening| advertise(asked, at(listening), None).map(|a| a.to_string());
        assert_eq!(told("10.0.0.5", "0.0.0.0:99"), Ok("10.0.0.5:99".to_owned()));
        assert_eq!(told("10.0.0.5:7", "0.0.0.0:99"), Ok("10.0.0.5:7".to_owned()));
        assert_eq!(told("", "127.0.0.2:99"), Ok("127.0.0.2:99".to_owned()));
        assert_eq!(told("lo", "0.0.0.0:99"), Ok("127.0.0.1:99".to_owned()));
        assert!(told("eth9:", "127.0.0.2:99").is_err());
    }
}
