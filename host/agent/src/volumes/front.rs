//! What a task's runner asks for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use swarmw_model::{
    Assignment, ClusterVolume, ContainerStatus, Driver, Mount, MountKind, NodeVolume, Refusal,
    RefusalKind, TaskId, VolumeId, VolumeScope, VolumeSpec, check_volume_name,
};

use tokio::time::Instant;

use super::claims::{self, Claims};
use super::drivers::{Drivers, Known, Setup};
use super::hands::{EngineVolumes, Machine};
use super::keeper::{Keeper, NotDone};
use super::planner::NoPlan;
use super::wanted::{Seen, Wanted};
use super::warden::patience;
use super::writers::Writers;
use crate::executor::TaskError;

/// The volumes of a node, for its tasks.
pub(crate) struct Volumes {
    keeper: Arc<Keeper>,
    drivers: Arc<Drivers>,
    claims: Claims,
    writers: Writers,
    engine: Option<Arc<dyn EngineVolumes>>,
}

// === impl Volumes ===

impl Volumes {
    /// Takes up the volumes of a folder.
    pub(crate) fn open(
        folder: &Path,
        setup: Setup,
        engine: Option<Arc<dyn EngineVolumes>>,
    ) -> io::Result<Self> {
        let hands = Machine {
            helpers: setup.helpers.clone(),
            engine: engine.clone(),
            memory: setup.memory.clone(),
        };
        let writers = Writers::open(setup.folder.clone(), setup.exe.clone());
        let drivers = Arc::new(Drivers::open(setup));
        let keeper = Keeper::open(folder, Arc::new(hands), drivers.clone())?;
        let claims = Claims::new(drivers.known(), writers.last_touch());
        Ok(Self { keeper, drivers, claims, writers, engine })
    }

    /// The leader's word on drivers and volumes.
    pub(crate) fn learn(&self, known: Known) {
        self.drivers.learn(known);
    }

    /// The volumes that were made here.
    pub(crate) async fn list(&self) -> Vec<NodeVolume> {
        self.keeper.list().await
    }

    /// Where a volume's data would be; `None` where no component drives it.
    pub(crate) async fn scope(&self, spec: &VolumeSpec) -> Result<Option<VolumeScope>, Refusal> {
        let scope = self.drivers.scope(&Wanted::named(spec, None)).await;
        scope.map_err(|why| match why {
            NoPlan::Retry(_, why) => Refusal::plain(RefusalKind::Unavailable, why),
            NoPlan::Failed(why) => Refusal::invalid(why),
        })
    }

    /// Makes a volume here.
    pub(crate) async fn create(&self, spec: &VolumeSpec) -> Result<(), Refusal> {
        check_volume_name(&spec.name).map_err(Refusal::invalid)?;
        let made = self.keeper.create(Wanted::named(spec, None)).await;
        let failed =
            |why| Refusal::plain(RefusalKind::Unknown, format!("create {}: {why}", spec.name));
        made.map_err(failed)
    }

    /// Deletes a volume and its data; whether there was one. One of the cluster, by
    /// its id, is deleted from here wherever its data are.
    pub(crate) async fn remove(
        &self,
        spec: &VolumeSpec,
        id: Option<VolumeId>,
    ) -> Result<bool, Refusal> {
        let name = &spec.name;
        match self.keeper.remove(&Wanted::named(spec, id)).await {
            Ok(()) => Ok(true),
            Err(NotDone::Unknown) => Ok(false),
            Err(NotDone::InUse(tasks)) => {
                let tasks: Vec<_> = tasks.iter().map(ToString::to_string).collect();
                let message = format!("remove {name}: volume is in use - [{}]", tasks.join(", "));
                Err(Refusal::plain(RefusalKind::AlreadyExists, message))
            }
            Err(NotDone::Failed(why)) => {
                Err(Refusal::plain(RefusalKind::Unknown, format!("remove {name}: {why}")))
            }
        }
    }

