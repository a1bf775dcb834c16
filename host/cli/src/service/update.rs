//! `service update`

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarmw_model::{
    Device, DnsConfig, GenericResource, Mount, OPTION_LABEL, PortConfig, Preference, ServiceSpec,
    TaskSpec, Ulimit,
};

use super::data::DataChanges;
use super::flags::{ImageFlags, SharedFlags, Verb, WaitFlags, device};
use super::networks::{EndpointFlags, NetworkChanges};
use super::{image, placement, secure};
use crate::client::Client;
use crate::client::api::UpdateOptions;
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::{
    Ports, Words, boolean, environment, extra_host, generic_resource, generic_resources, label,
    map, mount, name_of, placement_preference, policy_option, publish, resolver, sysctl, ulimit,
    with_value, words,
};
use crate::progress;

/// `service update`
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
#[command(args_override_self = true)]
pub struct UpdateArgs {
    /// Service command args
    #[arg(long, value_name = "command", value_parser = words)]
    args: Option<Words>,
    /// Force update even if no changes require it
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    force: bool,
    /// Service image tag, or a Wasm component's file
    #[arg(long, value_name = "string")]
    image: Option<String>,
    /// Rollback to previous specification
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    rollback: bool,
    #[command(flatten)]
    shared: SharedFlags,
    #[command(flatten)]
    pairs: PairFlags,
    #[command(flatten)]
    data: DataChanges,
    #[command(flatten)]
    networks: NetworkChanges,
    #[command(flatten)]
    endpoint: EndpointFlags,
    #[command(flatten)]
    images: ImageFlags,
    #[command(flatten)]
    wait: WaitFlags,
    /// Name, id or unique id prefix
    #[arg(value_name = "SERVICE")]
    service: String,
}

/// Lists of which parts are added and removed.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
struct PairFlags {
    /// Add or update a placement constraint
    #[arg(long, value_name = "list")]
    constraint_add: Vec<String>,
    /// Remove a constraint
    #[arg(long, value_name = "list")]
    constraint_rm: Vec<String>,
    /// Add or update a container label
    #[arg(long, value_name = "list", value_parser = label)]
    container_label_add: Vec<String>,
    /// Remove a container label by its key
    #[arg(long, value_name = "list")]
    container_label_rm: Vec<String>,
    /// Add or update a device of the nodes: /dev/NAME[:/dev/OTHER][:rwm] (needs swarm update
    /// --host-access device)
    #[arg(long, value_name = "list", value_parser = device)]
    device_add: Vec<Device>,
    /// Remove a device by its path on the nodes
    #[arg(long, value_name = "list")]
    device_rm: Vec<String>,
    /// Add or update a custom DNS server
    #[arg(long, value_name = "list", value_parser = resolver)]
    dns_add: Vec<String>,
    /// Remove a custom DNS server
    #[arg(long, value_name = "list")]
    dns_rm: Vec<String>,
    /// Add or update a DNS option
    #[arg(long, value_name = "list")]
    dns_option_add: Vec<String>,
    /// Remove a DNS option
    #[arg(long, value_name = "list")]
    dns_option_rm: Vec<String>,
    /// Add or update a custom DNS search domain
    #[arg(long, value_name = "list")]
    dns_search_add: Vec<String>,
    /// Remove a DNS search domain
    #[arg(long, value_name = "list")]
    dns_search_rm: Vec<String>,
    /// Add or update an environment variable
    #[arg(long, value_name = "list", value_parser = environment)]
    env_add: Vec<String>,
    /// Remove an environment variable
    #[arg(long, value_name = "list")]
    env_rm: Vec<String>,
    /// Add a Generic resource (KIND=NUMBER)
    #[arg(long, value_name = "list", value_parser = generic_resource)]
    generic_resource_add: Vec<String>,
    /// Remove a Generic resource by its kind
    #[arg(long, value_name = "list")]
    generic_resource_rm: Vec<String>,
    /// Add an additional supplementary user group to the container
    #[arg(long, value_name = "list")]
    group_add: Vec<String>,
    /// Remove a previously added supplementary user group from the container
    #[arg(long, value_name = "list")]
    group_rm: Vec<String>,
    /// Add a custom host-to-IP mapping ("host:ip")
    #[arg(long, value_name = "list", value_parser = extra_host)]
    host_add: Vec<String>,
    /// Remove a custom host-to-IP mapping ("host:ip")
    #[arg(long, value_name = "list")]
    host_rm: Vec<String>,
    /// Add or update a service label
    #[arg(long, value_name = "list", value_parser = label)]
    label_add: Vec<String>,
    /// Remove a label by its key
    #[arg(long, value_name = "list")]
    label_rm: Vec<String>,
    /// Add or update a mount on a service
    #[arg(long, value_name = "mount", value_parser = mount)]
    mount_add: Vec<Mount>,
    /// Remove a mount by its target path
    #[arg(long, value_name = "list")]
    mount_rm: Vec<String>,
    /// Add a placement preference
    #[arg(long, value_name = "pref", value_parser = placement_preference)]
    placement_pref_add: Vec<Preference>,
    /// Remove a placement preference
    #[arg(long, value_name = "pref", value_parser = placement_preference)]
    placement_pref_rm: Vec<Preference>,
    /// Add or change an option of a plugin (PLUGIN.OPTION=VALUE)
    #[arg(long, value_name = "list", value_parser = policy_option)]
    policy_opt_add: Vec<(String, String)>,
    /// Remove an option of a plugin (PLUGIN.OPTION)
    #[arg(long, value_name = "list")]
    policy_opt_rm: Vec<String>,
    /// Add or update a published port
    #[arg(long, value_name = "port", value_parser = publish)]
    publish_add: Vec<Ports>,
    /// Remove a published port by its target port
    #[arg(long, value_name = "port", value_parser = publish)]
    publish_rm: Vec<Ports>,
    /// Add a security option: no-new-privileges, seccomp=FILE, label=…, apparmor=unconfined;
    /// others need swarm update --host-access security-opt
    #[arg(long, value_name = "list")]
    security_opt_add: Vec<String>,
    /// Remove a security option, by what was typed or by its key
    #[arg(long, value_name = "list")]
    security_opt_rm: Vec<String>,
    /// Add or update a Sysctl option
    #[arg(long, value_name = "list", value_parser = sysctl)]
    sysctl_add: Vec<String>,
    /// Remove a Sysctl option
    #[arg(long, value_name = "list")]
    sysctl_rm: Vec<String>,
    /// Add or update a ulimit option
    #[arg(long, value_name = "ulimit", value_parser = ulimit)]
    ulimit_add: Vec<Ulimit>,
    /// Remove a ulimit option
    #[arg(long, value_name = "list")]
    ulimit_rm: Vec<String>,
}

