//! The secrets and configs of a service.

use swarmw_model::{ConfigReference, ContainerSpec, SecretReference, ServiceSpec};

use crate::client::Client;
use crate::config::CONFIG;
use crate::data::resolve;
use crate::failure::Failure;
use crate::parse::{config_reference, secret_reference};
use crate::secret::SECRET;

/// Of `service create`.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(super) struct DataFlags {
    /// Specify configurations to expose to the service
    #[arg(long, value_name = "config", value_parser = config_reference)]
    config: Vec<ConfigReference>,
    /// Specify secrets to expose to the service
    #[arg(long, value_name = "secret", value_parser = secret_reference)]
    secret: Vec<SecretReference>,
}

/// Of `service update`.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(super) struct DataChanges {
    /// Add or update a config file on a service
    #[arg(long, value_name = "config", value_parser = config_reference)]
    config_add: Vec<ConfigReference>,
    /// Remove a configuration file
    #[arg(long, value_name = "list")]
    config_rm: Vec<String>,
    /// Add or update a secret on a service
    #[arg(long, value_name = "secret", value_parser = secret_reference)]
    secret_add: Vec<SecretReference>,
    /// Remove a secret
    #[arg(long, value_name = "list")]
    secret_rm: Vec<String>,
}

// === impl DataFlags ===

impl DataFlags {
    /// Looks up what is named, and puts it into the spec.
    pub(super) async fn apply(
        &self,
        client: &Client,
        spec: &mut ServiceSpec,
    ) -> Result<(), Failure> {
        add(client, spec, &self.secret, &self.config).await
    }
}

// === impl DataChanges ===

impl DataChanges {
    /// Removes first; what is added is looked up.
    pub(super) async fn apply(
        &self,
        client: &Client,
        spec: &mut ServiceSpec,
    ) -> Result<(), Failure> {
        if !self.secret_rm.is_empty() || !self.config_rm.is_empty() {
            let container = container(spec);
            container.secrets.retain(|s| !self.secret_rm.contains(&s.secret_name));
            container.configs.retain(|c| !self.config_rm.contains(&c.config_name));
        }
        add(client, spec, &self.secret_add, &self.config_add).await
    }
}

async fn add(
    client: &Client,
    spec: &mut ServiceSpec,
    secrets: &[SecretReference],
    configs: &[ConfigReference],
) -> Result<(), Failure> {
    let (mut secrets, mut configs) = (secrets.to_vec(), configs.to_vec());
    resolve(client, &SECRET, &mut secrets, |secret, id| secret.secret_id = id).await?;
    resolve(client, &CONFIG, &mut configs, |config, id| config.config_id = id).await?;
    if !secrets.is_empty() || !configs.is_empty() {
        let container = container(spec);
        container.secrets.extend(secrets);
        container.configs.extend(configs);
    }
    Ok(())
}

fn container(spec: &mut ServiceSpec) -> &mut ContainerSpec {
    std::sync::Arc::make_mut(&mut spec.task_template).container_spec.get_or_insert_default()
}