    /// Grows a volume that a plugin keeps here to so many bytes.
    pub(crate) async fn expand(&self, spec: &VolumeSpec, size: u64) -> Result<(), Refusal> {
        let name = &spec.name;
        match self.keeper.expand(&Wanted::named(spec, None).key(), size).await {
            Ok(()) => Ok(()),
            Err(NotDone::Unknown) => Err(Refusal::plain(
                RefusalKind::NotFound,
                format!("expand {name}: no such volume on this node"),
            )),
            Err(NotDone::InUse(tasks)) => {
                let tasks: Vec<_> = tasks.iter().map(ToString::to_string).collect();
                let message = format!(
                    "expand {name}: volume is in use - [{}]: scale its service to 0 first",
                    tasks.join(", ")
                );
                Err(Refusal::plain(RefusalKind::AlreadyExists, message))
            }
            Err(NotDone::Failed(why)) => Err(Refusal::invalid(format!("expand {name}: {why}"))),
        }
    }

    /// The bytes that the data of each volume here take, by name, where that is known.
    pub(crate) async fn sizes(&self) -> BTreeMap<String, u64> {
        self.keeper.sizes().await
    }

    /// The task with its volumes mounted, as an executor understands it: directories of
    /// the node are binds. `in_engine`: the executor mounts volumes of the engine itself.
    pub(crate) async fn give(
        &self,
        task: &Assignment,
        in_engine: bool,
    ) -> Result<Assignment, TaskError> {
        let wanted = self.wanted_by(task)?;
        if wanted.is_empty() {
            return Ok(task.clone());
        }
        let mut spec = (*task.spec).clone();
        let given = async {
            let mounts = spec.container_spec.iter_mut().flat_map(|c| &mut c.mounts);
            for (mount, wanted) in mounts.zip(wanted) {
                let Some(wanted) = wanted else { continue };
                let name = wanted.name.clone();
                let failed = |why| TaskError(format!("volume {name}: {why}"));
                if let Some(volume) = self.of_cluster(&wanted) {
                    claims::check(&volume, mount.read_only).map_err(&failed)?;
                    if volume.spec.wants_claim(mount) {
                        self.claims.wait(volume.id, task.id).await.map_err(&failed)?;
                    }
                }
                let seen = self.keeper.hold(wanted, task.id).await.map_err(TaskError)?;
                *mount = self.shown(mount, seen, in_engine).await?;
            }
            Ok::<_, TaskError>(())
        };
        match given.await {
            Ok(()) => Ok(Assignment { spec: Arc::new(spec), ..task.clone() }),
            Err(error) => {
                self.release(task).await;
                Err(error)
            }
        }
    }

    /// The leader has heard a heartbeat that was sent then.
    pub(crate) fn in_touch(&self, at: Instant) {
        self.claims.in_touch(at);
        self.writers.in_touch(at);
    }

    /// Returns, with the reason, when the task must not write to its volumes any more,
    /// or cannot. `runs`: its process, once it has one.
    pub(crate) async fn lost(
        &self,
        task: &Assignment,
        runs: impl Future<Output = ContainerStatus>,
    ) -> String {
        let mounts = task.spec.container_spec.iter().flat_map(|c| &c.mounts);
        let wanted = self.wanted_by(task).unwrap_or_default();
        let keys: Vec<_> = wanted.iter().flatten().map(Wanted::key).collect();
        let claimed: Vec<_> = mounts
            .zip(wanted)
            .filter_map(|(mount, wanted)| Some((mount, self.of_cluster(&wanted?)?)))
            .filter(|(mount, volume)| volume.spec.wants_claim(mount))
            .map(|(_, volume)| volume.id)
            .collect();
        let watched = async {
            if !claimed.is_empty() {
                self.writers.add(task.id, &runs.await);
            }
            std::future::pending().await
        };
        tokio::select! {
            why = self.claims.lost(&claimed, task.id) => why,
            why = self.keeper.fallen(&keys) => why,
            never = watched => never,
        }
    }

