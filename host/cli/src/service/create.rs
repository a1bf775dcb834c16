//! `service create`

use std::sync::Arc;

use swarmw_model::{
    ContainerSpec, Device, DnsConfig, EndpointSpec, Global, GlobalJob, Limit, Mount, Placement,
    Preference, Replicated, ReplicatedJob, ResourceRequirements, Resources, ServiceMode,
    ServiceSpec, TaskSpec, Ulimit,
};

use super::data::DataFlags;
use super::flags::{ImageFlags, SharedFlags, Verb, WaitFlags, device};
use super::networks::{EndpointFlags, NetworkFlags};
use super::{image, placement, secure};
use crate::client::Client;
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::{
    Ports, environment, environment_file, extra_host, generic_resource, generic_resources, label,
    map, mount, name_of, placement_preference, policy_option, publish, resolver, sysctl, ulimit,
    with_value,
};
use crate::progress;

/// `service create`
#[derive(clap::Args, Clone, Debug, Default)]
#[command(args_override_self = true)]
pub struct CreateArgs {
    /// Placement constraints
    #[arg(long, value_name = "list")]
    constraint: Vec<String>,
    /// Container labels
    #[arg(long, value_name = "list", value_parser = label)]
    container_label: Vec<String>,
    /// Add a device of the nodes: /dev/NAME[:/dev/OTHER][:rwm] (needs swarm update
    /// --host-access device)
    #[arg(long, value_name = "list", value_parser = device)]
    device: Vec<Device>,
    /// Set custom DNS servers
    #[arg(long, value_name = "list", value_parser = resolver)]
    dns: Vec<String>,
    /// Set DNS options
    #[arg(long, value_name = "list")]
    dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "list")]
    dns_search: Vec<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = environment)]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    env_file: Vec<std::path::PathBuf>,
    /// User defined resources (KIND=NUMBER)
    #[arg(long, value_name = "list", value_parser = generic_resource)]
    generic_resource: Vec<String>,
    /// Set one or more supplementary user groups for the container
    #[arg(long, value_name = "list")]
    group: Vec<String>,
    /// Set one or more custom host-to-IP mappings (host:ip)
    #[arg(long, value_name = "list", value_parser = extra_host)]
    host: Vec<String>,
    /// Service labels
    #[arg(short, long, value_name = "list", value_parser = label)]
    label: Vec<String>,
    /// Service mode ("replicated", "global", "replicated-job", "global-job")
    #[arg(long, value_name = "string", default_value = "replicated")]
    mode: String,
    /// Attach a filesystem mount to the service
    #[arg(long, value_name = "mount", value_parser = mount)]
    mount: Vec<Mount>,
    /// Service name
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    name: String,
    /// Add a placement preference: spread=LABEL, or NAME=ARGUMENT of a plugin
    #[arg(long, value_name = "pref", value_parser = placement_preference)]
    placement_pref: Vec<Preference>,
    /// Set an option of a plugin (PLUGIN.OPTION=VALUE)
    #[arg(long, value_name = "list", value_parser = policy_option)]
    policy_opt: Vec<(String, String)>,
    /// Publish a port as a node port
    #[arg(short, long, value_name = "port", value_parser = publish)]
    publish: Vec<Ports>,
    /// Security options: no-new-privileges, seccomp=FILE, label=…, apparmor=unconfined; others
    /// need swarm update --host-access security-opt
    #[arg(long, value_name = "list")]
    security_opt: Vec<String>,
    /// Sysctl options
    #[arg(long, value_name = "list", value_parser = sysctl)]
    sysctl: Vec<String>,
    /// Ulimit options
    #[arg(long, value_name = "ulimit", value_parser = ulimit)]
    ulimit: Vec<Ulimit>,
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    networks: NetworkFlags,
    #[command(flatten)]
    endpoint: EndpointFlags,
    #[command(flatten)]
    shared: SharedFlags,
    #[command(flatten)]
    image: ImageFlags,
    #[command(flatten)]
    wait: WaitFlags,
    /// The image, or a Wasm component's file, and what to run in it
    #[arg(value_name = "IMAGE", required = true, num_args(1..), trailing_var_arg = true)]
    image_and_command: Vec<String>,
}