pub(super) async fn run(client: &Client, args: UpdateArgs, io: &mut Io) -> Result<(), Failure> {
    if args.rollback {
        only_waits(&args)?;
        return super::scale::roll_back(client, &args.service, &args.wait, io).await;
    }
    let mut service = client.service(&args.service).await?;
    change(&mut service.spec, &args)?;
    args.data.apply(client, &mut service.spec).await?;
    args.networks.apply(client, &mut service.spec).await?;
    let auth = image::authorization(&args.images, service.spec.task_template.image())?;
    let mut unresolved = None;
    if let Some(typed) = &args.image {
        let resolved =
            image::resolve(client, typed, args.images.no_resolve_image, auth.as_deref()).await?;
        unresolved = resolved.set_in(&mut service.spec);
    }
    let options = UpdateOptions { rollback: false, auth };
    let updated = client.update_service(&service, &options).await?;
    for warning in unresolved.iter().chain(updated.warnings.iter().flatten()) {
        io.warn(warning)?;
    }
    io.line(&args.service)?;
    if args.wait.detach {
        return Ok(());
    }
    progress::wait(client, &args.service, args.wait.quiet, io).await
}

/// A rollback takes the spec that the daemon has: no other change goes with it.
fn only_waits(args: &UpdateArgs) -> Result<(), Failure> {
    let allowed = UpdateArgs {
        rollback: true,
        wait: args.wait.clone(),
        service: args.service.clone(),
        ..UpdateArgs::default()
    };
    if *args == allowed {
        return Ok(());
    }
    Err(Failure::new("other flags may not be combined with --rollback"))
}

/// Options of plugins that are to go must be there, and not by a label.
fn options_are_there(spec: &ServiceSpec, going: &[String]) -> Result<(), Failure> {
    let there = spec.policy_options();
    let Some(name) = going.iter().find(|name| !there.contains_key(*name)) else {
        return Ok(());
    };
    let label = format!("{OPTION_LABEL}{name}");
    if there.contains_key(&label) {
        return Err(Failure::new(format!(
            "policy option {name} is set by a label: take it away with --label-rm {label}"
        )));
    }
    let names: Vec<_> = there.keys().map(String::as_str).collect();
    let sets = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(Failure::new(format!("the service does not set policy option {name}: it sets {sets}")))
}

