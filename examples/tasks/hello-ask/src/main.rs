//! Asks a server on its network by name, again and again: a `wasi:cli` task with sockets.
//!
//! ```text
//! swarmw service create --network back hello-ask.wasm HOST:PORT[/PATH] [SECONDS]
//! ```
//!
//! Every `SECONDS` (default 1, fractions allowed) it prints the page at `PATH`, or why there
//! is none.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(whom) = arguments.next() else {
        eprintln!("hello-ask: whom? HOST:PORT[/PATH] [SECONDS]");
        std::process::exit(2)
    };
    let pause = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let (server, path) = whom.split_once('/').unwrap_or((&whom, ""));
    loop {
        match ask(server, path) {
            Ok(page) => println!("{whom}: {}", page.trim()),
            Err(error) => println!("{whom}: {:?}: {error}", error.kind()),
        }
        std::thread::sleep(Duration::from_secs_f64(pause));
    }
}

/// The page of a server.
fn ask(server: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {server}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let page = answer.split_once("\r\n\r\n").map(|(_, page)| page.to_owned());
    page.ok_or_else(|| io::Error::other(format!("no page: {answer:?}")))
}
