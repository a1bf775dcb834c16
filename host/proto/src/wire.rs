//! Our own types inside the messages: a version byte, then CBOR.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first byte.
const VERSION: u8 = 1;

/// The bytes are not what this binary reads.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// From a binary that speaks another version.
    #[error("wire version {0}: this binary speaks version {VERSION}")]
    Version(u8),
    /// Not CBOR of the right shape.
    #[error("not a message of swarmw: {0}")]
    Decode(String),
}

/// Encodes a value.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    // Writing to memory cannot fail, and none of our types refuses to serialise.
    ciborium::into_writer(value, &mut bytes).expect("CBOR to memory");
    bytes
}

/// How many bytes a value takes inside a message.
pub fn size<T: Serialize + ?Sized>(value: &T) -> usize {
    let mut counted = Counted(0);
    ciborium::into_writer(value, &mut counted).expect("CBOR to nowhere");
    counted.0
}

/// Decodes a value.
///
/// # Errors
/// Another version, or bytes that are none of ours.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => {
            ciborium::from_reader(body).map_err(|e| WireError::Decode(e.to_string()))
        }
        found => Err(WireError::Version(found.map_or(0, |(byte, _)| *byte))),
    }
}

/// Counts what is written.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_as_large_as_it_is_written() {
        let value = vec!["web".to_owned(), "x".repeat(300)];
        assert_eq!(size(&value) + 1, encode(&value).len());
    }
}
