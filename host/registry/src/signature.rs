//! Signatures of artifacts, as cosign puts them beside an artifact: an image at the tag
//! `sha256-DIGEST.sig`, whose layers are the signed texts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::manifest::OciManifest;
use oci_client::{Client, Reference};
use rustls::SignatureScheme;
use serde::Deserialize;

use crate::{Credentials, RegistryError, blob, refusal};

/// The layer that holds a signed text.
const SIGNED_TEXT: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of such a layer that holds the signature, in base64.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The largest signed text that is read, in bytes.
const TEXT_MAX: u64 = 64 << 10;
/// The most signatures of one artifact that are looked at.
const SIGNATURES_MAX: usize = 32;
/// What stands before the point in the DER of a public key on the curve P-256.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key whose signatures are trusted, and the name that it is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    name: String,
    point: Vec<u8>,
}

/// The text is no public key that signatures are checked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("want a public key on the curve P-256 in PEM, as cosign generate-key-pair writes it")]
pub struct InvalidKey;

/// What a signature says.
#[derive(Deserialize)]
struct SignedText {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: SignedImage,
}

#[derive(Deserialize)]
struct SignedImage {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

// === impl TrustedKey ===

impl TrustedKey {
    /// A public key in PEM.
    ///
    /// # Errors
    /// The text is none, or of another curve.
    pub fn parse(name: &str, pem: &str) -> Result<Self, InvalidKey> {
        let body = pem
            .split_once("-----BEGIN PUBLIC KEY-----")
            .and_then(|(_, rest)| rest.split_once("-----END PUBLIC KEY-----"))
            .map(|(body, _)| body.split_whitespace().collect::<String>())
            .ok_or(InvalidKey)?;
        let der = STANDARD.decode(body).map_err(|_| InvalidKey)?;
        match der.strip_prefix(&P256_PREFIX) {
            Some(point) if point.len() == 65 => {
                Ok(Self { name: name.to_owned(), point: point.to_vec() })
            }
            _ => Err(InvalidKey),
        }
    }

    fn signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let provider = rustls::crypto::ring::default_provider();
        let known = provider.signature_verification_algorithms.mapping;
        let ecdsa = known.iter().find(|(s, _)| *s == SignatureScheme::ECDSA_NISTP256_SHA256);
        let verify = |a: &&dyn rustls::pki_types::SignatureVerificationAlgorithm| {
            a.verify_signature(&self.point, text, signature).is_ok()
        };
        // Of several algorithms of this scheme one is for the curve.
        ecdsa.is_some_and(|(_, algorithms)| algorithms.iter().any(verify))
    }
}

/// The name of the first key with which the manifest of this digest is signed.
pub(crate) async fn signer(
    client: &Client,
    reference: &Reference,
    credentials: &Credentials,
    digest: &str,
    keys: &[TrustedKey],
) -> Result<String, RegistryError> {
    let unsigned = || RegistryError::Unsigned { artifact: reference.whole(), keys: names(keys) };
    let auth = credentials.known(reference.registry())?;
    let tag = format!("{}.sig", digest.replace(':', "-"));
    let (registry, repository) = (reference.registry().to_owned(), reference.repository());
    let beside = Reference::with_tag(registry, repository.to_owned(), tag);
    let Ok((manifest, _)) = client.pull_manifest(&beside, auth).await else {
        return Err(unsigned());
    };
    let OciManifest::Image(manifest) = manifest else { return Err(unsigned()) };
    let texts = manifest.layers.iter().filter(|layer| layer.media_type == SIGNED_TEXT);
    for layer in texts.take(SIGNATURES_MAX) {
        let annotated = layer.annotations.as_ref().and_then(|all| all.get(SIGNATURE));
        let Some(signature) = annotated.and_then(|text| STANDARD.decode(text.trim()).ok()) else {
            continue;
        };
        let text = blob(client, &beside, layer, "a signed text", TEXT_MAX).await?;
        let Some(key) = keys.iter().find(|key| key.signed(&text, &signature)) else { continue };
        let said: SignedText = serde_json::from_slice(&text).map_err(|e| refusal(&beside, e))?;
        // A signature of another artifact proves nothing of this one.
        if said.critical.image.digest == digest {
            return Ok(key.name.clone());
        }
    }
    Err(unsigned())
}

fn names(keys: &[TrustedKey]) -> String {
    keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl ecparam -name prime256v1 -genkey`, `openssl ec -pubout`, and
    /// `printf hello | openssl dgst -sha256 -sign`.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUEbHugXzxopjUyGbVu8/nEQNUIyT\n\
        uVNnhE9pxgmkZ7os1zvRTKLYRqHR6HUvZ3CoF01ists6JFX2cMNwQUL/KA==\n\
        -----END PUBLIC KEY-----";
    const SIGNATURE_OF_HELLO: &str = "MEUCIQCgutM2nq6WK329dp58ne9lbkKbtBOuUwlhRbOnPLSY9QIgXAQ8pT2GP9H8Pxqo9yd6SoxHoI8p3Sy4yWDjKfWc150=";

    #[test]
    fn what_openssl_signed_is_verified() {
        let key = TrustedKey::parse("ours", KEY).expect("a key");
        let signature = STANDARD.decode(SIGNATURE_OF_HELLO).expect("base64");
        assert!(key.signed(b"hello", &signature));
        assert!(!key.signed(b"hallo", &signature));
        assert!(!key.signed(b"hello", &signature[1..]));
        let mut other = key;
        other.point[40] ^= 1;
        assert!(!other.signed(b"hello", &signature));
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "x"] {
            assert_eq!(TrustedKey::parse("x", text), Err(InvalidKey), "{text:?}");
        }
    }
}
