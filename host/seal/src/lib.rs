//! Encryption at rest: XChaCha20-Poly1305 with a random nonce before each record.
//!
//! A [`Seal`] seals with one key. While that key replaces another one, it opens what either
//! sealed, so that files can be sealed anew one by one. Where keys are kept, and what they
//! are for, is not this room's business.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::RngCore;
use zeroize::Zeroizing;

const NONCE: usize = 24;

/// A key; gone from memory with its holder.
pub type Key = Zeroizing<[u8; 32]>;

/// Seals and opens records. Clones are one: a key replaced in one is replaced in all.
#[derive(Clone)]
pub struct Seal(Arc<RwLock<Keys>>);

struct Keys {
    present: Key,
    /// Sealed what is not sealed anew yet.
    before: Option<Key>,
}

/// The record is damaged, was moved, or is sealed by another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record is damaged, or sealed by another key")]
pub struct Damaged;

/// A new key.
pub fn new_key() -> Key {
    let mut key = Key::default();
    rand::rng().fill_bytes(&mut *key);
    key
}

// === impl Seal ===

impl Seal {
    /// Seals and opens with this key.
    pub fn new(key: [u8; 32]) -> Self {
        Self::replacing(Zeroizing::new(key), None)
    }

    /// Seals with a key, and opens with it or the one `before`.
    pub fn replacing(present: Key, before: Option<Key>) -> Self {
        Self(Arc::new(RwLock::new(Keys { present, before })))
    }

    /// From now on seals with another key, and opens what the present one sealed too.
    pub fn replace(&self, key: Key) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut keys.present, key);
        keys.before = Some(before);
    }

    /// Opens what the present key sealed, and nothing else any more.
    pub fn forget_before(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).before = None;
    }

    /// Seals a record. `place` is what it belongs to (an index, a name): it opens
    /// there and nowhere else.
    pub fn seal(&self, place: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0u8; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let mut sealed = nonce.to_vec();
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let text = cipher(&keys.present)
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: place })
            // Fails only beyond 256 GiB of plain text.
            .expect("a record of bounded size");
        sealed.extend_from_slice(&text);
        sealed
    }

    /// Opens a record.
    ///
    /// # Errors
    /// It is not what was sealed for this place by this key.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Damaged> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE>().ok_or(Damaged)?;
        let open = |key: &Key| {
            let sealed = Payload { msg: text, aad: place };
            cipher(key).decrypt(&XNonce::from(*nonce), sealed).map_err(|_| Damaged)
        };
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        open(&keys.present).or_else(|damaged| match &keys.before {
            Some(before) => open(before),
            None => Err(damaged),
        })
    }
}

/// Without the keys.
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&**key).into())
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

    #[test]
    fn a_key_that_is_replaced_opens_until_it_is_forgotten_and_seals_no_more() {
        let seal = Seal::new([7; 32]);
        let clone = seal.clone();
        let old = seal.seal(b"5", b"vote");
        seal.replace(new_key());
        let new = clone.seal(b"5", b"term");
        assert_eq!(clone.open(b"5", &old).expect("the key before"), b"vote");
        assert_eq!(Seal::new([7; 32]).open(b"5", &new), Err(Damaged));
        seal.forget_before();
        assert_eq!(clone.open(b"5", &old), Err(Damaged));
        assert_eq!(clone.open(b"5", &new).expect("the present key"), b"term");
    }
}
