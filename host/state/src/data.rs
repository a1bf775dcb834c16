//! The tables of secrets and configs, with their names.

use std::sync::Arc;

use imbl::OrdMap;
use swarmw_model::{
    ClusterVolume, Config, ConfigId, ConfigReference, Data, DataId, DataReference, Secret,
    SecretId, SecretReference, Service, ServiceSpec,
};

use crate::{Event, State};

/// All secrets, or all configs.
#[derive(Clone, Debug)]
pub(crate) struct DataTable<I: DataId> {
    by_id: OrdMap<I, Arc<Data<I>>>,
    /// In lower case: names are told apart by more than that.
    names: OrdMap<String, I>,
}

/// What tells secrets and configs apart in the state.
pub(crate) trait Kept: DataId {
    type Reference: DataReference<Id = Self>;

    fn table(state: &State) -> &DataTable<Self>;

    fn table_mut(state: &mut State) -> &mut DataTable<Self>;

    fn event(old: Option<Arc<Data<Self>>>, new: Option<Arc<Data<Self>>>) -> Event;

    /// The names of the volumes of the cluster that it is granted to.
    fn volumes(state: &State, id: Self) -> Vec<String>;
}

// === impl DataTable ===

impl<I: DataId> Default for DataTable<I> {
    fn default() -> Self {
        Self { by_id: OrdMap::new(), names: OrdMap::new() }
    }
}

impl<I: DataId> FromIterator<Arc<Data<I>>> for DataTable<I> {
    fn from_iter<T: IntoIterator<Item = Arc<Data<I>>>>(all: T) -> Self {
        let mut table = Self::default();
        all.into_iter().for_each(|data| table.put(data));
        table
    }
}

impl<I: DataId> DataTable<I> {
    pub(crate) fn get(&self, id: &I) -> Option<&Arc<Data<I>>> {
        self.by_id.get(id)
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Data<I>>> {
        self.by_id.get(self.names.get(&name.to_lowercase())?)
    }

    pub(crate) fn range(
        &self,
        ids: std::ops::RangeInclusive<I>,
    ) -> impl Iterator<Item = (&I, &Arc<Data<I>>)> {
        self.by_id.range(ids)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<Data<I>>> {
        self.by_id.values()
    }

    pub(crate) fn put(&mut self, data: Arc<Data<I>>) {
        self.names.insert(data.spec.name.to_lowercase(), data.id);
        self.by_id.insert(data.id, data);
    }

    pub(crate) fn remove(&mut self, data: &Data<I>) {
        self.names.remove(&data.spec.name.to_lowercase());
        self.by_id.remove(&data.id);
    }
}

impl Kept for SecretId {
    type Reference = SecretReference;

    fn table(state: &State) -> &DataTable<Self> {
        &state.secrets
    }

    fn table_mut(state: &mut State) -> &mut DataTable<Self> {
        &mut state.secrets
    }

    fn event(old: Option<Arc<Secret>>, new: Option<Arc<Secret>>) -> Event {
        Event::Secret { old, new }
    }

    fn volumes(state: &State, id: Self) -> Vec<String> {
        state.volumes_with(id).into_iter().map(|volume| volume.spec.name.clone()).collect()
    }
}

impl Kept for ConfigId {
    type Reference = ConfigReference;

    fn table(state: &State) -> &DataTable<Self> {
        &state.configs
    }

    fn table_mut(state: &mut State) -> &mut DataTable<Self> {
        &mut state.configs
    }

    fn event(old: Option<Arc<Config>>, new: Option<Arc<Config>>) -> Event {
        Event::Config { old, new }
    }

    fn volumes(_: &State, _: Self) -> Vec<String> {
        Vec::new()
    }
}

// === impl State ===

impl State {
    /// A secret.
    pub fn secret(&self, id: SecretId) -> Option<&Arc<Secret>> {
        self.secrets.get(&id)
    }

    /// All secrets by id.
    pub fn secrets(&self) -> impl Iterator<Item = &Arc<Secret>> {
        self.secrets.values()
    }

    /// A secret by its name, whatever the letter case.
    pub fn secret_named(&self, name: &str) -> Option<&Arc<Secret>> {
        self.secrets.named(name)
    }

    /// A config.
    pub fn config(&self, id: ConfigId) -> Option<&Arc<Config>> {
        self.configs.get(&id)
    }

    /// All configs by id.
    pub fn configs(&self) -> impl Iterator<Item = &Arc<Config>> {
        self.configs.values()
    }

    /// A config by its name, whatever the letter case.
    pub fn config_named(&self, name: &str) -> Option<&Arc<Config>> {
        self.configs.named(name)
    }

    /// The version of a secret or a config that was the present one before it; `None` where
    /// there is none.
    pub fn secret_before(&self, present: &Secret) -> Option<&Arc<Secret>> {
        before(self.secrets(), present)
    }

    /// The same of a config.
    pub fn config_before(&self, present: &Config) -> Option<&Arc<Config>> {
        before(self.configs(), present)
    }

    /// The services whose present spec names a secret or a config, by name.
    pub(crate) fn services_with<I: Kept>(&self, id: I) -> Vec<&Arc<Service>> {
        let names = |spec: &ServiceSpec| {
            let container = spec.container();
            container.is_some_and(|c| I::Reference::of(c).iter().any(|r| r.id() == Some(id)))
        };
        let mut users: Vec<_> = self.services().filter(|s| names(&s.spec)).collect();
        users.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        users
    }

    /// The volumes of the cluster whose driver may use a secret.
    pub(crate) fn volumes_with(&self, id: SecretId) -> Vec<&Arc<ClusterVolume>> {
        self.volumes().filter(|v| v.spec.secrets.iter().any(|s| s.id == id)).collect()
    }
}

/// The latest of the versions with a lower number.
fn before<'a, I: DataId>(
    all: impl Iterator<Item = &'a Arc<Data<I>>>,
    present: &Data<I>,
) -> Option<&'a Arc<Data<I>>> {
    let name = &present.spec.name;
    all.filter(|data| data.series.as_ref().is_some_and(|series| series.name == *name))
        .filter(|data| data.number() < present.number())
        .max_by_key(|data| data.number())
}
