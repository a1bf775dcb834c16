//! JSON in the order in which Docker writes it: names first, so that people find
//! what they look for. Clients do not care.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

/// Keys of services and what is inside of them, as their objects have them; keys
/// that are not here come behind, in the order of the alphabet.
const ORDER: &[&str] = &[
    "ID",
    "Version",
    "SpecVersion",
    "CreatedAt",
    "UpdatedAt",
    "Spec",
    "PreviousSpec",
    // Of a spec.
    "Name",
    "Image",
    "Labels",
    "TaskTemplate",
    // Of a task's template.
    "ContainerSpec",
    "Resources",
    "RestartPolicy",
    "Placement",
    "LogDriver",
    "ForceUpdate",
    "Runtime",
    // Of a container.
    "Command",
    "Args",
    "Hostname",
    "Env",
    "Dir",
    "User",
    "Groups",
    "Privileges",
    "Init",
    "StopSignal",
    "TTY",
    "OpenStdin",
    "ReadOnly",
    "Mounts",
    "StopGracePeriod",
    "Healthcheck",
    "Hosts",
    "DNSConfig",
    "Secrets",
    "Configs",
    "Isolation",
    "Sysctls",
    "CapabilityAdd",
    "CapabilityDrop",
    "Ulimits",
    "OomScoreAdj",
    // Of a secret or a config.
    "File",
    "UID",
    "GID",
    "SecretID",
    "SecretName",
    "ConfigID",
    "ConfigName",
    // Of a mount and a port.
    "Type",
    "Source",
    "Target",
    "Protocol",
    "TargetPort",
    "PublishedPort",
    "PublishMode",
    // Of health checks, restarts and updates.
    "Test",
    "Interval",
    "Timeout",
    "StartPeriod",
    "StartInterval",
    "Retries",
    "Condition",
    "Parallelism",
    "Delay",
    "MaxAttempts",
    "Window",
    "FailureAction",
    "Monitor",
    "MaxFailureRatio",
    "Order",
    // Of the rest of a spec and of a service.
    "Mode",
    "UpdateConfig",
    "RollbackConfig",
    "EndpointSpec",
    "Ports",
    "Endpoint",
    "UpdateStatus",
    "ServiceStatus",
    "State",
    "StartedAt",
    "CompletedAt",
    "Message",
];

/// A value that is written in that order, whole numbers as such.
pub(crate) struct Ordered<'v>(pub(crate) &'v Value);

// === impl Ordered ===

impl Ordered<'_> {
    fn members(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
        let rank = |key: &str| ORDER.iter().position(|known| *known == key).unwrap_or(ORDER.len());
        let mut members: Vec<_> = map.iter().collect();
        // Stable: what has the same rank stays in the order of the alphabet.
        members.sort_by_key(|(key, _)| rank(key));
        members
    }
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(map) => {
                let mut written = to.serialize_map(Some(map.len()))?;
                for (key, value) in Self::members(map) {
                    written.serialize_entry(key, &Ordered(value))?;
                }
                written.end()
            }
            Value::Array(list) => to.collect_seq(list.iter().map(Ordered)),
            Value::Number(number) => match number.as_f64() {
                // As Go writes them: 0 and not 0.0.
                Some(whole) if number.is_f64() && whole == whole.trunc() && whole.abs() < 1e15 => {
                    to.serialize_i64(whole as i64)
                }
                _ => number.serialize(to),
            },
            plain => plain.serialize(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_come_first_and_what_is_unknown_last() {
        let value = json!({"Zeta": 1, "Alpha": 0.5, "Spec": {"Mode": {}, "Labels": {"b": "1", "a": "2"}, "Name": "web"}, "ID": "x",
            "List": [{"Ratio": 1.0, "Name": null}]});
        assert_eq!(
            serde_json::to_string(&Ordered(&value)).expect("JSON"),
            r#"{"ID":"x","Spec":{"Name":"web","Labels":{"a":"2","b":"1"},"Mode":{}},"Alpha":0.5,"List":[{"Name":null,"Ratio":1}],"Zeta":1}"#
        );
    }
}
