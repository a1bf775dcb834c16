//! `swarmw info`: what a node is and its part in the swarm, as `docker info` words it.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value, json};
use swarmw_model::Duration;

use crate::client::Client;
use crate::failure::Failure;
use crate::inspect::{Look, one};
use crate::io::Io;
use crate::shape::INFO;
use crate::table::{bytes_size, human};

/// `info`
#[derive(clap::Args, Clone, Debug, Default)]
#[command(args_override_self = true)]
pub struct InfoArgs {
    /// Format output: json, or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

pub(crate) async fn run(client: &Client, args: &InfoArgs, io: &mut Io) -> Result<(), Failure> {
    let mut told: Map<String, Value> = client.get("/info").read().await?;
    told.insert("ClientInfo".to_owned(), json!({"Version": env!("CARGO_PKG_VERSION")}));
    let info = Value::Object(told);
    if let Some(format) = args.format.as_deref().filter(|format| !format.is_empty()) {
        return Ok(io.line(one(format, Look::typed(&INFO), &info.to_string())?)?);
    }
    io.text(&plain(&info))?;
    for warnings in ["/Warnings", "/Swarm/Warnings"] {
        for warning in texts(&info, warnings) {
            io.warn(warning)?;
        }
    }
    Ok(())
}

/// For people.
fn plain(info: &Value) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, info);
    out
}

fn write(out: &mut String, info: &Value) -> fmt::Result {
    writeln!(out, "Client:\n Version:    {}\n\nServer:", text(info, "/ClientInfo/Version"))?;
    writeln!(out, " Containers: {}", number(info, "/Containers"))?;
    writeln!(out, "  Running: {}", number(info, "/ContainersRunning"))?;
    writeln!(out, "  Paused: {}", number(info, "/ContainersPaused"))?;
    writeln!(out, "  Stopped: {}", number(info, "/ContainersStopped"))?;
    writeln!(out, " Images: {}", number(info, "/Images"))?;
    writeln!(out, " Server Version: {}", text(info, "/ServerVersion"))?;
    writeln!(out, " Swarm: {}", text(info, "/Swarm/LocalNodeState"))?;
    swarm(out, &info["Swarm"])?;
    writeln!(out, " Operating System: {}", text(info, "/OperatingSystem"))?;
    writeln!(out, " OSType: {}", text(info, "/OSType"))?;
    writeln!(out, " Architecture: {}", text(info, "/Architecture"))?;
    writeln!(out, " CPUs: {}", number(info, "/NCPU"))?;
    writeln!(out, " Total Memory: {}", bytes_size(number(info, "/MemTotal")))?;
    writeln!(out, " Name: {}", text(info, "/Name"))?;
    writeln!(out, " ID: {}", text(info, "/ID"))?;
    let labels: Vec<_> = texts(info, "/Labels").collect();
    if !labels.is_empty() {
        writeln!(out, " Labels:\n  {}", labels.join("\n  "))?;
    }
    Ok(())
}

/// The node's part in the swarm, where it has one and can say so.
fn swarm(out: &mut String, swarm: &Value) -> fmt::Result {
    let state = text(swarm, "/LocalNodeState");
    if matches!(state, "" | "inactive" | "locked") {
        return Ok(());
    }
    writeln!(out, "  NodeID: {}", text(swarm, "/NodeID"))?;
    let error = text(swarm, "/Error");
    if !error.is_empty() {
        writeln!(out, "  Error: {error}")?;
    }
    let controls = is_on(swarm, "/ControlAvailable");
    writeln!(out, "  Is Manager: {controls}")?;
    if controls && error.is_empty() && state != "error" && swarm["Cluster"].is_object() {
        cluster(out, swarm)?;
    }
    writeln!(out, "  Node Address: {}", text(swarm, "/NodeAddr"))?;
    let managers = swarm["RemoteManagers"].as_array().into_iter().flatten();
    let mut addresses: Vec<_> = managers.map(|manager| text(manager, "/Addr")).collect();
    addresses.sort_unstable();
    if !addresses.is_empty() {
        writeln!(out, "  Manager Addresses:\n   {}", addresses.join("\n   "))?;
    }
    Ok(())
}

/// What managers know of the swarm.
fn cluster(out: &mut String, swarm: &Value) -> fmt::Result {
    let (of, spec) = (&swarm["Cluster"], &swarm["Cluster"]["Spec"]);
    writeln!(out, "  ClusterID: {}", text(of, "/ID"))?;
    writeln!(out, "  Managers: {}", number(swarm, "/Managers"))?;
    writeln!(out, "  Nodes: {}", number(swarm, "/Nodes"))?;
    if of["DefaultAddrPool"].is_array() {
        // Two blanks behind each, as Docker's client.
        let pools: String = texts(of, "/DefaultAddrPool").map(|pool| format!("{pool}  ")).collect();
        writeln!(out, "  Default Address Pool: {pools}")?;
        writeln!(out, "  SubnetSize: {}", number(of, "/SubnetSize"))?;
    }
    let port = number(of, "/DataPathPort");
    if port > 0 {
        writeln!(out, "  Data Path Port: {port}")?;
    }
    let history = number(spec, "/Orchestration/TaskHistoryRetentionLimit");
    writeln!(out, "  Orchestration:\n   Task History Retention Limit: {history}")?;
    writeln!(out, "  Raft:\n   Snapshot Interval: {}", number(spec, "/Raft/SnapshotInterval"))?;
    if let Some(kept) = spec.pointer("/Raft/KeepOldSnapshots").and_then(Value::as_i64) {
        writeln!(out, "   Number of Old Snapshots to Retain: {kept}")?;
    }
    writeln!(out, "   Heartbeat Tick: {}", number(spec, "/Raft/HeartbeatTick"))?;
    writeln!(out, "   Election Tick: {}", number(spec, "/Raft/ElectionTick"))?;
    let span = |path: &str| human(Duration::from_nanos(number(spec, path)));
    writeln!(out, "  Dispatcher:\n   Heartbeat Period: {}", span("/Dispatcher/HeartbeatPeriod"))?;
    writeln!(out, "  CA Configuration:")?;
    writeln!(out, "   Expiry Duration: {}", span("/CAConfig/NodeCertExpiry"))?;
    writeln!(out, "   Force Rotate: {}", number(spec, "/CAConfig/ForceRotate"))?;
    let locks = is_on(spec, "/EncryptionConfig/AutoLockManagers");
    writeln!(out, "  Autolock Managers: {locks}")?;
    writeln!(out, "  Root Rotation In Progress: {}", is_on(of, "/RootRotationInProgress"))
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, path: &str) -> i64 {
    value.pointer(path).and_then(Value::as_i64).unwrap_or_default()
}

