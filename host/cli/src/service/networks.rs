//! The networks of a service, and how its name is found on them.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_model::{IngressSource, NetworkAttachmentConfig, ResolutionMode, ServiceSpec};

use super::placement::change_options;
use crate::client::Client;
use crate::failure::Failure;
use crate::network::resolve;
use crate::parse::network;

/// Of `service create` and `service update`.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(super) struct EndpointFlags {
    /// Endpoint mode (vip or dnsrr)
    #[arg(long, value_name = "string")]
    endpoint_mode: Option<String>,
    /// Whom tasks see as the client of a published port: "client" itself, or the "node" that
    /// it connected to
    #[arg(long, value_name = "string")]
    ingress_source: Option<String>,
}

/// Of `service create`.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(super) struct NetworkFlags {
    /// Network attachments
    #[arg(long, value_name = "network", value_parser = network)]
    network: Vec<NetworkAttachmentConfig>,
}

/// Of `service update`.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(super) struct NetworkChanges {
    /// Add a network
    #[arg(long, value_name = "network", value_parser = network)]
    network_add: Vec<NetworkAttachmentConfig>,
    /// Remove a network
    #[arg(long, value_name = "list")]
    network_rm: Vec<String>,
}

// === impl EndpointFlags ===

impl EndpointFlags {
    /// Puts the mode and the source into the spec.
    pub(super) fn apply(&self, spec: &mut ServiceSpec) -> Result<(), Failure> {
        if let Some(mode) = &self.endpoint_mode {
            spec.endpoint_spec.get_or_insert_default().mode = match mode.to_lowercase().as_str() {
                "vip" => ResolutionMode::Vip,
                "dnsrr" => ResolutionMode::Dnsrr,
                // The daemon's words: a spec of ours cannot carry it there.
                _ => return Err(Failure::new(format!("invalid resolution mode: {mode:?}"))),
            };
        }
        if let Some(source) = &self.ingress_source {
            let source = match source.to_lowercase().as_str() {
                "client" => IngressSource::Client,
                "node" => IngressSource::Node,
                _ => {
                    let why = format!("invalid ingress source: {source:?}: client or node");
                    return Err(Failure::new(why));
                }
            };
            change_options(spec, |options| options.ingress_source = source);
        }
        Ok(())
    }
}

// === impl NetworkFlags ===

impl NetworkFlags {
    /// Looks up what is named, and puts it into the spec.
    pub(super) async fn apply(
        &self,
        client: &Client,
        spec: &mut ServiceSpec,
    ) -> Result<(), Failure> {
        let mut networks = self.network.clone();
        for network in &mut networks {
            network.target = resolve(client, &network.target).await?;
        }
        put(spec, networks);
        Ok(())
    }
}

// === impl NetworkChanges ===

impl NetworkChanges {
    /// Removes first; what is named is looked up.
    pub(super) async fn apply(
        &self,
        client: &Client,
        spec: &mut ServiceSpec,
    ) -> Result<(), Failure> {
        if self == &Self::default() {
            return Ok(());
        }
        let mut removed = BTreeSet::new();
        for reference in &self.network_rm {
            removed.insert(resolve(client, reference).await?);
        }
        let mut added = Vec::new();
        for network in &self.network_add {
            added.push((network.clone(), resolve(client, &network.target).await?));
        }
        change(spec, &removed, added)
    }
}

/// Changes the networks of a service, given the ids of what is removed and added.
fn change(
    spec: &mut ServiceSpec,
    removed: &BTreeSet<String>,
    added: Vec<(NetworkAttachmentConfig, String)>,
) -> Result<(), Failure> {
    spec.settle_networks();
    let mut networks = spec.task_template.networks.clone();
    networks.retain(|network| !removed.contains(&network.target));
    for (network, id) in added {
        if networks.iter().any(|have| have.target == id) {
            return Err(Failure::new(format!(
                "service is already attached to network {}",
                network.target
            )));
        }
        networks.push(NetworkAttachmentConfig { target: id, ..network });
    }
    put(spec, networks);
    Ok(())
}