    /// Why a task ended while its daemon was away, where it had to.
    pub(crate) fn fenced(&self, task: TaskId) -> Option<String> {
        let why = || {
            format!(
                "its daemon was away, no leader was heard for {} s, and another node may have the \
                 claims on its volumes by now",
                patience().as_secs()
            )
        };
        self.writers.fenced(task).then(why)
    }

    fn of_cluster(&self, wanted: &Wanted) -> Option<ClusterVolume> {
        let known = self.drivers.known();
        let known = known.borrow();
        known.volumes.iter().find(|volume| Some(volume.id) == wanted.id).cloned()
    }

    /// A task of an earlier daemon has its volumes still. Before [`Volumes::settle`].
    pub(crate) fn adopt(&self, task: &Assignment) {
        for wanted in self.wanted_by(task).into_iter().flatten().flatten() {
            self.keeper.adopt(&wanted, task.id);
        }
    }

    /// Brings order into what an earlier daemon left.
    pub(crate) async fn settle(&self) {
        self.keeper.settle().await;
    }

    /// A task has ended. Returns when what it alone used is unmounted.
    pub(crate) async fn release(&self, task: &Assignment) {
        for wanted in self.wanted_by(task).into_iter().flatten().flatten() {
            self.keeper.release(&wanted.key(), task.id).await;
        }
        self.writers.remove(task.id);
    }

    /// Whether a task has volumes that a component drives.
    pub(crate) fn drives(&self, task: &Assignment) -> bool {
        self.wanted_by(task).into_iter().flatten().flatten().next().is_some()
    }

    /// The volumes of a task's mounts, in their order; `None` for mounts that no
    /// component drives. Empty where none does.
    fn wanted_by(&self, task: &Assignment) -> Result<Vec<Option<Wanted>>, TaskError> {
        let mounts = task.spec.container_spec.iter().flat_map(|c| &c.mounts);
        let wanted = mounts
            .map(|mount| {
                let wanted = Wanted::of(mount, task, &self.drivers.setup.hostname)?;
                let Some(wanted) = wanted else { return Ok(None) };
                let known = self.drivers.known();
                let of_cluster = |v: &&ClusterVolume| v.spec.is_mounted_by(mount, &wanted.name);
                if let Some(volume) = known.borrow().volumes.iter().find(of_cluster) {
                    return Ok(Some(Wanted::named(&volume.spec, Some(volume.id))));
                }
                Ok(Some(wanted).filter(|wanted| self.drivers.claim(&wanted.driver)))
            })
            .collect::<Result<Vec<_>, TaskError>>()?;
        Ok(if wanted.iter().all(Option::is_none) { Vec::new() } else { wanted })
    }

    async fn shown(&self, mount: &Mount, seen: Seen, in_engine: bool) -> Result<Mount, TaskError> {
        let options = mount.volume_options.clone().unwrap_or_default();
        match seen {
            Seen::Engine { driver, name, options: typed } if in_engine => Ok(Mount {
                source: name,
                volume_options: Some(swarmw_model::VolumeOptions {
                    driver_config: Some(Driver { name: driver, options: typed }),
                    ..options
                }),
                ..mount.clone()
            }),
            Seen::Engine { name, .. } => match &self.engine {
                Some(engine) => bind(mount, engine.directory(&name).await.map_err(TaskError)?),
                None => Err(TaskError("this node has no Docker engine".to_owned())),
            },
            Seen::Directory(path) if options.subpath.is_empty() => bind(mount, path),
            Seen::Directory(_) => Err(TaskError(format!(
                "volume-subpath {}: not supported by this version of swarmw for volumes whose \
                 driver is a plugin",
                options.subpath
            ))),
        }
    }
}

fn bind(mount: &Mount, path: PathBuf) -> Result<Mount, TaskError> {
    let source = path.into_os_string().into_string();
    let source = source.map_err(|path| TaskError(format!("{path:?} is not UTF-8")))?;
    Ok(Mount {
        kind: MountKind::Bind,
        source,
        volume_options: None,
        bind_options: None,
        ..mount.clone()
    })
}
