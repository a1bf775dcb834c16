//! Image references: Docker images, and Wasm components by digest.

use std::fmt;

use crate::Platform;

/// What a Wasm component runs on: the `os` and `architecture` of the CNCF Wasm
/// OCI artifact layout.
pub const WASM_PLATFORM: (&str, &str) = ("wasip2", "wasm");

/// What an image reference names, as far as its text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// An image in a registry or on the engine; possibly a Wasm artifact, which
    /// only the registry can tell.
    Registry,
    /// An uploaded component, `NAME.wasm@sha256:…`, held by the managers.
    UploadedComponent,
}

/// A parsed image reference: `[DOMAIN/]PATH[:TAG][@DIGEST]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference<'a> {
    /// Domain and path, without tag and digest.
    pub name: &'a str,
    /// The tag.
    pub tag: Option<&'a str>,
    /// `sha256:…`.
    pub digest: Option<&'a str>,
}

// === impl ImageReference ===

impl<'a> ImageReference<'a> {
    /// Splits a reference; nothing is refused here, the registry does that.
    pub fn parse(text: &'a str) -> Self {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let path_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        match rest[path_start..].find(':') {
            Some(colon) => Self {
                name: &rest[..path_start + colon],
                tag: Some(&rest[path_start + colon + 1..]),
                digest,
            },
            None => Self { name: rest, tag: None, digest },
        }
    }

    /// What the text names.
    pub fn kind(&self) -> ImageKind {
        if self.name.ends_with(".wasm") && self.digest.is_some() && self.tag.is_none() {
            ImageKind::UploadedComponent
        } else {
            ImageKind::Registry
        }
    }

    /// The host of the registry, or Docker Hub's.
    pub fn domain(&self) -> &'a str {
        match self.name.split_once('/') {
            Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
            _ => "docker.io",
        }
    }
}

/// The familiar form: as users type it, without `docker.io/library/` and digest,
/// with the tag.
impl fmt::Display for ImageReference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self
            .name
            .strip_prefix("docker.io/library/")
            .or_else(|| self.name.strip_prefix("docker.io/"))
            .unwrap_or(self.name);
        match (self.tag, self.digest) {
            (Some(tag), _) => write!(f, "{name}:{tag}"),
            (None, Some(_)) => f.write_str(name),
            (None, None) => write!(f, "{name}:latest"),
        }
    }
}

impl Platform {
    /// The platform of Wasm components.
    pub fn wasm() -> Self {
        let (os, architecture) = WASM_PLATFORM;
        Self { os: os.to_owned(), architecture: architecture.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_names_tags_and_digests() {
        for (text, name, tag, digest, shown) in [
            ("redis", "redis", None, None, "redis:latest"),
            ("redis:3.0.6", "redis", Some("3.0.6"), None, "redis:3.0.6"),
            ("localhost:5000/a/b", "localhost:5000/a/b", None, None, "localhost:5000/a/b:latest"),
            (
                "docker.io/library/redis:7@sha256:ab",
                "docker.io/library/redis",
                Some("7"),
                Some("sha256:ab"),
                "redis:7",
            ),
            ("hello.wasm@sha256:ab", "hello.wasm", None, Some("sha256:ab"), "hello.wasm"),
        ] {
            let parsed = ImageReference::parse(text);
            assert_eq!((parsed.name, parsed.tag, parsed.digest), (name, tag, digest), "{text}");
            assert_eq!(parsed.to_string(), shown);
        }
        assert_eq!(
            ImageReference::parse("hello.wasm@sha256:ab").kind(),
            ImageKind::UploadedComponent
        );
        assert_eq!(ImageReference::parse("reg:5000/hello.wasm:1").kind(), ImageKind::Registry);
        assert_eq!(ImageReference::parse("localhost:5000/x").domain(), "localhost:5000");
        assert_eq!(ImageReference::parse("a/b").domain(), "docker.io");
    }
}
