//! `volume create`

use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::{label, map};

/// `volume create`
#[derive(clap::Args, Clone, Debug)]
pub struct CreateArgs {
    /// Specify volume driver name
    #[arg(short, long, value_name = "string", default_value = "local")]
    driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "list", value_parser = label)]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long = "opt", value_name = "map")]
    opt: Vec<String>,
    /// Cluster volume access scope: single or multi
    #[arg(long, value_name = "string", value_parser = ["single", "multi"])]
    scope: Option<String>,
    /// Cluster volume access sharing: none, readonly, onewriter or all
    #[arg(long, value_name = "string", value_parser = ["none", "readonly", "onewriter", "all"])]
    sharing: Option<String>,
    /// Cluster volume secrets, KEY=SECRET: what the driver calls it, and the secret
    #[arg(long, value_name = "map")]
    secret: Vec<String>,
    /// Labels of the nodes that reach a cluster volume, KEY=VALUE,…; given several
    /// times, any of them
    #[arg(long, value_name = "list")]
    topology_required: Vec<String>,
    /// Its name; without one it gets a random one
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
}

pub(super) async fn run(client: &Client, args: CreateArgs, io: &mut Io) -> Result<(), Failure> {
    let made: Value = client.post("/volumes/create").json(&body(&args))?.read().await?;
    io.line(made["Name"].as_str().unwrap_or_default())?;
    Ok(())
}

fn body(args: &CreateArgs) -> Value {
    let mut body = json!({
        "Name": args.name.clone().unwrap_or_default(),
        "Driver": args.driver,
        "DriverOpts": map(&args.opt),
        "Labels": map(&args.label),
    });
    if let Some(cluster) = of_cluster(args) {
        body["ClusterVolumeSpec"] = cluster;
    }
    body
}

fn of_cluster(args: &CreateArgs) -> Option<Value> {
    let lists = [&args.topology_required, &args.secret];
    if args.scope.is_none() && args.sharing.is_none() && lists.iter().all(|l| l.is_empty()) {
        return None;
    }
    let sharing = args.sharing.as_deref().unwrap_or("all");
    let scope = args.scope.as_deref().unwrap_or(match sharing {
        "none" => "single",
        _ => "multi",
    });
    let topology = |text: &String| {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        let segments: Map<String, Value> =
            pairs.map(|(key, value)| (key.trim().to_owned(), json!(value.trim()))).collect();
        json!({"Segments": segments})
    };
    let requisite: Vec<Value> = args.topology_required.iter().map(topology).collect();
    let secrets: Vec<Value> = map(&args.secret)
        .into_iter()
        .map(|(key, secret)| json!({"Key": key, "Secret": secret}))
        .collect();
    Some(json!({
        "Secrets": secrets,
        "AccessMode": {"Scope": scope, "Sharing": sharing, "MountVolume": {}},
        "AccessibilityRequirements": {"Requisite": requisite},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    fn posted(line: &str) -> Value {
        body(&parse::<CreateArgs>(line).expect(line))
    }

    #[test]
    fn flags_become_dockers_body() {
        assert_eq!(
            posted("-d ext4 -o size=1GiB --opt a=b --label team=x data"),
            json!({"Name": "data", "Driver": "ext4", "DriverOpts": {"size": "1GiB", "a": "b"},
                "Labels": {"team": "x"}})
        );
        assert_eq!(posted("")["Driver"], "local");
        assert_eq!(
            posted("--sharing onewriter --topology-required zone=a,rack=1 d1")["ClusterVolumeSpec"],
            json!({"Secrets": [],
                "AccessMode": {"Scope": "multi", "Sharing": "onewriter", "MountVolume": {}},
                "AccessibilityRequirements":
                    {"Requisite": [{"Segments": {"zone": "a", "rack": "1"}}]}})
        );
        let with_secrets = posted("--secret key=ssh-key --secret pw=db d1");
        assert_eq!(
            with_secrets["ClusterVolumeSpec"]["Secrets"],
            json!([{"Key": "key", "Secret": "ssh-key"}, {"Key": "pw", "Secret": "db"}])
        );
        let alone = posted("--sharing none d1");
        assert_eq!(alone["ClusterVolumeSpec"]["AccessMode"]["Scope"], "single");
        assert!(parse::<CreateArgs>("--sharing some d1").is_err());
    }
}
