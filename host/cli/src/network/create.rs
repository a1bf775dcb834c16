//! `network create`

use serde_json::{Value, json};

use super::subnets::Subnets;
use crate::client::Client;
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::{boolean, label, map};

/// `network create`
#[derive(clap::Args, Clone, Debug, Default)]
#[command(args_override_self = true)]
pub struct CreateArgs {
    /// Enable manual container attachment
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    attachable: bool,
    /// Auxiliary IPv4 or IPv6 addresses used by Network driver
    #[arg(long, value_name = "map")]
    aux_address: Vec<String>,
    /// The network from which to copy the configuration
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    config_from: String,
    /// Create a configuration only network
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    config_only: bool,
    /// Driver to manage the Network
    #[arg(short, long, value_name = "string", default_value = "bridge")]
    driver: String,
    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    gateway: Vec<String>,
    /// Create swarm routing-mesh network
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    ingress: bool,
    /// Restrict external access to the network
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    internal: bool,
    /// Allocate container ip from a sub-range
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    ip_range: Vec<String>,
    /// IP Address Management Driver
    #[arg(long, value_name = "string", default_value = "default")]
    ipam_driver: String,
    /// Set IPAM driver specific options
    #[arg(long, value_name = "map")]
    ipam_opt: Vec<String>,
    /// Enable or disable IPv4 address assignment (default true)
    #[arg(long, num_args(0..=1), require_equals = true, default_missing_value = "true",
        value_parser = boolean, value_name = "bool")]
    ipv4: Option<bool>,
    /// Enable or disable IPv6 address assignment
    #[arg(long, num_args(0..=1), require_equals = true, default_missing_value = "true",
        value_parser = boolean, value_name = "bool")]
    ipv6: Option<bool>,
    /// Set metadata on a network
    #[arg(long, value_name = "list", value_parser = label)]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long = "opt", value_name = "map")]
    opt: Vec<String>,
    /// Control the network's scope
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    scope: String,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    subnet: Vec<String>,
    /// Its name
    #[arg(value_name = "NETWORK")]
    name: String,
}

pub(super) async fn run(client: &Client, args: CreateArgs, io: &mut Io) -> Result<(), Failure> {
    let made: Value = client.post("/networks/create").json(&body(&args)?)?.read().await?;
    if let Some(warning) = made["Warning"].as_str().filter(|warning| !warning.is_empty()) {
        io.warn(format!("WARNING: {warning}"))?;
    }
    io.line(made["Id"].as_str().unwrap_or_default())?;
    Ok(())
}

