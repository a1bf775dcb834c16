//! `stack plan`: what `stack deploy` would do with the same files, and what would become of
//! the tasks. The leader plays it on a copy of its state; nothing is written.

mod show;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};
use swarmw_compose::Stack;
use swarmw_model::{DataSpec, FieldChange, Outlook, PlannedAct, ServiceSpec, field_changes};

use super::deploy::{NOT_A_MANAGER, check_external, tell};
use super::files::{self, FileFlags};
use super::services::{Deployer, Resolve};
use super::{check_name, of_stack, remove};
use crate::client::{Client, Service, segment};
use crate::config::CONFIG;
use crate::data::Kind;
use crate::failure::Failure;
use crate::io::Io;
use crate::parse::boolean;
use crate::secret::SECRET;

/// `stack plan`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct PlanArgs {
    #[command(flatten)]
    files: FileFlags,
    /// Exit with 2 where there would be changes, and with 0 where there would be none
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    detailed_exitcode: bool,
    /// Format output: pretty or json
    #[arg(long, value_name = "string", default_value = "pretty")]
    format: String,
    /// Plan with the services pruned that are no longer referenced
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    prune: bool,
    /// Query the registry to resolve image digest and supported platforms ("always",
    /// "changed", "never")
    #[arg(long, value_name = "string", default_value = "always")]
    resolve_image: String,
    /// Send registry authentication details with queries
    #[arg(long, num_args(0..=1), require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = boolean, hide_default_value = true)]
    with_registry_auth: bool,
    /// Its name
    #[arg(value_name = "STACK")]
    stack: String,
}

/// What a deployment would do.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Plan {
    networks: Vec<Planned>,
    secrets: Vec<Planned>,
    configs: Vec<Planned>,
    #[serde(flatten)]
    outlook: Outlook,
}

/// What would become of a network, a secret or a config.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Planned {
    name: String,
    act: PlannedAct,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<FieldChange>,
    /// Why the deployment would end here.
    #[serde(skip_serializing_if = "String::is_empty")]
    trouble: String,
}

/// What the leader is asked.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    networks: Vec<Value>,
    secrets: Vec<String>,
    configs: Vec<String>,
    services: Vec<ServiceSpec>,
    removed: Vec<String>,
}

pub(super) async fn run(client: &Client, args: PlanArgs, io: &mut Io) -> Result<(), Failure> {
    check_name(&args.stack)?;
    let is_json = match args.format.as_str() {
        "pretty" => false,
        "json" => true,
        other => {
            let text = format!("unknown format {other:?}: pretty or json");
            return Err(Failure::new(text));
        }
    };
    let loaded = files::load(&args.files, Some(&args.stack), true)?;
    tell(&loaded, io)?;
    let resolve = Resolve::read(&args.resolve_image)?;
    if !client.info().await?.swarm.control_available {
        return Err(Failure::new(NOT_A_MANAGER));
    }
    let stack = Stack::new(&loaded.project, &args.stack, &|path| std::fs::read(path))
        .map_err(|troubles| Failure::new(troubles.to_string()))?;
    let deployer = Deployer { client, resolve, sends_auth: args.with_registry_auth };
    let plan = made(client, stack, &deployer, args.prune, io).await?;
    match is_json {
        true => {
            let text = serde_json::to_string_pretty(&plan);
            io.line(text.map_err(|error| Failure::new(error.to_string()))?)?;
        }
        false => io.text(&show::pretty(&plan, &args.stack))?,
    }
    match args.detailed_exitcode && !plan.is_empty() {
        true => Err(Failure::WouldChange),
        false => Ok(()),
    }
}

async fn made(
    client: &Client,
    stack: Stack,
    deployer: &Deployer<'_>,
    prune: bool,
    io: &mut Io,
) -> Result<Plan, Failure> {
    let (mut plan, mut asked) = (Plan::default(), Asked::default());
    for name in &stack.external_networks {
        check_external(client, name).await?;
    }
    let there = remove::list(client, "/networks", &stack.namespace).await?;
    for network in stack.networks {
        if there.iter().all(|have| have["Name"].as_str() != Some(&network.name)) {
            plan.networks.push(Planned::new(network.name));
            asked.networks.push(network.body);
        }
    }
    for spec in &stack.secrets {
        let planned = data(client, &SECRET, spec).await?;
        asked.secrets.extend(planned.as_ref().and_then(Planned::created));
        plan.secrets.extend(planned);
    }
    for spec in &stack.configs {
        let planned = data(client, &CONFIG, spec).await?;
        asked.configs.extend(planned.as_ref().and_then(Planned::created));
        plan.configs.extend(planned);
    }
    let there = client.services(&of_stack(&stack.namespace)).await?;
    if prune {
        let wanted: BTreeSet<&str> = stack.services.iter().map(|s| s.spec.name.as_str()).collect();
        let names = there.iter().map(|service| service.spec.name.clone());
        asked.removed.extend(names.filter(|name| !wanted.contains(name.as_str())));
    }
    for service in stack.services {
        let before = there.iter().find(|have| have.spec.name == service.spec.name);
        asked.services.push(settled(deployer, service.spec, before, io).await?);
    }
    plan.outlook = client.post("/swarmw/plan").json(&asked)?.read().await?;
    Ok(plan)
}

async fn settled(
    deployer: &Deployer<'_>,
    mut spec: ServiceSpec,
    before: Option<&Service>,
    io: &mut Io,
) -> Result<ServiceSpec, Failure> {
    let auth = deployer.auth(&spec)?;
    if let Some(warning) = deployer.settle(&mut spec, before, auth.as_deref()).await? {
        io.warn(warning)?;
    }
    Ok(spec)
}

/// What would become of a secret or a config; `None`: nothing.
async fn data(client: &Client, kind: &Kind, spec: &DataSpec) -> Result<Option<Planned>, Failure> {
    let path = format!("{}/{}", kind.path, segment(&spec.name));
    let found: Value = match client.get(path).read().await {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Ok(Some(Planned::new(spec.name.clone()))),
        Err(error) => return Err(error.into()),
    };
    let labels = |labels: &Value| json!({ "Labels": labels });
    let changes = field_changes(&labels(&found["Spec"]["Labels"]), &labels(&json!(spec.labels)));
    // A secret's bytes are told to nobody.
    let old = &found["Spec"]["Data"];
    let trouble = match old.is_string() && *old != json!(spec)["Data"] {
        true => format!(
            "its data differ from the file's, which the deployment will be refused for: give \
             the {} another name",
            kind.word
        ),
        false => String::new(),
    };
    if changes.is_empty() && trouble.is_empty() {
        return Ok(None);
    }
    let name = spec.name.clone();
    Ok(Some(Planned { name, act: PlannedAct::Update, changes, trouble }))
}

// === impl Plan ===

impl Plan {
    /// Whether a deployment would change nothing.
    fn is_empty(&self) -> bool {
        self.networks.is_empty()
            && self.secrets.is_empty()
            && self.configs.is_empty()
            && self.outlook.services.iter().all(swarmw_model::ServiceOutlook::is_quiet)
    }
}

// === impl Planned ===

impl Planned {
    fn new(name: String) -> Self {
        Self { name, act: PlannedAct::Create, ..Self::default() }
    }

    fn created(&self) -> Option<String> {
        (self.act == PlannedAct::Create).then(|| self.name.clone())
    }
}
