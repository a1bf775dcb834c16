//! Asks a URL for a number, on behalf of an update policy.
//!
//! What is asked for comes from a stranger's component and was granted by a
//! pattern, so this room trusts neither the URL nor the answer: no redirects, no
//! link-local addresses (where clouds keep their credentials), an answer of at most
//! [`ANSWER_MAX`] bytes, and the time that the caller gives.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde_json::Value;

/// The largest answer that is read, in bytes.
pub const ANSWER_MAX: usize = 1 << 20;
/// The most of an answer that is repeated in an error, in letters.
const SHOWN_MAX: usize = 80;

/// GETs `url` and reads the number at the JSON pointer: a number, or text that
/// reads as one, as Prometheus gives it.
///
/// # Errors
/// One line for people: the address, the answer, or the number.
pub async fn observe(url: &str, pointer: &str, timeout: Duration) -> Result<f64, String> {
    let asked = ask(url, pointer);
    let late = || Err(format!("{url} did not answer within {} ms", timeout.as_millis()));
    tokio::time::timeout(timeout, asked).await.unwrap_or_else(|_| late())
}

async fn ask(url: &str, pointer: &str) -> Result<f64, String> {
    let url = Url::parse(url).map_err(|error| format!("{url} is no URL: {error}"))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let addresses = addresses(&url, &host).await?;
    let failed = |error: &dyn std::error::Error| format!("{host}: {}", innermost(error));
    let mut answer =
        client(&host, &addresses)?.get(url.clone()).send().await.map_err(|error| failed(&error))?;
    if !answer.status().is_success() {
        return Err(format!("{host} answered {}", answer.status()));
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + piece.len() > ANSWER_MAX {
            return Err(format!("{host} answered with more than {ANSWER_MAX} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    number(&body, pointer).map_err(|error| format!("{host}: {error}"))
}

/// Where the host is, looked up once, so that what is checked is what is asked.
async fn addresses(url: &Url, host: &str) -> Result<Vec<SocketAddr>, String> {
    let port = url.port_or_known_default().unwrap_or(80);
    let name = host.trim_matches(['[', ']']);
    let found: Vec<SocketAddr> = tokio::net::lookup_host((name, port))
        .await
        .map_err(|error| format!("{host} is not known: {error}"))?
        .collect();
    match found.iter().find(|address| is_link_local(address.ip())) {
        Some(address) => Err(format!("{host} is {}, which is never asked", address.ip())),
        None => Ok(found),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast(),
    }
}

fn client(host: &str, addresses: &[SocketAddr]) -> Result<Client, String> {
    // The second call finds the first one's provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .resolve_to_addrs(host, addresses)
        .build()
        .map_err(|error| format!("cannot ask: {error}"))
}

/// The cause that says most: reqwest's own words are `error sending request`.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn number(body: &[u8], pointer: &str) -> Result<f64, String> {
    let shown = || {
        let text = String::from_utf8_lossy(body);
        let text = text.chars().take(SHOWN_MAX).map(|c| if c.is_control() { ' ' } else { c });
        text.collect::<String>()
    };
    let json: Value =
        serde_json::from_slice(body).map_err(|_| format!("the answer is no JSON: {}", shown()))?;
    let value = json
        .pointer(pointer)
        .ok_or_else(|| format!("the answer has nothing at {pointer}: {}", shown()))?;
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number.filter(|n| n.is_finite()).ok_or_else(|| format!("{value} at {pointer} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that answers one request with these bytes.
    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        format!("http://{address}/query")
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn the_number_stands_where_the_pointer_says() {
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\":{\"result\":[{\"value\":[1,\"0.25\"]}]}}";
        let url = server(answer).await;
        assert_eq!(observe(&url, "/data/result/0/value/1", PATIENCE).await, Ok(0.25));
    }

    #[tokio::test]
    async fn what_is_no_number_is_said() {
        for (answer, told) in [
            ("HTTP/1.1 302 Found\r\nlocation: http://x/\r\nconnection: close\r\n\r\n", "302 Found"),
            ("HTTP/1.1 500 No\r\nconnection: close\r\n\r\n", "500"),
            ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", "no JSON: hello"),
            ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"a\":1}", "nothing at /b"),
            ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"b\":\"NaN\"}", "is no number"),
        ] {
            let url = server(answer).await;
            let said = observe(&url, "/b", PATIENCE).await.expect_err(told);
            assert!(said.contains(told), "{told}: {said}");
        }
        let said = observe("http://169.254.169.254/latest", "", PATIENCE).await;
        let never = "169.254.169.254 is 169.254.169.254, which is never asked".to_owned();
        assert_eq!(said, Err(never));
        let said = observe("nonsense", "", PATIENCE).await.expect_err("no URL");
        assert!(said.starts_with("nonsense is no URL"), "{said}");
    }
}
