//! What requests to an engine may say only since a version of its API: an older engine drops
//! it without a word, and does something else than it was asked to.
//!
//! From the history of the API's versions in Docker's documentation. Not here:
//!
//! - what an older engine refuses itself, as several networks of a new container;
//! - what it does anyway, as `ReadOnlyNonRecursive`: before API 1.44 it does nothing else;
//! - hints that clients give by themselves, as `ConsoleSize`: they say the same once more;
//! - what only asks to be told more, as `shared-size` of images: the answer shows that it is
//!   not there;
//! - what came after the newest version that is answered here.

use serde_json::Value;

use crate::{ApiVersion, Refusal};

/// A part of a request that engines know since a version.
#[derive(Clone, Copy, Debug)]
pub struct Later {
    method: &'static str,
    /// `{}` stands for a name, which may have slashes.
    route: &'static str,
    place: Place,
    since: ApiVersion,
}

/// Where it stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// A key of the query.
    Query(&'static str),
    /// A pointer into the body's JSON; `*` stands for each element of a list or an object.
    Body(&'static str),
}

const CREATE: &str = "/containers/create";
const CONNECT: &str = "/networks/{}/connect";

static ALL: [Later; 15] = [
    query(CREATE, "platform", 41),
    body(CREATE, "/HostConfig/CgroupnsMode", 41),
    query("/containers/{}/stop", "signal", 42),
    query("/containers/{}/restart", "signal", 42),
    body(CREATE, "/HostConfig/Mounts/*/BindOptions/CreateMountpoint", 42),
    body(CREATE, "/HostConfig/Annotations", 43),
    body(CREATE, "/Healthcheck/StartInterval", 44),
    body(CREATE, "/HostConfig/Mounts/*/BindOptions/ReadOnlyForceRecursive", 44),
    body(CREATE, "/NetworkingConfig/EndpointsConfig/*/MacAddress", 44),
    body(CONNECT, "/EndpointConfig/MacAddress", 44),
    body(CREATE, "/HostConfig/Mounts/*/VolumeOptions/Subpath", 45),
    body(CREATE, "/HostConfig/Mounts/*/TmpfsOptions/Options", 46),
    body(
        CREATE,
        "/NetworkingConfig/EndpointsConfig/*/DriverOpts/com.docker.network.endpoint.sysctls",
        46,
    ),
    body(CONNECT, "/EndpointConfig/DriverOpts/com.docker.network.endpoint.sysctls", 46),
    query("/images/{}/push", "platform", 46),
];

const fn query(route: &'static str, key: &'static str, minor: u32) -> Later {
    Later { method: "POST", route, place: Place::Query(key), since: ApiVersion::v1(minor) }
}

const fn body(route: &'static str, pointer: &'static str, minor: u32) -> Later {
    Later { method: "POST", route, place: Place::Body(pointer), since: ApiVersion::v1(minor) }
}

// === impl Later ===

impl Later {
    /// What an engine of this version does not know of requests with this method and path,
    /// which names no version.
    pub fn than(
        engine: ApiVersion,
        method: &str,
        path: &str,
    ) -> impl Iterator<Item = &'static Self> {
        let of_request = move |later: &&Self| later.method == method && later.is_at(path);
        ALL.iter().filter(move |later| engine < later.since).filter(of_request)
    }

    /// Whether it is a part of the body, not of the query.
    pub fn is_of_body(&self) -> bool {
        matches!(self.place, Place::Body(_))
    }

    /// Refuses a query that says it; an empty value says nothing.
    pub fn check_query(&self, engine: ApiVersion, key: &str, value: &str) -> Result<(), Refusal> {
        match self.place {
            Place::Query(known) if known == key && !value.is_empty() => Err(self.refusal(engine)),
            _ => Ok(()),
        }
    }

    /// Refuses a body that says it; clients write `null`, `false`, 0 and what is empty where
    /// they mean nothing by it.
    pub fn check_body(&self, engine: ApiVersion, body: &Value) -> Result<(), Refusal> {
        match self.place {
            Place::Body(pointer) if says(body, pointer) => Err(self.refusal(engine)),
            _ => Ok(()),
        }
    }

    fn is_at(&self, path: &str) -> bool {
        match self.route.split_once("{}") {
            None => self.route == path,
            Some((before, after)) => path
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .is_some_and(|name| !name.is_empty()),
        }
    }

    fn refusal(&self, engine: ApiVersion) -> Refusal {
        let what = match self.place {
            Place::Query(key) => format!("the parameter {key}"),
            Place::Body(pointer) => {
                let steps = pointer.split('/').filter(|step| !matches!(*step, "" | "*"));
                steps.collect::<Vec<_>>().join(".")
            }
        };
        let since = self.since;
        Refusal::invalid(format!(
            "{what} wants an engine of API {since} or later (Docker {}), and this node's speaks \
             {engine}: leave it out, or use a node with a newer engine",
            release(since)
        ))
    }
}

