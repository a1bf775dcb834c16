//! A wish granted on a copy of the state, as the writes would be one by one.

use std::sync::Arc;

use swarmw_allocator::{choose_subnets, choose_vni};
use swarmw_model::{
    Config, ConfigId, DataSpec, Network, NetworkId, NetworkSpec, Payload, Refusal, Secret,
    SecretId, Service, ServiceId, ServiceSpec, Time, Version, Wish, validate,
};
use swarmw_state::{Change, Lookup, Outcome, State, Transaction};

/// In place of the bytes of secrets and configs, which matter to nobody here.
const BYTES: &[u8] = b"-";

/// A copy of `state` in which the wish is granted. The services of the wish have ids for names
/// after that, and what those that are there keep.
///
/// # Errors
/// What one of the writes would be refused with, with the name of what it is about.
pub fn grant(
    state: &State,
    wish: &mut Wish,
    at: Time,
    random: &mut dyn FnMut() -> u128,
) -> Result<State, Refusal> {
    let mut copy = Copy { state: state.clone(), at };
    for name in &wish.removed {
        let id = Service::find(&copy.state, name)?.id;
        copy.write(Change::RemoveService { id }).map_err(|why| of("service", name, why))?;
    }
    for spec in &wish.networks {
        let made = copy.network(spec, NetworkId::from_bits(random()));
        made.map_err(|why| of("network", &spec.name, why))?;
    }
    for name in &wish.secrets {
        let secret = Secret::new(SecretId::from_bits(random()), data(name));
        let made = copy.write(Change::CreateSecret(Box::new(secret)));
        made.map_err(|why| of("secret", name, why))?;
    }
    for name in &wish.configs {
        let config = Config::new(ConfigId::from_bits(random()), data(name));
        let made = copy.write(Change::CreateConfig(Box::new(config)));
        made.map_err(|why| of("config", name, why))?;
    }
    for spec in &mut wish.services {
        let name = spec.name.clone();
        let id = ServiceId::from_bits(random());
        copy.service(spec, id).map_err(|why| of("service", &name, why))?;
    }
    Ok(copy.state)
}

fn of(what: &str, name: &str, why: Refusal) -> Refusal {
    Refusal { message: format!("{what} {name}: {}", why.message), ..why }
}

fn data(name: &str) -> DataSpec {
    let data = Payload::from(BYTES.to_vec());
    DataSpec { name: name.to_owned(), data, ..DataSpec::default() }
}

struct Copy {
    state: State,
    at: Time,
}

// === impl Copy ===

impl Copy {
    fn write(&mut self, change: Change) -> Result<(), Refusal> {
        let transaction = Transaction { at: self.at, request: None, changes: vec![change] };
        let applied = self.state.apply(self.state.index() + 1, &transaction);
        match applied.outcomes.into_iter().next() {
            Some(Outcome::Refused(why)) => Err(why),
            Some(Outcome::Dropped(_)) => Err(Refusal::out_of_sequence()),
            Some(Outcome::Done(_)) | None => Ok(()),
        }
    }

    fn network(&mut self, spec: &NetworkSpec, id: NetworkId) -> Result<(), Refusal> {
        spec.validate()?;
        let network = Network {
            id,
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            spec: spec.clone(),
            pools: choose_subnets(&self.state, spec)?,
            vni: choose_vni(&self.state)?,
        };
        self.write(Change::CreateNetwork(Box::new(network)))
    }

    fn service(&mut self, spec: &mut ServiceSpec, id: ServiceId) -> Result<(), Refusal> {
        spec.settle_networks();
        self.look_up(spec)?;
        validate::service(spec)?;
        let Some(before) = self.state.service_named(&spec.name).cloned() else {
            return self.write(Change::CreateService { id, spec: Box::new(spec.clone()) });
        };
        // As an update without its own has it.
        Arc::make_mut(&mut spec.task_template)
            .registry_auth
            .clone_from(&before.spec.task_template.registry_auth);
        if spec.swarmw.is_none() {
            spec.swarmw.clone_from(&before.spec.swarmw);
        }
        // Deployments write what is the same too: jobs are done again, paused updates go on.
        let (id, version) = (before.id, before.version);
        self.write(Change::UpdateService { id, version, spec: Box::new(spec.clone()) })
    }

    /// Puts ids where names are.
    fn look_up(&self, spec: &mut ServiceSpec) -> Result<(), Refusal> {
        let state = &self.state;
        let task = Arc::make_mut(&mut spec.task_template);
        for wanted in &mut task.networks {
            wanted.target = Network::find(state, &wanted.target)?.id.to_string();
        }
        // The order says nothing; stacks are deployed in that of the ids.
        task.networks.sort_by(|a, b| a.target.cmp(&b.target));
        let Some(container) = &mut task.container_spec else { return Ok(()) };
        for wanted in &mut container.secrets {
            if wanted.secret_id.is_empty() {
                let found = Secret::find(state, &wanted.secret_name)?;
                wanted.secret_id = found.id.to_string();
            }
        }
        for wanted in &mut container.configs {
            if wanted.config_id.is_empty() {
                let found = Config::find(state, &wanted.config_name)?;
                wanted.config_id = found.id.to_string();
            }
        }
        Ok(())
    }
}
