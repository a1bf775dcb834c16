//! Loopback addresses that no other test has.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Held by the cluster that uses the addresses.
const GUARD_PORT: u16 = 2370;

/// `127.A.B.0/24` for one cluster.
#[derive(Debug)]
pub struct Subnet {
    a: u8,
    b: u8,
    _guard: TcpListener,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

// === impl Subnet ===

impl Subnet {
    /// Takes a free one; other test processes are kept off by a listening socket.
    pub fn take() -> Self {
        loop {
            let n =
                process::id().wrapping_mul(17).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let (a, b) = (1 + (n / 250 % 250) as u8, (n % 250) as u8);
            if let Ok(guard) = TcpListener::bind((Ipv4Addr::new(127, a, b, 254), GUARD_PORT)) {
                return Self { a, b, _guard: guard };
            }
        }
    }

    /// The address of node `number`, from 1.
    pub fn address(&self, number: usize) -> Ipv4Addr {
        Ipv4Addr::new(127, self.a, self.b, u8::try_from(number).expect("fewer than 250 nodes"))
    }
}