/// Docker's first release with a version of the API.
fn release(version: ApiVersion) -> &'static str {
    match version.minor {
        ..=41 => "20.10",
        42 => "23.0",
        43 => "24.0",
        44 => "25.0",
        45 => "26.0",
        _ => "27.0",
    }
}

/// Whether something stands where a pointer leads. Names are found in any letter case, as an
/// engine finds them.
fn says(value: &Value, pointer: &str) -> bool {
    let Some(pointer) = pointer.strip_prefix('/') else {
        return !is_empty(value);
    };
    let end = pointer.find('/').unwrap_or(pointer.len());
    let (step, rest) = pointer.split_at(end);
    match value {
        Value::Array(list) => step == "*" && list.iter().any(|each| says(each, rest)),
        Value::Object(map) => map
            .iter()
            .any(|(key, each)| (step == "*" || key.eq_ignore_ascii_case(step)) && says(each, rest)),
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ENGINE: ApiVersion = ApiVersion::v1(41);

    fn created(engine: ApiVersion, body: &Value) -> Result<(), String> {
        let mut later = Later::than(engine, "POST", CREATE);
        later.try_for_each(|l| l.check_body(engine, body)).map_err(|refusal| refusal.message)
    }

    #[test]
    fn what_an_engine_does_not_know_is_refused_by_name() {
        let mount = |options: Value| json!({"HostConfig": {"Mounts": [{"Type": "bind"}, options]}});
        for (body, name, since, release) in [
            (
                json!({"HostConfig": {"Annotations": {"a": "b"}}}),
                "HostConfig.Annotations",
                43,
                "24.0",
            ),
            (
                json!({"hostconfig": {"annotations": {"a": "b"}}}),
                "HostConfig.Annotations",
                43,
                "24.0",
            ),
            (json!({"Healthcheck": {"StartInterval": 5}}), "Healthcheck.StartInterval", 44, "25.0"),
            (
                json!({"NetworkingConfig": {"EndpointsConfig": {"n": {"MacAddress": "02:42::"}}}}),
                "NetworkingConfig.EndpointsConfig.MacAddress",
                44,
                "25.0",
            ),
            (
                mount(json!({"BindOptions": {"ReadOnlyForceRecursive": true}})),
                "HostConfig.Mounts.BindOptions.ReadOnlyForceRecursive",
                44,
                "25.0",
            ),
            (
                mount(json!({"BindOptions": {"CreateMountpoint": true}})),
                "HostConfig.Mounts.BindOptions.CreateMountpoint",
                42,
                "23.0",
            ),
            (
                mount(json!({"VolumeOptions": {"Subpath": "x"}})),
                "HostConfig.Mounts.VolumeOptions.Subpath",
                45,
                "26.0",
            ),
            (
                mount(json!({"TmpfsOptions": {"Options": [["noexec"]]}})),
                "HostConfig.Mounts.TmpfsOptions.Options",
                46,
                "27.0",
            ),
        ] {
            let want = format!(
                "{name} wants an engine of API 1.{since} or later (Docker {release}), and this \
                 node's speaks 1.41: leave it out, or use a node with a newer engine"
            );
            assert_eq!(created(ENGINE, &body), Err(want), "{body}");
            assert_eq!(created(ApiVersion::v1(since), &body), Ok(()), "{body}");
        }
    }

    #[test]
    fn what_clients_write_for_nothing_is_nothing() {
        for nothing in [json!(null), json!(false), json!(0), json!(""), json!([]), json!({})] {
            let body = json!({
                "Healthcheck": {"StartInterval": nothing},
                "HostConfig": {"Annotations": nothing, "CgroupnsMode": nothing, "Mounts": [
                    {"BindOptions": {"CreateMountpoint": nothing}, "VolumeOptions": nothing,
                        "TmpfsOptions": {"Options": nothing}}
                ]},
                "NetworkingConfig": {"EndpointsConfig": {"default": {"MacAddress": nothing}}},
            });
            assert_eq!(created(ApiVersion::v1(40), &body), Ok(()), "{nothing}");
        }
        for body in [json!(null), json!([]), json!({"HostConfig": {"Mounts": null}})] {
            assert_eq!(created(ENGINE, &body), Ok(()), "{body}");
        }
    }

    #[test]
    fn parameters_are_refused_where_they_say_something() {
        for (path, key, value, refused) in [
            ("/containers/web/stop", "signal", "SIGINT", true),
            ("/containers/web/stop", "signal", "", false),
            ("/containers/web/stop", "t", "3", false),
            ("/containers/web/kill", "signal", "SIGINT", false),
            ("/containers//stop", "signal", "SIGINT", false),
            ("/images/reg.example:5000/team/web/push", "platform", "{}", true),
            ("/containers/create", "platform", "linux/arm64", false),
        ] {
            let mut later = Later::than(ENGINE, "POST", path);
            let checked = later.try_for_each(|l| l.check_query(ENGINE, key, value));
            assert_eq!(checked.is_err(), refused, "{path}?{key}={value}");
        }
        let mut read = Later::than(ENGINE, "GET", "/containers/create");
        assert!(read.next().is_none(), "it is about one method");
    }
}
