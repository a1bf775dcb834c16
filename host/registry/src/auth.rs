//! Credentials as Docker's clients send them.

use std::fmt;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who asks a registry; by default nobody in particular.
#[derive(Clone)]
pub struct Credentials(pub(crate) RegistryAuth);

/// A header that cannot be read. Its text is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registry credentials are not base64url of a JSON object")]
pub struct InvalidCredentials;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Header {
    username: String,
    password: String,
    registrytoken: String,
}

// === impl Credentials ===

impl Credentials {
    /// Reads an `X-Registry-Auth` header; an empty one stands for nobody.
    ///
    /// # Errors
    /// It is not base64url of a JSON object.
    pub fn of_header(text: &str) -> Result<Self, InvalidCredentials> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let json = BASE64.decode(text).map_err(|_| InvalidCredentials)?;
        let header: Header = serde_json::from_slice(&json).map_err(|_| InvalidCredentials)?;
        Ok(Self(if !header.registrytoken.is_empty() {
            RegistryAuth::Bearer(header.registrytoken)
        } else if header.username.is_empty() {
            RegistryAuth::Anonymous
        } else {
            RegistryAuth::Basic(header.username, header.password)
        }))
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self(RegistryAuth::Anonymous)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The inner type hides passwords.
        self.0.fmt(f)
    }
}

/// The text of standard base64.
pub(crate) fn standard(text: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_padded_or_not() {
        let json = r#"{"username":"me","password":"s3cret!"}"#;
        for text in [BASE64.encode(json), BASE64.encode(json).trim_end_matches('=').to_owned()] {
            let read = Credentials::of_header(&text).expect("a header");
            assert_eq!(read.0, RegistryAuth::Basic("me".into(), "s3cret!".into()));
            assert!(!format!("{read:?}").contains("s3cret"));
        }
        assert_eq!(Credentials::of_header("").expect("nobody").0, RegistryAuth::Anonymous);
        let nobody = Credentials::of_header(&BASE64.encode("{}")).expect("nobody");
        assert_eq!(nobody.0, RegistryAuth::Anonymous);
        assert_eq!(Credentials::of_header("%%").map(|_| ()), Err(InvalidCredentials));
    }
}