/// Changes what was given, and nothing else.
fn change(spec: &mut ServiceSpec, args: &UpdateArgs) -> Result<(), Failure> {
    let pairs = &args.pairs;
    args.shared.apply(spec, Verb::Update)?;
    args.endpoint.apply(spec)?;
    options_are_there(spec, &pairs.policy_opt_rm)?;
    keyed(&mut spec.labels, &pairs.label_add, &pairs.label_rm);
    preferences(spec, pairs);
    placement::change_options(spec, |options| {
        for name in &pairs.policy_opt_rm {
            options.policy_options.remove(name);
        }
        options.policy_options.extend(pairs.policy_opt_add.clone());
        devices(&mut options.container.devices, pairs);
    });
    secure(spec, &pairs.security_opt_add, &pairs.security_opt_rm)?;
    let published = !pairs.publish_add.is_empty() || !pairs.publish_rm.is_empty();
    if published {
        let endpoint = spec.endpoint_spec.get_or_insert_default();
        ports(&mut endpoint.ports, pairs);
    }
    let task = Arc::make_mut(&mut spec.task_template);
    if args.force {
        task.force_update += 1;
    }
    constraints(task, pairs);
    reservations(task, pairs)?;
    let container = task.container_spec.get_or_insert_default();
    if let Some(image) = &args.image {
        container.image.clone_from(image);
    }
    if let Some(Words(words)) = &args.args {
        container.args.clone_from(words);
    }
    keyed(&mut container.labels, &pairs.container_label_add, &pairs.container_label_rm);
    keyed(&mut container.sysctls, &pairs.sysctl_add, &pairs.sysctl_rm);
    variables(&mut container.env, pairs);
    mounts(&mut container.mounts, pairs)?;
    groups(&mut container.groups, pairs);
    hosts(&mut container.hosts, pairs);
    resolvers(&mut container.dns, pairs);
    limits(&mut container.ulimits, pairs);
    Ok(())
}

/// Removes first, so that a key in both is there in the end.
fn keyed(map_of: &mut BTreeMap<String, String>, add: &[String], remove: &[String]) {
    for key in remove {
        map_of.remove(key);
    }
    map_of.extend(map(add));
}

fn constraints(task: &mut TaskSpec, pairs: &PairFlags) {
    if pairs.constraint_add.is_empty() && pairs.constraint_rm.is_empty() {
        return;
    }
    let constraints = &mut task.placement.get_or_insert_default().constraints;
    constraints.extend(pairs.constraint_add.iter().cloned());
    constraints.retain(|constraint| !pairs.constraint_rm.contains(constraint));
    constraints.sort();
}

/// Removes first; one that is there already is changed where it stands.
fn devices(devices: &mut Vec<Device>, pairs: &PairFlags) {
    devices.retain(|device| !pairs.device_rm.contains(&device.path_on_host));
    for added in &pairs.device_add {
        match devices.iter_mut().find(|have| have.path_in_container == added.path_in_container) {
            Some(have) => have.clone_from(added),
            None => devices.push(added.clone()),
        }
    }
}

/// One of each kind; what is removed must be there, or have been added by the same command.
fn reservations(task: &mut TaskSpec, pairs: &PairFlags) -> Result<(), Failure> {
    if pairs.generic_resource_add.is_empty() && pairs.generic_resource_rm.is_empty() {
        return Ok(());
    }
    let reserved = task.resources.get_or_insert_default().reservations.get_or_insert_default();
    let own = std::mem::take(&mut reserved.generic_resources);
    let added = generic_resources(&pairs.generic_resource_add).map_err(Failure::new)?;
    let mut by_kind: BTreeMap<String, GenericResource> =
        own.into_iter().chain(added).map(|one| (one.kind().to_owned(), one)).collect();
    for kind in &pairs.generic_resource_rm {
        if by_kind.remove(kind).is_none() {
            return Err(Failure::new(format!(
                "could not find generic-resource `{kind}` to remove it"
            )));
        }
    }
    reserved.generic_resources = by_kind.into_values().collect();
    Ok(())
}

/// Removes first: what is added goes to the end, innermost.
fn preferences(spec: &mut ServiceSpec, pairs: &PairFlags) {
    if pairs.placement_pref_add.is_empty() && pairs.placement_pref_rm.is_empty() {
        return;
    }
    let mut all = spec.preferences();
    all.retain(|preference| !pairs.placement_pref_rm.contains(preference));
    all.extend(pairs.placement_pref_add.iter().cloned());
    placement::set_preferences(spec, all);
}

