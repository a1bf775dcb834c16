//! Versions of a secret or a config under one name.
//!
//! The name is always the present version's, so whoever looks it up, a stack that is deployed
//! again or a client that knows nothing of versions, finds that one. What was there before goes
//! on under a name with its number, `key.v1`, and can be put back. One change does it all: the
//! names, and the services that have the version that is replaced.

use std::sync::Arc;

use swarmw_model::{Data, DataReference as _, DataSpec, Refusal, RefusalKind, Series, ServiceSpec};

use super::{Context, Step, Stop};
use crate::State;
use crate::data::Kept;
use crate::transaction::{Rotation, Successor};

/// Earlier versions that are kept; of more, the oldest that no service names go.
const EARLIER_MAX: usize = 10;

/// Names that are others from now on.
type Renamed<I> = Vec<(I, String)>;

impl State {
    /// All of it, or nothing.
    pub(super) fn rotate<I: Kept>(
        &mut self,
        rotation: &Rotation<I>,
        context: &mut Context<'_>,
    ) -> Step {
        self.versions_are_known()?;
        let (before, events) = (self.clone(), context.events.len());
        let done = self.replace_version(rotation, context);
        if done.is_err() {
            *self = before;
            context.events.truncate(events);
        }
        done
    }

    fn replace_version<I: Kept>(
        &mut self,
        rotation: &Rotation<I>,
        context: &mut Context<'_>,
    ) -> Step {
        let present = self.present_version(rotation)?;
        let name = present.spec.name.clone();
        let number = present.number();
        let (next, was, mut renamed) = match &rotation.to {
            Successor::New { id, data } => {
                let last = self.versions_of::<I>(&name).iter().map(|v| v.number()).max();
                let spec = DataSpec { data: data.clone(), ..present.spec.clone() };
                spec.check::<I>()?;
                if I::table(self).get(id).is_some() {
                    let message = format!("{} {id} already exists", I::KIND);
                    return Err(Refusal::rpc(RefusalKind::AlreadyExists, message).into());
                }
                let number = last.unwrap_or(number).max(number) + 1;
                let series = Some(Series { name: name.clone(), number });
                let made = Data { created_at: context.at, series, ..Data::new(*id, spec) };
                (made, None, Renamed::new())
            }
            Successor::Earlier(id) => {
                let earlier = self.earlier_version(*id, &name)?;
                I::table_mut(self).remove(&earlier);
                let mut back = Data::clone(&earlier);
                // Labels are said of the name.
                back.spec.labels.clone_from(&present.spec.labels);
                back.spec.name.clone_from(&name);
                (back, Some(earlier), vec![(*id, name.clone())])
            }
        };
        let mut left = Data::clone(&present);
        left.spec.name = Series::name_of(&name, number);
        left.spec.check::<I>()?;
        left.series = Some(Series { name: name.clone(), number });
        I::table_mut(self).remove(&present);
        if I::table(self).named(&left.spec.name).is_some() {
            let message = format!("{} {} already exists", I::KIND, left.spec.name);
            return Err(Refusal::rpc(RefusalKind::AlreadyExists, message).into());
        }
        renamed.push((left.id, left.spec.name.clone()));
        let id = next.id;
        let replaced = present.id;
        self.put_version(left, Some(present), context);
        self.put_version(next, was, context);
        self.follow(replaced, (id, &name), &renamed, context)?;
        self.forget_versions::<I>(&name, id, context);
        Ok(Some(id.id()))
    }

    /// What is replaced: the version that its name leads to.
    fn present_version<I: Kept>(&self, rotation: &Rotation<I>) -> Result<Arc<Data<I>>, Stop> {
        let present = I::table(self).get(&rotation.id).cloned();
        let present = present.ok_or_else(|| Refusal::not_found(I::KIND, rotation.id))?;
        if present.version != rotation.version {
            return Err(Refusal::out_of_sequence().into());
        }
        if let Some(series) = present.series.as_ref().filter(|s| s.name != present.spec.name) {
            return Err(Refusal::rpc(
                RefusalKind::FailedPrecondition,
                format!(
                    "{kind} {} is an earlier version of {name}: rotate {kind} {name}",
                    present.spec.name,
                    kind = I::KIND,
                    name = series.name,
                ),
            )
            .into());
        }
        let volumes = I::volumes(self, present.id);
        if !volumes.is_empty() {
            return Err(Refusal::rpc(
                RefusalKind::FailedPrecondition,
                format!(
                    "{} {} cannot be rotated: it is granted to volumes, which keep what they \
                     have: {}",
                    I::KIND,
                    present.spec.name,
                    volumes.join(", ")
                ),
            )
            .into());
        }
        Ok(present)
    }