pub(super) async fn run(client: &Client, args: CreateArgs, io: &mut Io) -> Result<(), Failure> {
    let mut spec = spec(&args)?;
    let auth = image::authorization(&args.image, args.image_and_command[0].as_str())?;
    let resolved = image::resolve(
        client,
        &args.image_and_command[0],
        args.image.no_resolve_image,
        auth.as_deref(),
    )
    .await?;
    let unresolved = resolved.set_in(&mut spec);
    args.data.apply(client, &mut spec).await?;
    args.networks.apply(client, &mut spec).await?;
    let created = client.create_service(&spec, auth.as_deref()).await?;
    for warning in unresolved.iter().chain(created.warnings.iter().flatten()) {
        io.warn(warning)?;
    }
    io.line(&created.id)?;
    if args.wait.detach {
        return Ok(());
    }
    progress::wait(client, &created.id, args.wait.quiet, io).await
}

/// What the flags ask for, before the image is looked up.
fn spec(args: &CreateArgs) -> Result<ServiceSpec, Failure> {
    let mode = match args.mode.as_str() {
        "replicated" => ServiceMode::Replicated(Replicated::default()),
        "global" => ServiceMode::Global(Global {}),
        "replicated-job" => ServiceMode::ReplicatedJob(ReplicatedJob::default()),
        "global-job" => ServiceMode::GlobalJob(GlobalJob {}),
        mode => {
            return Err(Failure::new(format!(
                "Unknown mode: {mode}, only replicated and global supported"
            )));
        }
    };
    let ports = args.publish.iter().flat_map(|ports| ports.0.clone());
    let mut spec = ServiceSpec {
        name: args.name.clone(),
        labels: map(&args.label),
        task_template: Arc::new(TaskSpec {
            container_spec: Some(container(args)?),
            resources: Some(ResourceRequirements {
                limits: Some(Limit::default()),
                reservations: Some(Resources {
                    generic_resources: generic_resources(&args.generic_resource)
                        .map_err(Failure::new)?,
                    ..Resources::default()
                }),
                ..ResourceRequirements::default()
            }),
            placement: Some(Placement {
                constraints: args.constraint.clone(),
                ..Placement::default()
            }),
            ..TaskSpec::default()
        }),
        mode,
        endpoint_spec: Some(EndpointSpec { ports: ports.collect(), ..EndpointSpec::default() }),
        ..ServiceSpec::default()
    };
    args.shared.apply(&mut spec, Verb::Create)?;
    args.endpoint.apply(&mut spec)?;
    placement::set_preferences(&mut spec, args.placement_pref.clone());
    placement::change_options(&mut spec, |options| {
        options.policy_options.extend(args.policy_opt.clone());
        options.container.devices.clone_from(&args.device);
    });
    secure(&mut spec, &args.security_opt, &[])?;
    Ok(spec)
}

fn container(args: &CreateArgs) -> Result<ContainerSpec, Failure> {
    let (image, command) =
        args.image_and_command.split_first().ok_or_else(|| Failure::new("an image is required"))?;
    Ok(ContainerSpec {
        image: image.clone(),
        labels: map(&args.container_label),
        args: command.to_vec(),
        env: variables(args)?,
        // Docker's client always says it, and a spec without differs from one with.
        init: Some(false),
        groups: args.group.clone(),
        mounts: args.mount.clone(),
        hosts: args.host.clone(),
        dns: Some(DnsConfig {
            nameservers: args.dns.clone(),
            search: args.dns_search.clone(),
            options: args.dns_option.clone(),
        }),
        sysctls: map(&args.sysctl),
        ulimits: args.ulimit.clone(),
        ..ContainerSpec::default()
    })
}

/// Variables of files, then of flags: the last of a name wins, at its own place.
fn variables(args: &CreateArgs) -> Result<Vec<String>, Failure> {
    let own = |name: &str| std::env::var(name).ok();
    let mut given = Vec::new();
    for path in &args.env_file {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::opening(path, &error))?;
        given.extend(environment_file(&text, own).map_err(|error| {
            Failure::new(format!("invalid env file ({}): {error}", path.display()))
        })?);
    }
    given.extend(args.env.iter().map(|variable| with_value(variable, own)));
    let mut all: Vec<String> = Vec::new();
    for variable in given {
        all.retain(|have| name_of(have) != name_of(&variable));
        all.push(variable);
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
