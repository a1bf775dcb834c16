//! Names of fields in any letter case, as Go reads them and some clients send them:
//! docker-py says `replicated` for `Replicated`.

use serde_json::Value;

/// Every field of the bodies that are read here.
#[rustfmt::skip]
const FIELDS: &[&str] = &[
    // Cluster.
    "AdvertiseAddr", "AutoLockManagers", "Availability", "CAConfig", "DataPathAddr",
    "DataPathPort", "DefaultAddrPool", "Dispatcher", "ElectionTick", "EncryptionConfig",
    "ExternalCAs", "ForceNewCluster", "ForceRotate", "HeartbeatPeriod", "HeartbeatTick",
    "JoinToken", "KeepOldSnapshots", "Labels", "ListenAddr", "LogDriver",
    "LogEntriesForSlowFollowers", "Name", "NodeCertExpiry", "Orchestration", "Raft",
    "RemoteAddrs", "Role", "SigningCACert", "SigningCAKey", "SnapshotInterval", "Spec",
    "SubnetSize", "TaskDefaults", "TaskHistoryRetentionLimit", "UnlockKey",
    // Service.
    "EndpointSpec", "Global", "GlobalJob", "MaxConcurrent", "Mode", "Networks", "Ports",
    "Protocol", "PublishedPort", "PublishMode", "Replicas", "Replicated", "ReplicatedJob",
    "RollbackConfig", "Swarmw", "TargetPort", "TaskTemplate", "TotalCompletions",
    "UpdateConfig", "PolicyOptions", "IngressSource", "Container", "Devices", "PathOnHost",
    "PathInContainer", "CgroupPermissions", "Privileged", "SecurityOpt", "ShmSize", "IpcMode",
    "PidMode", "HostAccess", "TasksFrom",
    // Update.
    "Delay", "FailureAction", "MaxFailureRatio", "Monitor", "Order", "Parallelism",
    // Task.
    "Architecture", "Condition", "Constraints", "ContainerSpec", "DiscreteResourceSpec",
    "ForceUpdate", "GenericResources", "Kind", "Limits", "MaxAttempts", "MaxReplicas", "MemoryBytes",
    "MemorySwappiness", "NamedResourceSpec", "NanoCPUs", "OS", "Pids", "Placement", "Platforms", "PluginSpec",
    "Preferences", "Reservations", "Resources", "RestartPolicy", "Runtime", "Spread",
    "SpreadDescriptor", "SwapBytes", "Value", "Window",
    // Container.
    "Args", "CapabilityAdd", "CapabilityDrop", "Command", "Configs", "DNSConfig", "Dir", "Env",
    "Groups", "Hard", "Healthcheck", "Hostname", "Hosts", "Image", "Init", "Interval",
    "Isolation", "Nameservers", "OomScoreAdj", "OpenStdin", "Options", "Privileges", "ReadOnly",
    "Retries", "Search", "Secrets", "Soft", "StartInterval", "StartPeriod", "StopGracePeriod",
    "StopSignal", "Sysctls", "TTY", "Test", "Timeout", "Ulimits", "User",
    // Privileges.
    "AppArmor", "CredentialSpec", "Disable", "Level", "NoNewPrivileges", "Profile", "Registry",
    "SELinuxContext", "Seccomp",
    // Secrets and configs.
    "ConfigID", "ConfigName", "Data", "Driver", "File", "GID", "SecretID", "SecretName",
    "Templating", "UID",
    // Networks.
    "Aliases", "Attachable", "AuxiliaryAddresses", "Config", "ConfigFrom", "ConfigOnly",
    "DriverOpts", "EnableIPv4", "EnableIPv6", "Gateway", "IPAM", "IPRange", "Ingress",
    "Internal", "Network", "NetworkAttachmentSpec", "Scope", "Subnet",
    // Mounts.
    "BindOptions", "Consistency", "CreateMountpoint", "DriverConfig", "Mounts", "NoCopy",
    "NonRecursive", "Propagation", "ReadOnlyForceRecursive", "ReadOnlyNonRecursive",
    "SizeBytes", "Source", "Subpath", "Target", "TmpfsOptions", "Type", "VolumeOptions",
];

/// Fields whose keys are the user's own.
const FREE: &[&str] =
    &["AuxiliaryAddresses", "DriverOpts", "Labels", "Options", "PolicyOptions", "Sysctls"];