fn body(args: &CreateArgs) -> Result<Value, Failure> {
    let mut subnets = Subnets::new(&args.subnet, args.ip_range.len().max(args.gateway.len()))?;
    for range in &args.ip_range {
        subnets.add_range(range)?;
    }
    for gateway in &args.gateway {
        subnets.add_gateway(gateway)?;
    }
    for (name, address) in map(&args.aux_address) {
        subnets.add_auxiliary(&name, &address)?;
    }
    let mut body = json!({
        "Name": args.name,
        "Driver": args.driver,
        "Scope": args.scope,
        "IPAM": {
            "Driver": args.ipam_driver,
            "Options": map(&args.ipam_opt),
            "Config": subnets.to_json(),
        },
        "Internal": args.internal,
        "Attachable": args.attachable,
        "Ingress": args.ingress,
        "ConfigOnly": args.config_only,
        "Options": map(&args.opt),
        "Labels": map(&args.label),
    });
    if !args.config_from.is_empty() {
        body["ConfigFrom"] = json!({"Network": args.config_from});
    }
    for (field, given) in [("EnableIPv4", args.ipv4), ("EnableIPv6", args.ipv6)] {
        if let Some(given) = given {
            body[field] = json!(given);
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    fn posted(line: &str) -> Result<Value, String> {
        let args = parse::<CreateArgs>(line).map_err(|error| error.to_string())?;
        body(&args).map_err(|error| error.to_string())
    }

    fn plain() -> Value {
        json!({"Name": "web", "Driver": "bridge", "Scope": "",
            "IPAM": {"Driver": "default", "Options": {}, "Config": []}, "Internal": false,
            "Attachable": false, "Ingress": false, "ConfigOnly": false, "Options": {},
            "Labels": {}})
    }

    fn with(changes: &[(&str, Value)]) -> Value {
        let mut body = plain();
        for (path, value) in changes {
            match path.split_once('.') {
                Some((outer, inner)) => body[outer][inner] = value.clone(),
                None => body[*path] = value.clone(),
            }
        }
        body
    }

    #[test]
    fn flags_become_dockers_body() {
        for (line, want) in [
            ("web", plain()),
            (
                "-d overlay --attachable --internal --ipv6 --label a=b -o x=y -o z --ipam-opt q=r web",
                with(&[
                    ("Driver", json!("overlay")),
                    ("Attachable", json!(true)),
                    ("Internal", json!(true)),
                    ("EnableIPv6", json!(true)),
                    ("Labels", json!({"a": "b"})),
                    ("Options", json!({"x": "y", "z": ""})),
                    ("IPAM.Options", json!({"q": "r"})),
                ]),
            ),
            (
                "--ipv4=false --scope swarm --ingress --config-only --config-from foo web",
                with(&[
                    ("EnableIPv4", json!(false)),
                    ("Scope", json!("swarm")),
                    ("Ingress", json!(true)),
                    ("ConfigOnly", json!(true)),
                    ("ConfigFrom", json!({"Network": "foo"})),
                ]),
            ),
            (
                "--subnet 10.1.0.0/16,fd00::/64 --gateway 10.1.0.1 --ip-range 10.1.5.0/24 \
                 --aux-address a=10.1.0.5 web",
                with(&[(
                    "IPAM.Config",
                    json!([
                        {"Subnet": "10.1.0.0/16", "IPRange": "10.1.5.0/24",
                            "Gateway": "10.1.0.1", "AuxiliaryAddresses": {"a": "10.1.0.5"}},
                        {"Subnet": "fd00::/64"},
                    ]),
                )]),
            ),
        ] {
            assert_eq!(posted(line).expect(line), want, "{line}");
        }
    }

    #[test]
    fn addresses_that_do_not_go_together_are_refused_in_dockers_words() {
        for (line, want) in [
            (
                "--gateway 10.0.0.1 web",
                "every ip-range or gateway must have a corresponding subnet",
            ),
            (
                "--subnet 10.0.0.0/8 --ip-range 10.1.0.0/16,10.2.0.0/16 web",
                "every ip-range or gateway must have a corresponding subnet",
            ),
            (
                "--subnet 10.0.0.0/8 --subnet 10.1.0.0/16 web",
                "multiple overlapping subnet configuration is not supported",
            ),
            (
                "--subnet 10.0.0.0/8 --ip-range 11.0.0.0/16 web",
                "no matching subnet for range 11.0.0.0/16",
            ),
            (
                "--subnet 10.0.0.0/8 --gateway 11.0.0.1 web",
                "no matching subnet for gateway 11.0.0.1",
            ),
            (
                "--subnet 10.0.0.0/8 --aux-address a=11.0.0.1 web",
                "no matching subnet for aux-address 11.0.0.1",
            ),
            ("--subnet 10.0.0.0/8 --aux-address a web", "no matching subnet for aux-address "),
            (
                "--subnet 10.0.0.0/8,11.0.0.0/8 --gateway 10.1.0.1,10.2.0.1 web",
                "cannot configure multiple gateways (10.2.0.1, 10.1.0.1) for the same subnet (10.0.0.0/8)",
            ),
            (
                "--subnet 10.0.0.0/8,11.0.0.0/8 --ip-range 10.1.0.0/16,10.2.0.0/16 web",
                "cannot configure multiple ranges (10.2.0.0/16, 10.1.0.0/16) on the same subnet (10.0.0.0/8)",
            ),
            ("--subnet foo --gateway 10.0.0.1 web", "invalid subnet: invalid CIDR address: foo"),
        ] {
            assert_eq!(posted(line).expect_err(line), want, "{line}");
        }
        assert!(posted("--label 'a b' web").is_err());
    }
}