fn is_on(value: &Value, path: &str) -> bool {
    value.pointer(path).and_then(Value::as_bool).unwrap_or_default()
}

fn texts<'v>(value: &'v Value, path: &str) -> impl Iterator<Item = &'v str> {
    let list = value.pointer(path).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager() -> Value {
        json!({
            "ID": "x", "Name": "box", "Containers": 3, "ContainersRunning": 2,
            "ContainersPaused": 0, "ContainersStopped": 1, "Images": 4, "ServerVersion": "20.10.24",
            "OperatingSystem": "Debian", "OSType": "linux", "Architecture": "x86_64", "NCPU": 2,
            "MemTotal": 2_096_267_264, "Labels": ["a=b"], "ClientInfo": {"Version": "0.1.0"},
            "Swarm": {
                "NodeID": "n1", "NodeAddr": "10.0.0.2", "LocalNodeState": "active",
                "ControlAvailable": true, "Error": "", "Nodes": 3, "Managers": 1,
                "RemoteManagers": [{"NodeID": "n2", "Addr": "10.0.0.3:2377"},
                    {"NodeID": "n1", "Addr": "10.0.0.2:2377"}],
                "Cluster": {
                    "ID": "c1", "DefaultAddrPool": ["10.0.0.0/8"], "SubnetSize": 24,
                    "DataPathPort": 4789, "RootRotationInProgress": false,
                    "Spec": {
                        "Name": "default",
                        "Orchestration": {"TaskHistoryRetentionLimit": 5},
                        "Raft": {"SnapshotInterval": 10000, "KeepOldSnapshots": 0,
                            "ElectionTick": 10, "HeartbeatTick": 1},
                        "Dispatcher": {"HeartbeatPeriod": 5_000_000_000_i64},
                        "CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000_i64},
                        "EncryptionConfig": {"AutoLockManagers": true},
                    },
                },
            },
        })
    }

    #[test]
    fn a_manager_reads_as_dockers() {
        let want = "Client:
 Version:    0.1.0

Server:
 Containers: 3
  Running: 2
  Paused: 0
  Stopped: 1
 Images: 4
 Server Version: 20.10.24
 Swarm: active
  NodeID: n1
  Is Manager: true
  ClusterID: c1
  Managers: 1
  Nodes: 3
  Default Address Pool: 10.0.0.0/8  \n  SubnetSize: 24
  Data Path Port: 4789
  Orchestration:
   Task History Retention Limit: 5
  Raft:
   Snapshot Interval: 10000
   Number of Old Snapshots to Retain: 0
   Heartbeat Tick: 1
   Election Tick: 10
  Dispatcher:
   Heartbeat Period: 5 seconds
  CA Configuration:
   Expiry Duration: 3 months
   Force Rotate: 0
  Autolock Managers: true
  Root Rotation In Progress: false
  Node Address: 10.0.0.2
  Manager Addresses:
   10.0.0.2:2377
   10.0.0.3:2377
 Operating System: Debian
 OSType: linux
 Architecture: x86_64
 CPUs: 2
 Total Memory: 1.952GiB
 Name: box
 ID: x
 Labels:
  a=b
";
        assert_eq!(plain(&manager()), want);
    }

    #[test]
    fn a_worker_knows_its_part_alone_and_who_has_none_says_so() {
        let mut info = manager();
        info["Swarm"]["ControlAvailable"] = json!(false);
        let shown = plain(&info);
        assert!(shown.contains("  Is Manager: false\n  Node Address: 10.0.0.2\n"), "{shown}");
        for state in ["inactive", "locked"] {
            info["Swarm"]["LocalNodeState"] = json!(state);
            let shown = plain(&info);
            assert!(shown.contains(&format!(" Swarm: {state}\n Operating System")), "{shown}");
        }
    }

    #[test]
    fn templates_have_the_types_of_dockers_client() {
        let show = |format: &str| {
            one(format, Look::typed(&INFO), &manager().to_string()).map_err(|e| e.to_string())
        };
        for (format, want) in [
            ("{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}", "active true"),
            ("{{.Swarm.Cluster.Spec.Dispatcher.HeartbeatPeriod}}", "5s"),
            ("{{range .Swarm.RemoteManagers}}{{.Addr}} {{end}}", "10.0.0.3:2377 10.0.0.2:2377 "),
            ("{{.ClientInfo.Version}} {{.KernelVersion}}", "0.1.0 "),
        ] {
            assert_eq!(show(format), Ok(want.to_owned()), "{format}");
        }
        assert_eq!(show("json"), Ok(manager().to_string()));
        assert!(show("{{.Swarm.Nope}}").is_err());
    }
}