    fn earlier_version<I: Kept>(&self, id: I, name: &str) -> Result<Arc<Data<I>>, Stop> {
        let found = I::table(self).get(&id).cloned();
        let found = found.ok_or_else(|| Refusal::not_found(I::KIND, id))?;
        match &found.series {
            Some(series) if series.name == name && found.spec.name != name => Ok(found),
            _ => Err(Refusal::rpc(
                RefusalKind::FailedPrecondition,
                format!("{} {} is no earlier version of {name}", I::KIND, found.spec.name),
            )
            .into()),
        }
    }

    fn put_version<I: Kept>(
        &mut self,
        data: Data<I>,
        old: Option<Arc<Data<I>>>,
        context: &mut Context<'_>,
    ) {
        let new = Arc::new(Data { version: context.version, updated_at: context.at, ..data });
        I::table_mut(self).put(new.clone());
        context.events.push(I::event(old, Some(new)));
    }

    /// Has the services that had `left` take the next version, as updates of theirs, and says
    /// the new names wherever versions are named.
    fn follow<I: Kept>(
        &mut self,
        left: I,
        next: (I, &str),
        renamed: &Renamed<I>,
        context: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let services: Vec<_> = self.services().cloned().collect();
        for service in services {
            let mut spec = service.spec.clone();
            point::<I>(&mut spec, |id| match renamed.iter().find(|(of, _)| *of == id) {
                _ if id == left => Some((next.0, next.1.to_owned())),
                Some((id, name)) => Some((*id, name.clone())),
                None => None,
            });
            if spec != service.spec {
                self.update_service(service.id, service.version, &spec, context)?;
            }
            // What a rollback of the service returns to keeps its version, under its new name.
            let Some(mut previous) = self.service(service.id).and_then(|s| s.previous_spec.clone())
            else {
                continue;
            };
            let before = previous.clone();
            point::<I>(&mut previous, |id| {
                renamed.iter().find(|(of, _)| *of == id).map(|(id, name)| (*id, name.clone()))
            });
            if previous != before {
                self.edit_service(service.id, context, |s| s.previous_spec = Some(previous))?;
            }
        }
        Ok(())
    }

    /// Earlier versions beyond the limit go, the oldest first; those that a service names, or
    /// would return to, stay.
    fn forget_versions<I: Kept>(&mut self, name: &str, present: I, context: &mut Context<'_>) {
        let mut earlier = self.versions_of::<I>(name);
        earlier.retain(|version| version.id != present);
        earlier.sort_by_key(|version| version.number());
        let mut surplus = earlier.len().saturating_sub(EARLIER_MAX);
        for version in earlier {
            if surplus == 0 {
                return;
            }
            let names = |spec: &ServiceSpec| {
                let container = spec.container();
                container
                    .is_some_and(|c| I::Reference::of(c).iter().any(|r| r.id() == Some(version.id)))
            };
            let is_named = self
                .services()
                .any(|s| names(&s.spec) || s.previous_spec.as_ref().is_some_and(&names));
            if !is_named {
                I::table_mut(self).remove(&version);
                context.events.push(I::event(Some(version), None));
                surplus -= 1;
            }
        }
    }

    fn versions_of<I: Kept>(&self, name: &str) -> Vec<Arc<Data<I>>> {
        let of_it = |data: &&Arc<Data<I>>| data.series.as_ref().is_some_and(|s| s.name == name);
        I::table(self).values().filter(of_it).cloned().collect()
    }
}

/// Changes the references of a spec for which there is another target.
fn point<I: Kept>(spec: &mut ServiceSpec, to: impl Fn(I) -> Option<(I, String)>) {
    let concerned = spec.container().is_some_and(|container| {
        I::Reference::of(container).iter().any(|r| r.id().is_some_and(|id| to(id).is_some()))
    });
    if !concerned {
        return;
    }
    let task = Arc::make_mut(&mut spec.task_template);
    let Some(container) = &mut task.container_spec else { return };
    for reference in I::Reference::of_mut(container) {
        if let Some((id, name)) = reference.id().and_then(&to) {
            reference.point_to(id, name);
        }
    }
}