/// The order says nothing; Docker's keeps equal specs equal.
fn put(spec: &mut ServiceSpec, mut networks: Vec<NetworkAttachmentConfig>) {
    networks.sort_by(|a, b| a.target.cmp(&b.target));
    if spec.task_template.networks != networks {
        Arc::make_mut(&mut spec.task_template).networks = networks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_published_ports_is_one_of_two_words() {
        let flags = |source: &str| EndpointFlags {
            ingress_source: Some(source.to_owned()),
            ..EndpointFlags::default()
        };
        let mut spec = ServiceSpec::default();
        flags("client").apply(&mut spec).expect("as it is");
        assert_eq!(spec.swarmw, None);
        flags("Node").apply(&mut spec).expect("a word");
        assert_eq!(spec.ingress_source(), IngressSource::Node);
        flags("server").apply(&mut spec).expect_err("no word");
        flags("client").apply(&mut spec).expect("a word");
        assert_eq!(spec.ingress_source(), IngressSource::Client);
        assert!(spec.swarmw.is_some(), "which clears what is stored");
    }

    fn on(ids: &[&str]) -> ServiceSpec {
        let mut spec = ServiceSpec::default();
        put(&mut spec, ids.iter().map(|id| named(id)).collect());
        spec
    }

    fn named(target: &str) -> NetworkAttachmentConfig {
        NetworkAttachmentConfig { target: target.to_owned(), ..NetworkAttachmentConfig::default() }
    }

    fn changed(
        mut spec: ServiceSpec,
        remove: &[&str],
        add: &[&str],
    ) -> Result<Vec<String>, String> {
        let removed = remove.iter().map(|id| (*id).to_owned()).collect();
        // Ids are the names in upper case.
        let added = add.iter().map(|name| (named(name), name.to_uppercase())).collect();
        change(&mut spec, &removed, added).map_err(|error| error.to_string())?;
        Ok(spec.task_template.networks.iter().map(|network| network.target.clone()).collect())
    }

    #[test]
    fn networks_are_removed_then_added_in_the_order_of_their_ids() {
        assert_eq!(changed(on(&["M", "C"]), &["M"], &["z", "a"]), Ok(strings(&["A", "C", "Z"])));
        assert_eq!(changed(on(&["A"]), &["A"], &["a"]), Ok(strings(&["A"])));
        assert_eq!(
            changed(on(&["A"]), &[], &["a"]),
            Err("service is already attached to network a".to_owned())
        );
        assert_eq!(
            changed(on(&[]), &[], &["b", "b"]),
            Err("service is already attached to network b".to_owned())
        );
    }

    #[test]
    fn networks_of_dockers_old_place_move() {
        let mut spec = ServiceSpec { networks: vec![named("A")], ..ServiceSpec::default() };
        change(&mut spec, &BTreeSet::new(), vec![(named("b"), "B".to_owned())]).expect("changed");
        assert!(spec.networks.is_empty());
        assert_eq!(spec.task_template.networks, [named("A"), named("B")]);
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn modes_are_read_in_any_letter_case() {
        let read = |mode: &str| {
            let mut spec = ServiceSpec::default();
            let endpoint_mode = Some(mode.to_owned());
            let flags = EndpointFlags { endpoint_mode, ..EndpointFlags::default() };
            flags.apply(&mut spec).map_err(|error| error.to_string())?;
            Ok(spec.endpoint_spec.unwrap_or_default().mode)
        };
        assert_eq!(read("DNSRR"), Ok(ResolutionMode::Dnsrr));
        assert_eq!(read("vip"), Ok(ResolutionMode::Vip));
        assert_eq!(read("foo"), Err("invalid resolution mode: \"foo\"".to_owned()));
    }
}
