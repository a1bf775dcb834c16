//! A real Prometheus (Debian's) that watches one gauge.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tempfile::TempDir;

use super::wait::eventually;

const PORT: u16 = 9090;
const TARGET_PORT: u16 = 9100;

/// Prometheus and what it watches; both go when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    /// `ip:port`.
    pub address: String,
    gauge: Arc<Mutex<f64>>,
    server: Child,
    _folder: TempDir,
}

// === impl Prometheus ===

impl Prometheus {
    /// Starts one on an address of the test's own; the gauge `errors` is 0.
    pub fn start(ip: Ipv4Addr) -> Self {
        let gauge = Arc::new(Mutex::new(0.0));
        serve(ip, Arc::clone(&gauge));
        let folder = tempfile::Builder::new().prefix("swarmw-prom-").tempdir().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "scrape_configs:\n  - job_name: web\n    scrape_interval: 200ms\n    \
             scrape_timeout: 200ms\n    static_configs:\n      - targets: ['{ip}:{TARGET_PORT}']\n"
        );
        fs::write(&config, text).expect("a configuration");
        let address = format!("{ip}:{PORT}");
        let log = fs::File::create(folder.path().join("log")).expect("a log file");
        let server = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("prometheus is installed");
        let prometheus = Self { address, gauge, server, _folder: folder };
        prometheus.says("0");
        prometheus
    }

    /// The URL that asks for the gauge.
    pub fn query(&self) -> String {
        format!("http://{}/api/v1/query?query=errors", self.address)
    }

    /// Sets the gauge, and waits until Prometheus has seen it.
    pub fn set(&self, value: f64) {
        *self.gauge.lock().unwrap_or_else(PoisonError::into_inner) = value;
        self.says(&value.to_string());
    }

    fn says(&self, value: &str) {
        let wanted = format!("\"{value}\"]");
        eventually("prometheus has seen the gauge", || {
            let output = Command::new("curl")
                .args(["--silent", "--fail", "--noproxy", "*", &self.query()])
                .output()
                .map_err(|e| format!("curl: {e}"))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.contains(&wanted) { Ok(()) } else { Err(text) }
        });
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Answers every request with the gauge, until the process ends.
fn serve(ip: Ipv4Addr, gauge: Arc<Mutex<f64>>) {
    let listener = TcpListener::bind((ip, TARGET_PORT)).expect("the target's port is free");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 2048]);
            let value = *gauge.lock().unwrap_or_else(PoisonError::into_inner);
            let body = format!("# TYPE errors gauge\nerrors {value}\n");
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
}