/// Spells every known field right; an exact one wins over one that is not.
pub(crate) fn spell(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(spell),
        Value::Object(map) => {
            for (key, mut inner) in std::mem::take(map) {
                let field = FIELDS.iter().find(|f| f.eq_ignore_ascii_case(&key));
                let right = field.map_or(key.as_str(), |f| f);
                let exact = right == key;
                if !FREE.contains(&right) || inner.is_array() {
                    spell(&mut inner);
                }
                if exact || !map.contains_key(right) {
                    map.insert(right.to_owned(), inner);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_read_in_any_letter_case_and_the_users_keys_are_not() {
        let mut body = json!({
            "mode": {"replicated": {"replicas": 2}},
            "labels": {"name": "x", "NAME": "y"},
            "name": "wrong", "Name": "right",
            "TaskTemplate": {"ContainerSpec": {"mounts": [
                {"driverconfig": {"options": {"type": "nfs"}}, "unknown": {"IMAGE": 1}},
            ]}},
        });
        spell(&mut body);
        assert_eq!(
            body,
            json!({
                "Mode": {"Replicated": {"Replicas": 2}},
                "Labels": {"name": "x", "NAME": "y"},
                "Name": "right",
                "TaskTemplate": {"ContainerSpec": {"Mounts": [
                    {"DriverConfig": {"Options": {"type": "nfs"}}, "unknown": {"Image": 1}},
                ]}},
            })
        );
    }

    #[test]
    fn every_field_of_our_types_is_known() {
        let options = swarmw_model::ClusterOptions {
            tasks_from: swarmw_model::TasksFrom::Nodes,
            ..Default::default()
        };
        let spec = swarmw_model::ClusterSpec { swarmw: Some(options), ..Default::default() };
        let mut keys = Vec::new();
        collect(&json!(spec), &mut keys);
        let service = crate::services::shown_with_defaults(&full_service());
        collect(&service["Spec"], &mut keys);
        for key in keys {
            assert!(FIELDS.contains(&key.as_str()), "{key}");
        }
    }

    fn collect(value: &Value, keys: &mut Vec<String>) {
        match value {
            Value::Array(list) => list.iter().for_each(|v| collect(v, keys)),
            Value::Object(map) => {
                for (key, inner) in map {
                    keys.push(key.clone());
                    if !FREE.contains(&key.as_str()) {
                        collect(inner, keys);
                    }
                }
            }
            _ => {}
        }
    }

    fn full_service() -> swarmw_model::Service {
        serde_json::from_str(
            r#"{
            "ID": "0000000000000000000000001", "Version": {"Index": 1},
            "CreatedAt": "2025-11-20T23:41:33Z", "UpdatedAt": "2025-11-20T23:41:33Z",
            "Endpoint": {},
            "Spec": {
                "Name": "web",
                "Swarmw": {"PolicyOptions": {"a": "b"}},
                "EndpointSpec": {"Mode": "dnsrr", "Ports": [{"TargetPort": 1, "PublishedPort": 2}]},
                "TaskTemplate": {
                    "Placement": {"Constraints": ["a"], "MaxReplicas": 1,
                        "Preferences": [{"Spread": {"SpreadDescriptor": "a"}}],
                        "Platforms": [{"OS": "linux", "Architecture": "amd64"}]},
                    "Resources": {"Limits": {"NanoCPUs": 1, "MemoryBytes": 1, "Pids": 1},
                        "Reservations": {}, "SwapBytes": 1, "MemorySwappiness": 1},
                    "RestartPolicy": {"Window": 1},
                    "LogDriver": {"Name": "x"},
                    "Networks": [{"Target": "x", "Aliases": ["x"], "DriverOpts": {"a": "b"}}],
                    "ContainerSpec": {
                        "Image": "x", "Command": ["x"], "Args": ["x"], "Hostname": "x",
                        "Env": ["x"], "Dir": "x", "User": "x", "Groups": ["x"], "Init": true,
                        "StopSignal": "x", "TTY": true, "OpenStdin": true, "ReadOnly": true,
                        "Hosts": ["x"], "CapabilityAdd": ["x"], "CapabilityDrop": ["x"],
                        "OomScoreAdj": 1, "Sysctls": {"a": "b"}, "Labels": {"a": "b"},
                        "Ulimits": [{"Name": "x", "Hard": 1, "Soft": 1}],
                        "Secrets": [{"SecretID": "x", "SecretName": "x", "File": {"Name": "x"}}],
                        "Configs": [{"ConfigID": "x", "ConfigName": "x", "Runtime": {},
                            "File": {"Name": "x"}}],
                        "DNSConfig": {"Nameservers": ["x"], "Search": ["x"], "Options": ["x"]},
                        "Healthcheck": {"Test": ["x"], "Interval": 1, "Timeout": 1,
                            "StartPeriod": 1, "StartInterval": 1, "Retries": 1},
                        "Mounts": [{"Type": "bind", "Source": "x", "Target": "x",
                            "ReadOnly": true, "Consistency": "x",
                            "BindOptions": {"Propagation": "x", "NonRecursive": true,
                                "CreateMountpoint": true, "ReadOnlyNonRecursive": true,
                                "ReadOnlyForceRecursive": true},
                            "VolumeOptions": {"NoCopy": true, "Labels": {"a": "b"},
                                "Subpath": "x", "DriverConfig": {"Name": "x"}},
                            "TmpfsOptions": {"SizeBytes": 1, "Mode": 1}}]
                    }
                }
            }
        }"#,
        )
        .expect("a service")
    }
}
