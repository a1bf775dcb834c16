//! Volumes of the engine itself, for volume drivers that plan them.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use bollard::Docker;
use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::RemoveVolumeOptions;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::engine::Engine;
use crate::volumes::EngineVolumes;

impl EngineVolumes for Engine {
    fn exists<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, String>> {
        async move {
            let inspect = move |docker: Docker| async move { docker.inspect_volume(name).await };
            match self.call(inspect).await {
                Ok(_) => Ok(true),
                Err(failure) if failure.is_not_found() => Ok(false),
                Err(failure) => Err(failure.to_string()),
            }
        }
        .boxed()
    }

    fn make<'a>(
        &'a self,
        name: &'a str,
        driver: &'a str,
        options: &'a BTreeMap<String, String>,
        labels: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), String>> {
        let map =
            |map: &BTreeMap<String, String>| map.clone().into_iter().collect::<HashMap<_, _>>();
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some(driver.to_owned()),
            driver_opts: Some(map(options)),
            labels: Some(map(labels)),
            ..Default::default()
        };
        async move {
            let request = &request;
            let make =
                move |docker: Docker| async move { docker.create_volume(request.clone()).await };
            self.call(make).await.map(drop).map_err(|failure| failure.to_string())
        }
        .boxed()
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let delete = move |docker: Docker| async move {
                docker.remove_volume(name, None::<RemoveVolumeOptions>).await
            };
            match self.call(delete).await {
                Err(failure) if !failure.is_not_found() => Err(failure.to_string()),
                _ => Ok(()),
            }
        }
        .boxed()
    }

    fn directory<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<PathBuf, String>> {
        async move {
            let inspect = move |docker: Docker| async move { docker.inspect_volume(name).await };
            let volume = self.call(inspect).await.map_err(|failure| failure.to_string())?;
            let path = PathBuf::from(volume.mountpoint);
            match std::fs::read_dir(&path) {
                Ok(_) => Ok(path),
                Err(error) => Err(format!(
                    "the engine keeps volume {name} in {}, which this daemon may not use: {error}",
                    path.display()
                )),
            }
        }
        .boxed()
    }
}
