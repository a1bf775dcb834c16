//! Volumes: made, claimed, let go, removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use swarmw_model::{
    ClusterVolume, Id, Refusal, RefusalKind, TaskId, VolumeClaim, VolumeId, VolumeSecret,
    VolumeSpec, check_secret_key, check_volume_name,
};

use super::{Context, Step, Stop};
use crate::{Dropped, Event, State};

/// Users named in a refusal; of more their number is told.
const USERS_NAMED: usize = 10;

impl State {
    pub(super) fn create_volume(
        &mut self,
        volume: &ClusterVolume,
        context: &mut Context<'_>,
    ) -> Step {
        let name = &volume.spec.name;
        check_volume_name(name).map_err(Refusal::invalid)?;
        let secrets = self.secrets_of_volume(&volume.spec)?;
        let spec = VolumeSpec { secrets, ..volume.spec.clone() };
        if let Some(there) = self.volume_named(name) {
            // Docker's create is content with a volume that is as it should be.
            if there.spec == spec && !there.removing {
                return Ok(Some(Id::from_bits(there.id.bits())));
            }
            let message = if there.removing {
                format!("volume {name} is being removed")
            } else if there.spec.driver.name != volume.spec.driver.name {
                format!(
                    "A volume named {name} already exists with the {} driver. Choose a different \
                     volume name.",
                    there.spec.driver.name
                )
            } else {
                format!("volume {name} exists already, with other settings")
            };
            return Err(Refusal::plain(RefusalKind::AlreadyExists, message).into());
        }
        let id = volume.id;
        let made = ClusterVolume { created_at: context.at, ..ClusterVolume::new(id, spec) };
        self.volume_names.insert(made.spec.name.clone(), id);
        self.put_volume(None, made, context);
        Ok(Some(Id::from_bits(id.bits())))
    }

    /// The secrets that an operator gives to a volume, found by their names or ids.
    fn secrets_of_volume(&self, spec: &VolumeSpec) -> Result<Vec<VolumeSecret>, Refusal> {
        let mut keys = BTreeSet::new();
        let found = |secret: &VolumeSecret| {
            let (key, name) = (&secret.key, &secret.name);
            check_secret_key(key).map_err(Refusal::invalid)?;
            if !keys.insert(key.clone()) {
                return Err(Refusal::invalid(format!("secret {key} of a volume is given twice")));
            }
            let by_id = || self.secret(name.parse().ok()?);
            let found = self.secret_named(name).or_else(by_id);
            let found =
                found.ok_or_else(|| Refusal::invalid(format!("secret not found: {name}")))?;
            Ok(VolumeSecret { key: key.clone(), name: found.spec.name.clone(), id: found.id })
        };
        spec.secrets.iter().map(found).collect()
    }

    /// From here on no task takes it, so that its data can go.
    pub(super) fn give_up_volume(&mut self, id: VolumeId, context: &mut Context<'_>) -> Step {
        let old = self.volume_or_refuse(id)?;
        let users = self.users_of_volume(&old.spec);
        if !users.is_empty() {
            let more = users.len().saturating_sub(USERS_NAMED);
            let mut shown: Vec<_> = users.into_iter().take(USERS_NAMED).collect();
            if more > 0 {
                shown.push(format!("and {more} more"));
            }
            let message =
                format!("remove {}: volume is in use - [{}]", old.spec.name, shown.join(", "));
            return Err(Refusal::plain(RefusalKind::AlreadyExists, message).into());
        }
        if !old.removing {
            let volume = ClusterVolume { removing: true, ..(*old).clone() };
            self.put_volume(Some(old), volume, context);
        }
        Ok(None)
    }

    pub(super) fn remove_volume(&mut self, id: VolumeId, context: &mut Context<'_>) -> Step {
        let old = self.volume_or_refuse(id)?;
        if !old.removing {
            return Err(Dropped::Changed.into());
        }
        self.volumes.remove(&id);
        self.volume_names.remove(&old.spec.name);
        context.events.push(Event::Volume { old: Some(old), new: None });
        Ok(None)
    }

    pub(super) fn claim_volume(
        &mut self,
        id: VolumeId,
        task: TaskId,
        claims: u64,
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.volumes.get(&id).cloned().ok_or(Dropped::Gone)?;
        let holder = self.tasks.get(&task).ok_or(Dropped::Gone)?;
        let Some(node) = holder.node_id else { return Err(Dropped::Changed.into()) };
        let lives = !holder.status.state.is_terminal();
        if old.claim.is_some() || old.claims != claims || old.removing || !lives {
            return Err(Dropped::Changed.into());
        }
        let epoch = claims + 1;
        let claim = Some(VolumeClaim { task, node, epoch });
        let volume = ClusterVolume { claim, claims: epoch, ..(*old).clone() };
        self.put_volume(Some(old), volume, context);
        Ok(None)
    }

    pub(super) fn release_volume(
        &mut self,
        id: VolumeId,
        epoch: u64,
        context: &mut Context<'_>,
    ) -> Step {
        let old = self.volumes.get(&id).cloned().ok_or(Dropped::Gone)?;
        if old.claim.is_none_or(|claim| claim.epoch != epoch) {
            return Err(Dropped::Changed.into());
        }
        let volume = ClusterVolume { claim: None, ..(*old).clone() };
        self.put_volume(Some(old), volume, context);
        Ok(None)
    }

    fn put_volume(
        &mut self,
        old: Option<Arc<ClusterVolume>>,
        mut volume: ClusterVolume,
        context: &mut Context<'_>,
    ) {
        volume.version = context.version;
        volume.updated_at = context.at;
        let volume = Arc::new(volume);
        self.volumes.insert(volume.id, volume.clone());
        context.events.push(Event::Volume { old, new: Some(volume) });
    }

    fn volume_or_refuse(&self, id: VolumeId) -> Result<Arc<ClusterVolume>, Stop> {
        let found = self.volumes.get(&id).cloned();
        found.ok_or_else(|| Refusal::not_found("volume", id).into())
    }
}
