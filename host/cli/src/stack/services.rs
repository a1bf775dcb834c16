//! The services of a stack: what they name is looked up, then each is created or updated.

use std::collections::HashMap;
use std::sync::Arc;

use swarmw_compose::{IMAGE_LABEL, PLATFORM_LABEL, Stack, StackService};
use swarmw_model::{Platform, ServiceSpec, SwarmwOptions};

use super::deploy::is_of_engine;
use super::{of_stack, wait};
use crate::client::api::UpdateOptions;
use crate::client::{Client, Service};
use crate::config::CONFIG;
use crate::data;
use crate::failure::Failure;
use crate::io::Io;
use crate::network;
use crate::secret::SECRET;
use crate::service::image;

/// When the registry is asked for an image's digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolve {
    /// Each time.
    Always,
    /// When the file names another image than the last time.
    Changed,
    /// Not at all.
    Never,
}

/// Brings services into the cluster.
pub(super) struct Deployer<'c> {
    pub(super) client: &'c Client,
    pub(super) resolve: Resolve,
    pub(super) sends_auth: bool,
}

// === impl Resolve ===

impl Resolve {
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        match text {
            "always" => Ok(Self::Always),
            "changed" => Ok(Self::Changed),
            "never" => Ok(Self::Never),
            _ => Err(Failure::new(format!("Invalid option {text} for flag --resolve-image"))),
        }
    }
}

// === impl Deployer ===

impl Deployer<'_> {
    /// Deploys all services in their order; gives their ids. The first that fails ends
    /// it, and is told of with those that were not reached.
    pub(super) async fn deploy(&self, stack: Stack, io: &mut Io) -> Result<Vec<String>, Failure> {
        let there = self.client.services(&of_stack(&stack.namespace)).await?;
        let names: Vec<String> =
            stack.services.iter().map(|service| service.spec.name.clone()).collect();
        let mut networks = HashMap::new();
        // Ids by the names that the file has.
        let mut done: HashMap<String, String> = HashMap::new();
        let mut ids = Vec::new();
        for (index, mut service) in stack.services.into_iter().enumerate() {
            let key = service.key.clone();
            let outcome = async {
                self.look_up(&mut service, &mut networks).await?;
                wait::for_dependencies(self.client, &service, &done, io).await?;
                let before = there.iter().find(|have| have.spec.name == service.spec.name);
                match before {
                    Some(before) => self.update(service.spec, before, io).await,
                    None => self.create(service.spec, io).await,
                }
            }
            .await;
            let id = outcome.map_err(|failure| after(failure, &names[index + 1..]))?;
            done.insert(key, id.clone());
            ids.push(id);
        }
        Ok(ids)
    }

    /// Puts ids where names are.
    async fn look_up(
        &self,
        service: &mut StackService,
        networks: &mut HashMap<String, String>,
    ) -> Result<(), Failure> {
        let named = |key: &str, failure: Failure| Failure::new(format!("service {key}: {failure}"));
        let task = Arc::make_mut(&mut service.spec.task_template);
        if let Some(container) = &mut task.container_spec {
            let (secrets, configs) = (&mut container.secrets, &mut container.configs);
            data::resolve(self.client, &SECRET, secrets, |secret, id| secret.secret_id = id)
                .await
                .map_err(|failure| named(&service.key, failure))?;
            data::resolve(self.client, &CONFIG, configs, |config, id| config.config_id = id)
                .await
                .map_err(|failure| named(&service.key, failure))?;
        }
        for attachment in &mut task.networks {
            if let Some(id) = networks.get(&attachment.target) {
                attachment.target.clone_from(id);
                continue;
            }
            let name = attachment.target.clone();
            let id = match network::resolve(self.client, &name).await {
                Ok(id) => id,
                // Older daemons list only networks of their own making.
                Err(_) if is_of_engine(&name) => name.clone(),
                Err(failure) => return Err(named(&service.key, failure)),
            };
            attachment.target.clone_from(&id);
            networks.insert(name, id);
        }
        // The order says nothing; one of ids makes equal specs of what other clients wrote.
        task.networks.sort_by(|a, b| a.target.cmp(&b.target));
        service.settle_credentials();
        Ok(())
    }

    async fn create(&self, mut spec: ServiceSpec, io: &mut Io) -> Result<String, Failure> {
        let name = spec.name.clone();
        io.line(format!("Creating service {name}"))?;
        let auth = self.auth(&spec)?;
        let unresolved = self.settle(&mut spec, None, auth.as_deref()).await?;
        let created =
            self.client.create_service(&spec, auth.as_deref()).await.map_err(|error| {
                Failure::new(format!("failed to create service {name}: {error}"))
            })?;
        for warning in unresolved.iter().chain(created.warnings.iter().flatten()) {
            io.warn(warning)?;
        }
        Ok(created.id)
    }

    async fn update(
        &self,
        mut spec: ServiceSpec,
        before: &Service,
        io: &mut Io,
    ) -> Result<String, Failure> {
        let name = spec.name.clone();
        io.line(format!("Updating service {name} (id: {})", before.id))?;
        let auth = self.auth(&spec)?;
        let warnings = self.settle(&mut spec, Some(before), auth.as_deref()).await?;
        let service = Service { spec, ..before.clone() };
        let options = UpdateOptions { rollback: false, auth };
        let updated =
            self.client.update_service(&service, &options).await.map_err(|error| {
                Failure::new(format!("failed to update service {name}: {error}"))
            })?;
        for warning in warnings.iter().chain(updated.warnings.iter().flatten()) {
            io.warn(warning)?;
        }
        Ok(service.id)
    }

    /// Settles which image a service has and for which platform, and what it keeps of what
    /// is there; gives what could not be found out about the image.
    pub(super) async fn settle(
        &self,
        spec: &mut ServiceSpec,
        before: Option<&Service>,
        auth: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        if let Some(before) = before {
            // There is no --force here: tasks stay unless something else has changed.
            Arc::make_mut(&mut spec.task_template).force_update =
                before.spec.task_template.force_update;
            keep_options(spec, before);
        }
        let wanted = platforms(spec).to_vec();
        let unresolved = self.settle_image(spec, before, auth).await?;
        // The image may be built for more than the file wants.
        if !wanted.is_empty() {
            let task = Arc::make_mut(&mut spec.task_template);
            task.placement.get_or_insert_default().platforms = wanted;
        }
        Ok(unresolved)
    }

    async fn settle_image(
        &self,
        spec: &mut ServiceSpec,
        before: Option<&Service>,
        auth: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        let same = before.filter(|have| {
            let is_same = |label: &&str| have.spec.labels.get(*label) == spec.labels.get(*label);
            [IMAGE_LABEL, PLATFORM_LABEL].iter().all(is_same)
        });
        if let Some(before) = same
            && self.resolve != Resolve::Always
        {
            keep_image(spec, before);
            return Ok(None);
        }
        let image = spec.task_template.image().to_owned();
        let no_query = self.resolve == Resolve::Never;
        let resolved = image::resolve(self.client, &image, no_query, auth).await?;
        let unresolved = resolved.set_in(spec);
        // Without a registry the digest of the last time is better than none: another image
        // would restart all tasks.
        if let (Some(before), true) = (same, unresolved.is_some()) {
            keep_image(spec, before);
        }
        Ok(unresolved)
    }

    pub(super) fn auth(&self, spec: &ServiceSpec) -> Result<Option<String>, Failure> {
        match self.sends_auth {
            true => image::registry_auth(spec.task_template.image()).map(Some),
            false => Ok(None),
        }
    }
}

