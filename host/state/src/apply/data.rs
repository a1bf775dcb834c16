//! Secrets and configs: made, labelled, removed; and whether what a service names is there.

use std::sync::Arc;

use swarmw_model::{
    ConfigId, Data, DataId, DataReference, DataSpec, Refusal, RefusalKind, SecretId, ServiceSpec,
    Version,
};

use super::{Context, Step, Stop};
use crate::State;
use crate::data::Kept;

impl State {
    pub(super) fn create_data<I: Kept>(
        &mut self,
        data: &Data<I>,
        context: &mut Context<'_>,
    ) -> Step {
        data.spec.check::<I>()?;
        let name = &data.spec.name;
        if I::table(self).named(name).is_some() || I::table(self).get(&data.id).is_some() {
            let message = format!("{} {name} already exists", I::KIND);
            return Err(Refusal::rpc(RefusalKind::AlreadyExists, message).into());
        }
        let made = Arc::new(Data {
            version: context.version,
            created_at: context.at,
            updated_at: context.at,
            ..data.clone()
        });
        I::table_mut(self).put(made.clone());
        context.events.push(I::event(None, Some(made)));
        Ok(Some(data.id.id()))
    }

    /// Labels change, nothing else does: whoever has the data keeps it.
    pub(super) fn update_data<I: Kept>(
        &mut self,
        id: I,
        version: Version,
        spec: &DataSpec,
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.data_or_refuse(id)?;
        let same_data = spec.data.is_empty() || spec.data == old.spec.data;
        if spec.name != old.spec.name || !same_data {
            let message = "only updates to Labels are allowed";
            return Err(Refusal::rpc(RefusalKind::InvalidArgument, message).into());
        }
        if old.version != version {
            return Err(Refusal::out_of_sequence().into());
        }
        let mut new = Data::clone(&old);
        new.spec.labels.clone_from(&spec.labels);
        new.version = context.version;
        new.updated_at = context.at;
        let new = Arc::new(new);
        I::table_mut(self).put(new.clone());
        context.events.push(I::event(Some(old), Some(new)));
        Ok(None)
    }

    pub(super) fn remove_secret(&mut self, id: SecretId, context: &mut Context<'_>) -> Step {
        let old = self.data_or_refuse(id)?;
        let volumes: Vec<_> =
            self.volumes_with(id).into_iter().map(|v| v.spec.name.clone()).collect();
        refuse_in_use(&old, "volume", &volumes)?;
        self.remove_data(id, context)
    }

    pub(super) fn remove_config(&mut self, id: ConfigId, context: &mut Context<'_>) -> Step {
        self.remove_data(id, context)
    }

    fn remove_data<I: Kept>(&mut self, id: I, context: &mut Context<'_>) -> Step {
        let old = self.data_or_refuse(id)?;
        let users: Vec<_> =
            self.services_with(id).into_iter().map(|s| s.spec.name.clone()).collect();
        refuse_in_use(&old, "service", &users)?;
        I::table_mut(self).remove(&old);
        context.events.push(I::event(Some(old), None));
        Ok(None)
    }

    /// Refuses a spec that names a secret or a config that is not there.
    pub(super) fn check_data(&self, spec: &ServiceSpec) -> Result<(), Stop> {
        self.check_data_of::<SecretId>(spec)?;
        self.check_data_of::<ConfigId>(spec)
    }

    fn check_data_of<I: Kept>(&self, spec: &ServiceSpec) -> Result<(), Stop> {
        let is_there = |reference: &&I::Reference| {
            let found = reference.id().and_then(|id| I::table(self).get(&id));
            found.is_some_and(|data| data.spec.name == reference.name())
        };
        let references = spec.container().map(I::Reference::of).unwrap_or_default();
        let missed: Vec<_> =
            references.iter().filter(|r| !is_there(r)).map(DataReference::name).collect();
        if missed.is_empty() {
            return Ok(());
        }
        let plural = if missed.len() == 1 { "" } else { "s" };
        let message = format!("{}{plural} not found: {}", I::KIND, missed.join(", "));
        Err(Refusal::rpc(RefusalKind::InvalidArgument, message).into())
    }

    fn data_or_refuse<I: Kept>(&self, id: I) -> Result<Arc<Data<I>>, Stop> {
        let found = I::table(self).get(&id).cloned();
        found.ok_or_else(|| Refusal::not_found(I::KIND, id).into())
    }
}

fn refuse_in_use<I: DataId>(data: &Data<I>, by: &str, names: &[String]) -> Result<(), Refusal> {
    if names.is_empty() {
        return Ok(());
    }
    let plural = if names.len() == 1 { "" } else { "s" };
    Err(Refusal::rpc(
        RefusalKind::InvalidArgument,
        format!(
            "{} '{}' is in use by the following {by}{plural}: {}",
            I::KIND,
            data.spec.name,
            names.join(", ")
        ),
    ))
}
