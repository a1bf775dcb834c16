//! Fields by the version of the API that has them first. What a request in an older version
//! says of them is left out, as Docker's engine does; and so are they in its answer. Nobody
//! who writes back what he read changes more by that than he does with Docker's.
//!
//! The versions are those of Docker's history of its API. What came after the newest version
//! that is answered here is answered in all of them, or nobody would ever have it.

use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::Value;

use swarmw_model::Refusal;

use crate::version::ApiVersion;
use crate::words::at;

/// First version with jobs.
pub(crate) const JOBS: ApiVersion = ApiVersion::v1(41);

/// A field that was not there from the beginning.
pub(crate) struct Field {
    /// From the object's root; `*` stands for every element of a list.
    place: &'static [&'static str],
    since: ApiVersion,
}

const fn field(place: &'static [&'static str], minor: u32) -> Field {
    Field { place, since: ApiVersion::v1(minor) }
}

/// Of a task's template: what Docker's engine drops of a request. A mount's and a health
/// check's other fields it takes in any version.
const TEMPLATE: &[Field] = &[
    field(&["ContainerSpec", "Sysctls"], 40),
    field(&["ContainerSpec", "Privileges", "CredentialSpec", "Config"], 40),
    field(&["ContainerSpec", "Configs", "*", "Runtime"], 40),
    field(&["Placement", "MaxReplicas"], 40),
    field(&["ContainerSpec", "CapabilityAdd"], 41),
    field(&["ContainerSpec", "CapabilityDrop"], 41),
    field(&["ContainerSpec", "Ulimits"], 41),
    field(&["Resources", "Limits", "Pids"], 41),
    field(&["ContainerSpec", "Privileges", "Seccomp"], 44),
    field(&["ContainerSpec", "Privileges", "AppArmor"], 44),
    field(&["ContainerSpec", "Privileges", "NoNewPrivileges"], 44),
    field(&["ContainerSpec", "Healthcheck", "StartInterval"], 44),
    field(&["ContainerSpec", "Mounts", "*", "TmpfsOptions", "Options"], 46),
    field(&["ContainerSpec", "OomScoreAdj"], 46),
];

/// Of a service, beside its specs. A job keeps its mode, or it would seem to be none.
const SERVICE: &[Field] = &[Field { place: &["JobStatus"], since: JOBS }];

/// Of a node. `Status.Addr` (1.25) stays: Traefik asks in 1.24 for it, and Docker answers.
pub(crate) const NODE: &[Field] = &[field(&["Description", "TLSInfo"], 30)];

/// Of a network. `Ingress` (1.29) stays, or the ingress network would seem to be any other.
pub(crate) const NETWORK: &[Field] = &[field(&["Created"], 25), field(&["Peers"], 25)];

/// Of the cluster, in `/swarm` and in `/info`.
const CLUSTER: &[Field] = &[
    field(&["TLSInfo"], 30),
    field(&["RootRotationInProgress"], 30),
    field(&["DefaultAddrPool"], 39),
    field(&["SubnetSize"], 39),
    field(&["DataPathPort"], 40),
];

/// Of what founds a cluster.
const FOUNDING: &[Field] =
    &[field(&["DefaultAddrPool"], 39), field(&["SubnetSize"], 39), field(&["DataPathPort"], 40)];

/// A value as a version of the API has it.
pub(crate) struct In<'v, T> {
    version: ApiVersion,
    fields: &'static [Field],
    value: &'v T,
}

/// Leaves out of a service's spec, as it was posted, what is later than the request.
///
/// # Errors
/// The service is a job, and there were none. Docker drops the mode and makes a service that
/// never ends of it.
pub(crate) fn ask_service(version: ApiVersion, spec: &mut Value) -> Result<(), Refusal> {
    if let Some(template) = spec.get_mut("TaskTemplate") {
        strip(version, TEMPLATE, template);
    }
    let is_job = |mode: &&str| spec.pointer(&format!("/Mode/{mode}")).is_some();
    match ["ReplicatedJob", "GlobalJob"].iter().find(|mode| version < JOBS && is_job(mode)) {
        Some(mode) => Err(Refusal::invalid(format!(
            "service mode {mode} wants version {JOBS} of the API or later, and this request is in \
             version {version}: ask in a later one"
        ))),
        None => Ok(()),
    }
}

/// Leaves out of what founds a cluster what is later than the request.
pub(crate) fn ask_founding(version: ApiVersion, posted: &mut Value) {
    strip(version, FOUNDING, posted);
}

/// Leaves out of a service what is later than the request.
pub(crate) fn tell_service(version: ApiVersion, service: &mut Value) {
    strip(version, SERVICE, service);
    for spec in ["/Spec/TaskTemplate", "/PreviousSpec/TaskTemplate"] {
        if let Some(template) = service.pointer_mut(spec) {
            strip(version, TEMPLATE, template);
        }
    }
}

/// Whether a version of the API has all that services and their templates have, so that
/// nothing need be left out.
pub(crate) fn has_whole_services(version: ApiVersion) -> bool {
    SERVICE.iter().chain(TEMPLATE).all(|field| field.since <= version)
}

/// Leaves out of a task's template what is later than the request.
pub(crate) fn tell_template(version: ApiVersion, template: &mut Value) {
    strip(version, TEMPLATE, template);
}

