//! Image references: Docker images, and Wasm components by digest.

use std::fmt;

use crate::Platform;

/// What a Wasm component runs on: the `os` and `architecture` of the CNCF Wasm
/// OCI artifact layout.
pub const WASM_PLATFORM: (&str, &str) = ("wasip2", "wasm");

/// Longest name of an image, its host included.
const NAME_MAX: usize = 255;
/// Longest tag.
const TAG_MAX: usize = 128;

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

    /// Whether it follows the grammar of references: a path of lower case words, a
    /// tag, a digest. An uploaded component keeps its file's name, whatever that is.
    pub fn is_valid(&self) -> bool {
        if self.kind() == ImageKind::UploadedComponent {
            return true;
        }
        let path = match self.name.split_once('/') {
            Some((host, path)) if is_host(host) => path,
            _ => self.name,
        };
        self.name.len() <= NAME_MAX
            && path.split('/').all(is_path_word)
            && self.tag.is_none_or(is_tag)
            && self.digest.is_none_or(is_digest)
    }

    /// The host of the registry, or Docker Hub's.
    pub fn domain(&self) -> &'a str {
        match self.name.split_once('/') {
            Some((first, _)) if is_host(first) => first,
            _ => "docker.io",
        }
    }
}

/// Whether what stands before the first slash is a registry's host.
fn is_host(word: &str) -> bool {
    word.contains(['.', ':']) || word == "localhost"
}

/// Lower case letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_path_word(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = word.as_bytes();
    let ends_well =
        bytes.first().copied().is_some_and(plain) && bytes.last().copied().is_some_and(plain);
    ends_well
        && word.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b"-.".contains(&b))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit())
    })
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

/// What whoever creates a service is told where nobody could find out what its image is: words
/// of Docker's.
pub fn no_digest(image: &str) -> String {
    format!(
        "image {image} could not be accessed on a registry to record\n\
         its digest. Each node will access {image} independently,\n\
         possibly leading to different nodes running different\n\
         versions of the image.\n"
    )
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

    #[test]
    fn references_follow_dockers_grammar() {
        for good in [
            "redis",
            "redis:3.0.6",
            "a/b_c/d__e/f-g/h---i.j",
            "localhost:5000/x:Latest-1",
            "Reg.Example:443/x@sha256:ab",
            "My App.wasm@sha256:ab",
        ] {
            assert!(ImageReference::parse(good).is_valid(), "{good}");
        }
        for bad in [
            "",
            ":latest",
            "BAD",
            "BAD@",
            "a b",
            "a//b",
            "-a",
            "a-",
            "a___b",
            "a..b",
            "x:",
            "x:-a",
            "x@sha256",
            "x@sha256:",
            "x@sha256:zz",
            "My.wasm",
            "a/B",
        ] {
            assert!(!ImageReference::parse(bad).is_valid(), "{bad}");
        }
    }
}
