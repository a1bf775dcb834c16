//! What an engine has told its driver, on disk: it tells of a network or an endpoint once
//! in its life.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::{Endpoint, EndpointId, EngineNetwork, EngineNetworkId};

/// Networks and endpoints of the engine that are this driver's: one file each, whole or
/// not there.
#[derive(Debug)]
pub struct Memory {
    folder: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    networks: BTreeMap<EngineNetworkId, EngineNetwork>,
    endpoints: BTreeMap<EndpointId, Endpoint>,
}

const NETWORKS: &str = "networks";
const ENDPOINTS: &str = "endpoints";
/// A file that is being written.
const UNFINISHED: &str = "new";

// === impl Memory ===

impl Memory {
    /// What is remembered in a folder, which is made. A file that cannot be read is left
    /// out with a word in the log.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        for kind in [NETWORKS, ENDPOINTS] {
            std::fs::create_dir_all(folder.join(kind))?;
        }
        let networks = load::<EngineNetwork>(&folder.join(NETWORKS))?;
        let endpoints = load::<Endpoint>(&folder.join(ENDPOINTS))?;
        let known = Known {
            networks: networks.into_iter().map(|n| (n.id.clone(), n)).collect(),
            endpoints: endpoints.into_iter().map(|e| (e.id.clone(), e)).collect(),
        };
        Ok(Self { folder, known: Mutex::new(known) })
    }

    /// All networks.
    pub fn networks(&self) -> Vec<EngineNetwork> {
        self.known().networks.values().cloned().collect()
    }

    /// All endpoints; those with a sandbox have a container that runs, or ran when the
    /// engine was last heard of.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.known().endpoints.values().cloned().collect()
    }

    /// A network, by the engine's id.
    pub fn network(&self, id: &EngineNetworkId) -> Option<EngineNetwork> {
        self.known().networks.get(id).cloned()
    }

    /// An endpoint.
    pub fn endpoint(&self, id: &EndpointId) -> Option<Endpoint> {
        self.known().endpoints.get(id).cloned()
    }

    /// Remembers a network. For the driver, and for one that was made when this folder
    /// was another.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn learn_network(&self, network: &EngineNetwork) -> io::Result<()> {
        let mut known = self.known();
        if known.networks.get(&network.id) != Some(network) {
            write(&self.folder.join(NETWORKS), &network.id.to_string(), network)?.sync_data()?;
            known.networks.insert(network.id.clone(), network.clone());
        }
        Ok(())
    }

    /// Forgets a network.
    ///
    /// # Errors
    /// Its file cannot be removed.
    pub fn forget_network(&self, id: &EngineNetworkId) -> io::Result<()> {
        let mut known = self.known();
        remove(&self.folder.join(NETWORKS).join(id.to_string()))?;
        known.networks.remove(id);
        Ok(())
    }

    /// Forgets an endpoint. For the driver, and for one that the engine has removed while
    /// there was no driver to be told.
    ///
    /// # Errors
    /// Its file cannot be removed.
    pub fn forget_endpoint(&self, id: &EndpointId) -> io::Result<()> {
        let mut known = self.known();
        remove(&self.folder.join(ENDPOINTS).join(id.to_string()))?;
        known.endpoints.remove(id);
        Ok(())
    }

    /// Remembers an endpoint. For the driver.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn learn_endpoint(&self, endpoint: &Endpoint) -> io::Result<()> {
        let mut known = self.known();
        if known.endpoints.get(&endpoint.id) != Some(endpoint) {
            // A crash of the machine ends its container too: nothing waits for the disk.
            write(&self.folder.join(ENDPOINTS), &endpoint.id.to_string(), endpoint)?;
            known.endpoints.insert(endpoint.id.clone(), endpoint.clone());
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load<T: DeserializeOwned>(folder: &Path) -> io::Result<Vec<T>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some() {
            continue;
        }
        match serde_json::from_slice(&std::fs::read(&path)?) {
            Ok(one) => all.push(one),
            Err(error) => {
                warn!(path = %path.display(), %error, "what an engine said is unreadable")
            }
        }
    }
    Ok(all)
}

fn write(folder: &Path, name: &str, what: &impl Serialize) -> io::Result<std::fs::File> {
    let path = folder.join(name);
    let unfinished = path.with_extension(UNFINISHED);
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(&serde_json::to_vec(what)?)?;
    std::fs::rename(unfinished, path)?;
    Ok(file)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use swarmw_model::NetworkId;

    use super::*;

    #[test]
    fn what_was_told_is_known_after_a_restart_and_what_is_damaged_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = Memory::open(folder.path().to_owned()).expect("opens");
        let network = EngineNetwork {
            id: "abc".parse().expect("an id"),
            network: NetworkId::from_bits(7),
            pools: vec!["10.0.1.0/24".parse().expect("a subnet")],
        };
        let endpoint = Endpoint {
            id: "def".parse().expect("an id"),
            on: network.id.clone(),
            network: network.network,
            addresses: vec!["10.0.1.5/24".parse().expect("an address")],
            mac: None,
            sandbox: Some("/run/docker/netns/x".into()),
        };
        memory.learn_network(&network).expect("written");
        memory.learn_endpoint(&endpoint).expect("written");
        std::fs::write(folder.path().join("endpoints/bad"), "{").expect("a damaged file");
        std::fs::write(folder.path().join("endpoints/half.new"), "{").expect("a half one");

        let memory = Memory::open(folder.path().to_owned()).expect("opens again");

        assert_eq!(memory.networks(), std::slice::from_ref(&network));
        assert_eq!(memory.endpoints(), std::slice::from_ref(&endpoint));
        memory.forget_endpoint(&endpoint.id).expect("removed");
        memory.forget_network(&network.id).expect("removed");
        memory.forget_network(&network.id).expect("twice is once");
        let memory = Memory::open(folder.path().to_owned()).expect("opens again");
        assert!(memory.networks().is_empty() && memory.endpoints().is_empty());
    }
}
