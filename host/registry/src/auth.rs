//! Credentials as Docker's clients send them.

use std::fmt;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;
use serde_json::json;

use crate::RegistryError;

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Docker Hub as references have it.
const HUB: &str = "docker.io";
/// Docker Hub as credentials have it.
const HUB_SERVER: &str = "https://index.docker.io/v1/";

/// Who asks a registry; by default nobody in particular.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Who);

#[derive(Clone, PartialEq, Eq)]
enum Who {
    /// What registries are told as it is.
    Known(RegistryAuth),
    /// What is exchanged for a token of the registry's, by whoever can.
    IdentityToken(String),
}

/// A header that cannot be read. Its text is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registry credentials are not base64url of a JSON object")]
pub struct InvalidCredentials;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Header {
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// What references call a registry: Docker Hub has several names.
pub(crate) fn domain(registry: &str) -> &str {
    match registry {
        "index.docker.io" | HUB_SERVER => HUB,
        other => other,
    }
}

/// What Docker's clients call a registry where they speak of credentials.
pub(crate) fn server(registry: &str) -> &str {
    match domain(registry) {
        HUB => HUB_SERVER,
        domain => domain,
    }
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
        Ok(if !header.registrytoken.is_empty() {
            Self(Who::Known(RegistryAuth::Bearer(header.registrytoken)))
        } else if !header.identitytoken.is_empty() {
            Self::identity_token(header.identitytoken)
        } else if header.username.is_empty() {
            Self::default()
        } else {
            Self::user(header.username, header.password)
        })
    }

    /// As Docker's clients send them to an engine, in `X-Registry-Auth`.
    pub fn to_header(&self, registry: &str) -> String {
        let mut json = match &self.0 {
            Who::Known(RegistryAuth::Anonymous) => return BASE64.encode("{}"),
            Who::Known(RegistryAuth::Basic(username, password)) => {
                json!({"username": username, "password": password})
            }
            Who::Known(RegistryAuth::Bearer(token)) => json!({"registrytoken": token}),
            Who::IdentityToken(token) => json!({"identitytoken": token}),
        };
        json["serveraddress"] = server(registry).into();
        BASE64.encode(json.to_string())
    }

    /// Whether they are nobody's.
    pub fn is_nobody(&self) -> bool {
        self.0 == Who::Known(RegistryAuth::Anonymous)
    }

    pub(crate) fn user(name: String, password: String) -> Self {
        Self(Who::Known(RegistryAuth::Basic(name, password)))
    }

    pub(crate) fn identity_token(token: String) -> Self {
        Self(Who::IdentityToken(token))
    }

    /// What a registry is told.
    ///
    /// # Errors
    /// They are an identity token, which nobody here exchanges.
    pub(crate) fn known(&self, registry: &str) -> Result<&RegistryAuth, RegistryError> {
        match &self.0 {
            Who::Known(auth) => Ok(auth),
            Who::IdentityToken(_) => Err(RegistryError::IdentityToken(registry.to_owned())),
        }
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self(Who::Known(RegistryAuth::Anonymous))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            // The inner type hides passwords.
            Who::Known(auth) => auth.fmt(f),
            Who::IdentityToken(_) => f.write_str("IdentityToken(<redacted>)"),
        }
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
            assert!(read == Credentials::user("me".into(), "s3cret!".into()), "{read:?}");
            assert!(!format!("{read:?}").contains("s3cret"));
        }
        assert!(Credentials::of_header("").expect("nobody").is_nobody());
        assert!(Credentials::of_header(&BASE64.encode("{}")).expect("nobody").is_nobody());
        assert_eq!(Credentials::of_header("%%").map(|_| ()), Err(InvalidCredentials));
    }

    #[test]
    fn headers_are_written_as_dockers_clients_do_and_read_again() {
        let of = |header: &str| {
            let json = BASE64.decode(header).expect("base64");
            serde_json::from_slice::<serde_json::Value>(&json).expect("JSON")
        };
        let user = Credentials::user("me".into(), "s3cret".into());
        assert_eq!(
            of(&user.to_header("docker.io")),
            json!({"username": "me", "password": "s3cret", "serveraddress": HUB_SERVER})
        );
        let token = Credentials::identity_token("t0ken".into());
        assert_eq!(
            of(&token.to_header("reg.example:5000")),
            json!({"identitytoken": "t0ken", "serveraddress": "reg.example:5000"})
        );
        for credentials in [user, token, Credentials::default()] {
            let read = Credentials::of_header(&credentials.to_header("reg.example"));
            assert!(read.expect("a header") == credentials, "{credentials:?}");
        }
    }

    #[test]
    fn an_identity_token_is_refused_by_name_and_never_dropped() {
        let header = BASE64.encode(r#"{"identitytoken":"t0ken","serveraddress":"reg.example"}"#);
        let token = Credentials::of_header(&header).expect("a header");
        assert!(!token.is_nobody());
        assert_eq!(format!("{token:?}"), "IdentityToken(<redacted>)");
        let refused = token.known("reg.example").expect_err("an identity token").to_string();
        assert!(refused.starts_with("reg.example: the credentials are an identity token"));
        assert!(!refused.contains("t0ken"), "{refused}");
    }
}