/// What containers have of their nodes is what the file says. What else a service has that
/// Docker has no field for is another command's, and stays.
fn keep_options(spec: &mut ServiceSpec, before: &Service) {
    if let Some(kept) = &before.spec.swarmw {
        let container = spec.swarmw.take().unwrap_or_default().container;
        spec.swarmw = Some(SwarmwOptions { container, ..kept.clone() });
    }
}

fn platforms(spec: &ServiceSpec) -> &[Platform] {
    let placement = spec.task_template.placement.as_ref();
    placement.map(|placement| placement.platforms.as_slice()).unwrap_or_default()
}

/// Takes over the image of the last time, with its digest and platforms.
fn keep_image(spec: &mut ServiceSpec, before: &Service) {
    let task = Arc::make_mut(&mut spec.task_template);
    if let Some(container) = &mut task.container_spec {
        before.spec.task_template.image().clone_into(&mut container.image);
    }
    let platforms = before.spec.task_template.placement.as_ref().map(|p| p.platforms.clone());
    if let Some(platforms) = platforms {
        task.placement.get_or_insert_default().platforms = platforms;
    }
}

/// What failed, and what was not reached because of it.
fn after(failure: Failure, rest: &[String]) -> Failure {
    match failure {
        Failure::Output(error) => Failure::Output(error),
        failure if rest.is_empty() => failure,
        failure => Failure::new(format!("{failure}\nnot deployed: {}", rest.join(", "))),
    }
}
