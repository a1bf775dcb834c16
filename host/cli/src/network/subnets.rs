//! Subnets with what belongs to each: ranges, gateways and other addresses are given
//! beside them, in any order.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};
use swarmw_model::IpamConfig;

use crate::failure::Failure;

/// The subnets of one network.
pub(super) struct Subnets(Vec<IpamConfig>);

// === impl Subnets ===

impl Subnets {
    /// Of these texts; no more ranges, and no more gateways, than subnets.
    pub(super) fn new(texts: &[String], most_others: usize) -> Result<Self, Failure> {
        if texts.len() < most_others {
            return Err(Failure::new("every ip-range or gateway must have a corresponding subnet"));
        }
        for (n, text) in texts.iter().enumerate() {
            for other in &texts[..n] {
                let (one, other) = (network(text)?, network(other)?);
                if one.contains(&other) || other.contains(&one) {
                    return Err(Failure::new(
                        "multiple overlapping subnet configuration is not supported",
                    ));
                }
            }
        }
        let subnet = |text: &String| IpamConfig { subnet: text.clone(), ..IpamConfig::default() };
        Ok(Self(texts.iter().map(subnet).collect()))
    }

    pub(super) fn add_range(&mut self, text: &str) -> Result<(), Failure> {
        let first = text.parse::<IpNet>().map(|range| range.addr()).ok();
        let subnet = self.of(first, "range", text)?;
        if !subnet.ip_range.is_empty() {
            return Err(Failure::new(format!(
                "cannot configure multiple ranges ({text}, {}) on the same subnet ({})",
                subnet.ip_range, subnet.subnet
            )));
        }
        text.clone_into(&mut subnet.ip_range);
        Ok(())
    }

    pub(super) fn add_gateway(&mut self, text: &str) -> Result<(), Failure> {
        let subnet = self.of(text.parse().ok(), "gateway", text)?;
        if !subnet.gateway.is_empty() {
            return Err(Failure::new(format!(
                "cannot configure multiple gateways ({text}, {}) for the same subnet ({})",
                subnet.gateway, subnet.subnet
            )));
        }
        text.clone_into(&mut subnet.gateway);
        Ok(())
    }

    pub(super) fn add_auxiliary(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        let subnet = self.of(text.parse().ok(), "aux-address", text)?;
        subnet.auxiliary.insert(name.to_owned(), text.to_owned());
        Ok(())
    }

    pub(super) fn to_json(&self) -> Value {
        json!(self.0)
    }

    /// The subnet of an address.
    fn of(
        &mut self,
        address: Option<IpAddr>,
        what: &str,
        text: &str,
    ) -> Result<&mut IpamConfig, Failure> {
        let mut found = None;
        for subnet in &mut self.0 {
            let network = network(&subnet.subnet)?;
            if address.is_some_and(|address| network.contains(&address)) {
                found = Some(subnet);
            }
        }
        found.ok_or_else(|| Failure::new(format!("no matching subnet for {what} {text}")))
    }
}

fn network(text: &str) -> Result<IpNet, Failure> {
    text.parse().map_err(|_| Failure::new(format!("invalid subnet: invalid CIDR address: {text}")))
}
