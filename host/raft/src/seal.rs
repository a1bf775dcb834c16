//! Encryption at rest: XChaCha20-Poly1305 with a random nonce before each record.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::RngCore;
use zeroize::Zeroizing;

const NONCE: usize = 24;

/// Seals and opens records with one key.
#[derive(Clone)]
pub(crate) struct Seal {
    key: Zeroizing<[u8; 32]>,
}

/// The record is damaged, was moved, or is sealed by another key.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the record is damaged, or sealed by another key")]
pub(crate) struct Damaged;

// === impl Seal ===

impl Seal {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key) }
    }

    /// Seals a record. `place` is what it belongs to (an index, a name): it opens
    /// there and nowhere else.
    pub(crate) fn seal(&self, place: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0u8; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let mut sealed = nonce.to_vec();
        let text = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: place })
            // Fails only beyond 256 GiB of plain text.
            .expect("a record of bounded size");
        sealed.extend_from_slice(&text);
        sealed
    }

    /// Opens a record.
    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Damaged> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE>().ok_or(Damaged)?;
        self.cipher()
            .decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: place })
            .map_err(|_| Damaged)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_in_its_place_unchanged_and_nowhere_else() {
        let seal = Seal::new([7; 32]);
        let sealed = seal.seal(b"5", b"vote");
        assert_eq!(seal.open(b"5", &sealed).expect("ours"), b"vote");
        assert!(seal.open(b"6", &sealed).is_err());
        assert!(Seal::new([8; 32]).open(b"5", &sealed).is_err());
        for place in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[place] ^= 1;
            assert!(seal.open(b"5", &flipped).is_err(), "{place}");
            assert!(seal.open(b"5", &sealed[..place]).is_err(), "{place}");
        }
    }
}
