//! API versions: which ones are answered, and how a path names one.

use http::Uri;

use swarmw_model::Refusal;

pub use swarmw_model::ApiVersion;

/// The newest version answered: the last one before 1.48, which brings image
/// mounts. Every Swarm field up to here is honoured or refused by name, and so is what the
/// node's engine is asked for and is too old for ([`swarmw_model::Later`]).
pub const MAXIMUM: ApiVersion = ApiVersion::v1(47);
/// The oldest version answered: Docker's own for as long as Swarm mode exists.
pub const MINIMUM: ApiVersion = ApiVersion::v1(24);

/// Refuses versions that are not answered.
pub(crate) fn check(version: ApiVersion) -> Result<ApiVersion, Refusal> {
    if version > MAXIMUM {
        return Err(Refusal::invalid(format!(
            "client version {version} is too new. Maximum supported API version is {MAXIMUM}"
        )));
    }
    if version < MINIMUM {
        return Err(Refusal::invalid(format!(
            "client version {version} is too old. Minimum supported API version is {MINIMUM}, \
             please upgrade your client to a newer version"
        )));
    }
    Ok(version)
}

/// Takes `/v1.47` off the front of a path: the version, where there is one, and
/// the rest with its query.
pub(crate) fn split(uri: &Uri) -> (Option<ApiVersion>, String) {
    let whole = uri.path_and_query().map_or("/", |p| p.as_str());
    let versioned = whole.strip_prefix("/v").and_then(|rest| {
        let end = rest.find('/')?;
        Some((ApiVersion::parse(&rest[..end])?, rest[end..].to_owned()))
    });
    match versioned {
        Some((version, rest)) => (Some(version), rest),
        None => (None, whole.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_name_a_version() {
        for (uri, version, rest) in [
            ("/v1.41/nodes?a=b", Some(ApiVersion::v1(41)), "/nodes?a=b"),
            ("/nodes", None, "/nodes"),
            ("/volumes", None, "/volumes"),
            ("/v1.x/nodes", None, "/v1.x/nodes"),
            ("/v1.41", None, "/v1.41"),
        ] {
            let uri = uri.parse().expect("a uri");
            assert_eq!(split(&uri), (version, rest.to_owned()));
        }
    }

    #[test]
    fn versions_outside_the_range_are_refused_in_dockers_words() {
        assert_eq!(
            check(ApiVersion::v1(99)).unwrap_err().message,
            "client version 1.99 is too new. Maximum supported API version is 1.47"
        );
        assert_eq!(
            check(ApiVersion::v1(12)).unwrap_err().message,
            "client version 1.12 is too old. Minimum supported API version is 1.24, please \
             upgrade your client to a newer version"
        );
        assert_eq!(check(ApiVersion::v1(41)), Ok(ApiVersion::v1(41)));
    }
}