/// Leaves out of the cluster what is later than the request.
pub(crate) fn tell_cluster(version: ApiVersion, cluster: &mut Value) {
    strip(version, CLUSTER, cluster);
}

fn strip(version: ApiVersion, fields: &[Field], value: &mut Value) {
    for field in fields.iter().filter(|field| version < field.since) {
        let Some((key, parents)) = field.place.split_last() else {
            continue;
        };
        for parent in at(value, parents) {
            if let Some(map) = parent.as_object_mut() {
                map.remove(*key);
            }
        }
    }
}

// === impl In ===

impl<'v, T> In<'v, T> {
    /// This value, with those of these fields that are in the version.
    pub(crate) fn version(version: ApiVersion, fields: &'static [Field], value: &'v T) -> Self {
        Self { version, fields, value }
    }
}

impl<T: Serialize> Serialize for In<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // As it is, its fields in their order, where it has nothing that is later.
        if self.fields.iter().all(|field| field.since <= self.version) {
            return self.value.serialize(to);
        }
        let mut value = serde_json::to_value(self.value).map_err(S::Error::custom)?;
        strip(self.version, self.fields, &mut value);
        value.serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::MAXIMUM;
    use serde_json::json;

    fn template() -> Value {
        json!({
            "ContainerSpec": {
                "Image": "x", "Sysctls": {"a": "b"}, "CapabilityAdd": ["x"],
                "CapabilityDrop": ["x"], "Ulimits": [{"Name": "x"}], "OomScoreAdj": 1,
                "Privileges": {"CredentialSpec": {"Config": "x"}, "Seccomp": {"Mode": "default"},
                    "AppArmor": {"Mode": "default"}, "NoNewPrivileges": true},
                "Configs": [{"ConfigName": "x", "Runtime": {}}],
                "Healthcheck": {"Interval": 1, "StartInterval": 1},
                "Mounts": [{"Target": "/x", "TmpfsOptions": {"Mode": 1, "Options": [["x"]]}}],
            },
            "Placement": {"Constraints": ["x"], "MaxReplicas": 1},
            "Resources": {"Limits": {"NanoCPUs": 1, "Pids": 1}},
        })
    }

    /// How often one of the fields is there.
    fn left(fields: &[Field], value: &mut Value) -> usize {
        let is_there = |field: &&Field| {
            let (key, parents) = field.place.split_last().expect("a place");
            at(value, parents).iter().any(|parent| parent.get(*key).is_some())
        };
        fields.iter().filter(is_there).count()
    }

    #[test]
    fn a_template_has_what_its_version_has() {
        for (minor, want) in [(24, 0), (39, 0), (40, 4), (41, 8), (43, 8), (44, 12), (46, 14)] {
            let mut template = template();
            tell_template(ApiVersion::v1(minor), &mut template);
            assert_eq!(left(TEMPLATE, &mut template), want, "1.{minor}: {template}");
            assert_eq!(template["ContainerSpec"]["Healthcheck"]["Interval"], 1);
            assert_eq!(template["Placement"]["Constraints"], json!(["x"]));
        }
    }

    #[test]
    fn both_specs_of_a_service_are_of_its_version_and_it_stays_a_job() {
        let spec = json!({"Mode": {"GlobalJob": {}}, "TaskTemplate": template()});
        let whole = json!({"Spec": spec, "PreviousSpec": spec, "JobStatus": {}});
        let mut old = whole.clone();
        tell_service(ApiVersion::v1(39), &mut old);
        for which in ["Spec", "PreviousSpec"] {
            assert_eq!(left(TEMPLATE, &mut old[which]["TaskTemplate"]), 0, "{which}: {old}");
        }
        assert_eq!((&old["JobStatus"], &old["Spec"]["Mode"]), (&Value::Null, &spec["Mode"]));
        let mut new = whole.clone();
        tell_service(MAXIMUM, &mut new);
        assert_eq!(new, whole);
    }

    #[test]
    fn a_job_is_refused_where_there_were_none_and_becomes_nothing_else() {
        let mut spec = json!({"Mode": {"ReplicatedJob": {}}});
        let refused = ask_service(ApiVersion::v1(40), &mut spec).expect_err("refused");
        assert_eq!(
            refused.message,
            "service mode ReplicatedJob wants version 1.41 of the API or later, and this request \
             is in version 1.40: ask in a later one"
        );
        ask_service(JOBS, &mut spec).expect("there are jobs");
        ask_service(ApiVersion::v1(40), &mut json!({"Mode": {"Global": {}}})).expect("no job");
    }

    #[test]
    fn what_has_nothing_later_keeps_the_order_of_its_fields() {
        #[derive(serde::Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Network {
            scope: u8,
            created: u8,
            name: u8,
        }
        let network = Network { scope: 1, created: 2, name: 3 };
        let told = |minor: u32| {
            let network = In::version(ApiVersion::v1(minor), NETWORK, &network);
            serde_json::to_string(&network).expect("JSON")
        };
        assert_eq!(told(25), r#"{"Scope":1,"Created":2,"Name":3}"#);
        let old: Value = serde_json::from_str(&told(24)).expect("JSON");
        assert_eq!(old, json!({"Scope": 1, "Name": 3}));
    }
}
