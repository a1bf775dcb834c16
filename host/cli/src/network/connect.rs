//! `network connect` and `network disconnect`

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::path;
use crate::client::Client;
use crate::failure::Failure;
use crate::parse::{boolean, int};

/// `network connect`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct ConnectArgs {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    alias: Vec<String>,
    /// driver options for the network
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    driver_opt: Vec<String>,
    /// Highest gw-priority provides the default gateway. Accepts positive and negative values.
    #[arg(long, value_name = "int", value_parser = int, default_value = "0",
        hide_default_value = true)]
    gw_priority: i64,
    /// IPv4 address (e.g., "172.30.100.104")
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    ip: String,
    /// IPv6 address (e.g., "2001:db8::33")
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    ip6: String,
    /// Add link to another container
    #[arg(long, value_name = "list", value_parser = link)]
    link: Vec<String>,
    /// Add a link-local address for the container
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    link_local_ip: Vec<String>,
    /// Its name or id
    #[arg(value_name = "NETWORK")]
    network: String,
    /// Of this node: its name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// `network disconnect`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct DisconnectArgs {
    /// Force the container to disconnect from a network
    #[arg(short, long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    force: bool,
    /// Its name or id
    #[arg(value_name = "NETWORK")]
    network: String,
    /// Of this node: its name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(super) async fn connect(client: &Client, args: ConnectArgs) -> Result<(), Failure> {
    let path = format!("{}/connect", path(&args.network));
    client.post(path).json(&body(&args)?)?.fetch().await?;
    Ok(())
}

pub(super) async fn disconnect(client: &Client, args: DisconnectArgs) -> Result<(), Failure> {
    let path = format!("{}/disconnect", path(&args.network));
    let body = json!({"Container": args.container, "Force": args.force});
    client.post(path).json(&body)?.fetch().await?;
    Ok(())
}

fn body(args: &ConnectArgs) -> Result<Value, Failure> {
    let mut addresses = json!({});
    for (field, text) in [("IPv4Address", &args.ip), ("IPv6Address", &args.ip6)] {
        if !text.is_empty() {
            addresses[field] = json!(text);
        }
    }
    if !args.link_local_ip.is_empty() {
        addresses["LinkLocalIPs"] = json!(args.link_local_ip);
    }
    let mut settings = json!({
        "IPAMConfig": addresses,
        "Links": args.link,
        "Aliases": args.alias,
        "DriverOpts": driver_options(&args.driver_opt)?,
    });
    // Engines before 28 know no such field.
    if args.gw_priority != 0 {
        settings["GwPriority"] = json!(args.gw_priority);
    }
    Ok(json!({"Container": args.container, "EndpointConfig": settings}))
}

fn driver_options(texts: &[String]) -> Result<BTreeMap<&str, &str>, Failure> {
    let mut options = BTreeMap::new();
    for text in texts {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                options.insert(key.trim(), value.trim());
            }
            _ => return Err(Failure::new("invalid key/value pair format in driver options")),
        }
    }
    Ok(options)
}

/// `CONTAINER[:ALIAS]`
fn link(text: &str) -> Result<String, String> {
    match text.split(':').count() {
        1 | 2 if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("bad format for links: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    #[test]
    fn flags_become_dockers_body() {
        let args = parse::<ConnectArgs>(
            "--alias a --alias b,c --ip 10.0.0.5 --ip6 fd00::5 --link x:y \
             --link-local-ip 169.254.1.1 --driver-opt a=b --gw-priority -5 web cont",
        );
        assert_eq!(
            body(&args.expect("flags")).expect("a body"),
            json!({"Container": "cont", "EndpointConfig": {
                "IPAMConfig": {"IPv4Address": "10.0.0.5", "IPv6Address": "fd00::5",
                    "LinkLocalIPs": ["169.254.1.1"]},
                "Links": ["x:y"], "Aliases": ["a", "b", "c"], "DriverOpts": {"a": "b"},
                "GwPriority": -5}})
        );
        let plain = parse::<ConnectArgs>("web cont").expect("flags");
        assert_eq!(
            body(&plain).expect("a body"),
            json!({"Container": "cont", "EndpointConfig":
                {"IPAMConfig": {}, "Links": [], "Aliases": [], "DriverOpts": {}}})
        );
        let wrong = parse::<ConnectArgs>("--driver-opt a web cont").expect("flags");
        assert_eq!(
            body(&wrong).expect_err("no value").to_string(),
            "invalid key/value pair format in driver options"
        );
        assert!(parse::<ConnectArgs>("--link a:b:c web cont").is_err());
    }
}