fn variables(env: &mut Vec<String>, pairs: &PairFlags) {
    env.retain(|variable| !pairs.env_rm.iter().any(|gone| gone == name_of(variable)));
    for added in &pairs.env_add {
        let added = with_value(added, |name| std::env::var(name).ok());
        match env.iter_mut().find(|have| name_of(have) == name_of(&added)) {
            Some(have) => *have = added,
            None => env.push(added),
        }
    }
}

fn mounts(mounts: &mut Vec<Mount>, pairs: &PairFlags) -> Result<(), Failure> {
    if pairs.mount_add.is_empty() && pairs.mount_rm.is_empty() {
        return Ok(());
    }
    let mut by_target = BTreeMap::new();
    for mount in &pairs.mount_add {
        if by_target.insert(mount.target.clone(), mount.clone()).is_some() {
            return Err(Failure::new("duplicate mount target"));
        }
    }
    for mount in mounts.drain(..) {
        by_target.entry(mount.target.clone()).or_insert(mount);
    }
    by_target.retain(|target, _| !pairs.mount_rm.contains(target));
    mounts.extend(by_target.into_values());
    mounts.sort_by(|a, b| (&a.source, &a.target).cmp(&(&b.source, &b.target)));
    Ok(())
}

fn ports(ports: &mut Vec<PortConfig>, pairs: &PairFlags) {
    let all = |flags: &[Ports]| flags.iter().flat_map(|p| p.0.clone()).collect::<Vec<_>>();
    let removed = all(&pairs.publish_rm);
    ports.retain(|port| {
        !removed.iter().any(|gone| {
            (gone.target_port, gone.protocol, gone.publish_mode)
                == (port.target_port, port.protocol, port.publish_mode)
        })
    });
    for added in all(&pairs.publish_add) {
        if !ports.contains(&added) {
            ports.push(added);
        }
    }
    // The order says nothing; Docker's keeps equal specs equal.
    ports.sort_by_key(|p| {
        format!("{}:{}/{}/{}", p.published_port, p.target_port, p.protocol, p.publish_mode)
    });
}

fn groups(groups: &mut Vec<String>, pairs: &PairFlags) {
    if pairs.group_add.is_empty() && pairs.group_rm.is_empty() {
        return;
    }
    let all: BTreeSet<_> = groups.drain(..).chain(pairs.group_add.iter().cloned()).collect();
    groups.extend(all.into_iter().filter(|group| !pairs.group_rm.contains(group)));
}

/// Lines are `IP HOST…`; one is removed by `HOST` or by `HOST:IP`.
fn hosts(hosts: &mut Vec<String>, pairs: &PairFlags) {
    for removed in &pairs.host_rm {
        let whole = extra_host(removed).ok();
        hosts.retain(|line| match &whole {
            Some(whole) => line != whole,
            None => !line.split_whitespace().skip(1).any(|host| host == removed),
        });
    }
    for added in &pairs.host_add {
        if !hosts.contains(added) {
            hosts.push(added.clone());
        }
    }
}

fn resolvers(dns: &mut Option<DnsConfig>, pairs: &PairFlags) {
    let set = |list: &mut Vec<String>, add: &[String], remove: &[String]| {
        if add.is_empty() && remove.is_empty() {
            return;
        }
        let mut all: BTreeSet<_> = list.drain(..).collect();
        all.retain(|item| !remove.contains(item));
        all.extend(add.iter().cloned());
        list.extend(all);
    };
    let mut config = dns.clone().unwrap_or_default();
    set(&mut config.nameservers, &pairs.dns_add, &pairs.dns_rm);
    set(&mut config.search, &pairs.dns_search_add, &pairs.dns_search_rm);
    set(&mut config.options, &pairs.dns_option_add, &pairs.dns_option_rm);
    if dns.is_some() || config != DnsConfig::default() {
        *dns = Some(config);
    }
}

fn limits(ulimits: &mut Vec<Ulimit>, pairs: &PairFlags) {
    if pairs.ulimit_add.is_empty() && pairs.ulimit_rm.is_empty() {
        return;
    }
    ulimits.retain(|limit| {
        !pairs.ulimit_rm.contains(&limit.name)
            && !pairs.ulimit_add.iter().any(|added| added.name == limit.name)
    });
    ulimits.extend(pairs.ulimit_add.iter().cloned());
    ulimits.sort_by(|a, b| a.name.cmp(&b.name));
}

#[cfg(test)]
mod tests;
