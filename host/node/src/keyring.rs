//! By which key a manager's files are sealed, and the lock on that key.
//!
//! One file holds both, and after a crash it is the old or the new one. The log, its
//! snapshots and, while there is a lock, the private key of the certificate are sealed by the
//! node's own key; the cluster's unlock key seals that key and nothing else. So another
//! unlock key costs one small file, whatever the size of the log.
//!
//! A key that was in the open is worn: when it is locked away, another one takes its place,
//! and until everything is sealed by that, the file holds both.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use swarmw_ca::Credentials;
use swarmw_manager::Lock;
use swarmw_model::{Base64, NodeRole, UnlockKey, Version};
use swarmw_seal::{Key, Seal, new_key};
use zeroize::Zeroizing;

use crate::StateDir;
use crate::member::CERTIFICATES;
use crate::state_dir::{UNFINISHED, write_whole};

/// Its name among the node's keys.
const NAME: &str = "raft";
/// What is sealed is sealed for this place, and for the version of the lock.
const PLACE: &str = "keyring";
/// Bytes of a key.
const KEY: usize = 32;

/// The node's own key, the one before it while that is needed, and the lock on them.
pub struct Keyring {
    path: PathBuf,
    keys: Keys,
    seal: Seal,
    lock: Lock,
}

#[derive(Clone)]
struct Keys {
    present: Key,
    /// Was in the open, and sealed what is not sealed anew yet.
    worn: Option<Key>,
}

/// The file. One that was never locked is the bare key.
#[derive(Serialize, Deserialize)]
enum File {
    /// The keys as they are. The version is of the cluster that said so.
    Open { version: Version, keys: Base64 },
    /// Sealed by the unlock key that the cluster had at that version.
    Locked { version: Version, sealed: Base64 },
}

// === impl Keyring ===

impl Keyring {
    /// Opens the keyring, which is made the first time; `None` where it is locked, and not
    /// by this unlock key.
    ///
    /// # Errors
    /// The disk, or a damaged file.
    pub fn open(dir: &StateDir, unlock_key: Option<&UnlockKey>) -> Result<Option<Self>> {
        let path = dir.join("keys").join(NAME);
        // Of a change that a crash broke off: it may show what the file itself locks.
        remove(&path.with_extension(UNFINISHED))?;
        let damaged = || format!("{} is damaged", path.display());
        let written = match fs::read(&path) {
            Ok(bytes) if bytes.len() != KEY => bytes,
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot read {}", path.display()));
            }
            _ => {
                let keys = Keys { present: Zeroizing::new(dir.key(NAME)?), worn: None };
                return Ok(Some(Self::of(path, keys, Lock::default())));
            }
        };
        let (lock, plain) = match serde_json::from_slice::<File>(&written).with_context(damaged)? {
            File::Open { version, keys } => (Lock { version, key: None }, keys.0),
            File::Locked { version, sealed } => {
                let opened = unlock_key.and_then(|key| {
                    let plain = Seal::new(*key.bytes()).open(&place(version), &sealed.0).ok()?;
                    Some((Lock { version, key: Some(key.clone()) }, plain))
                });
                match opened {
                    Some(opened) => opened,
                    None if is_left_over(dir) => return Self::anew(path).map(Some),
                    None => return Ok(None),
                }
            }
        };
        let keys = Keys::parse(&Zeroizing::new(plain)).with_context(damaged)?;
        Ok(Some(Self::of(path, keys, lock)))
    }

    /// In the place of one whose manager is put away.
    fn anew(path: PathBuf) -> Result<Self> {
        let keys = Keys { present: new_key(), worn: None };
        let mut ring = Self::of(path, keys, Lock::default());
        ring.reset()?;
        Ok(ring)
    }

    fn of(path: PathBuf, keys: Keys, lock: Lock) -> Self {
        let seal = Seal::replacing(keys.present.clone(), keys.worn.clone());
        Self { path, keys, seal, lock }
    }

    /// Seals what the node keeps as a manager, and follows the keyring's changes.
    pub fn seal(&self) -> Seal {
        self.seal.clone()
    }

    /// The same for the certificate's private key, which is in the open where all is.
    pub(crate) fn private_seal(&self) -> Option<&Seal> {
        self.lock.key.as_ref().map(|_| &self.seal)
    }

    /// What it is locked by.
    pub(crate) fn unlock_key(&self) -> Option<&UnlockKey> {
        self.lock.key.as_ref()
    }

    /// Whether what the cluster says is news: a manager that starts hears first what was
    /// said long ago.
    pub(crate) fn is_behind(&self, told: &Lock) -> bool {
        told.version > self.lock.version && told.key != self.lock.key
    }

    /// Whether something may be sealed by a key that was in the open.
    pub(crate) fn is_worn(&self) -> bool {
        self.keys.worn.is_some()
    }

    /// Locks the keyring, or puts another lock on it. If it was open, what was sealed before
    /// is to be sealed anew: see [`Self::is_worn`].
    pub(crate) fn lock(&mut self, key: &UnlockKey, version: Version) -> Result<()> {
        let mut keys = self.keys.clone();
        if self.lock.key.is_none() {
            let worn = std::mem::replace(&mut keys.present, new_key());
            keys.worn = Some(worn);
        }
        self.write(keys, Lock { version, key: Some(key.clone()) })
    }

    /// Everything is sealed by the present key.
    pub(crate) fn renewed(&mut self) -> Result<()> {
        self.write(Keys { worn: None, ..self.keys.clone() }, self.lock.clone())
    }

    /// Takes the lock off.
    pub(crate) fn unlock(&mut self, version: Version) -> Result<()> {
        ensure!(!self.is_worn(), "not everything is sealed by the present key yet");
        self.write(self.keys.clone(), Lock { version, key: None })
    }

    /// Begins anew, without a lock: nothing that was sealed is needed any more.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.write(Keys { present: new_key(), worn: None }, Lock::default())
    }

    /// The file first: nothing is ever sealed by a key that a crash would lose.
    fn write(&mut self, keys: Keys, lock: Lock) -> Result<()> {
        let (version, plain) = (lock.version, keys.to_bytes());
        let file = match &lock.key {
            None => File::Open { version, keys: Base64(plain.to_vec()) },
            Some(key) => {
                let sealed = Seal::new(*key.bytes()).seal(&place(version), &plain);
                File::Locked { version, sealed: Base64(sealed) }
            }
        };
        write_whole(&self.path, &serde_json::to_vec(&file)?)?;
        if keys.present != self.keys.present {
            self.seal.replace(keys.present.clone());
        }
        if keys.worn.is_none() {
            self.seal.forget_before();
        }
        (self.keys, self.lock) = (keys, lock);
        Ok(())
    }
}

// === impl Keys ===

impl Keys {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (present, worn) = bytes.split_first_chunk::<KEY>()?;
        let worn = match worn {
            [] => None,
            worn => Some(Zeroizing::new(worn.try_into().ok()?)),
        };
        Some(Self { present: Zeroizing::new(*present), worn })
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let worn = self.worn.iter().flat_map(|key| key.iter());
        Zeroizing::new(self.present.iter().chain(worn).copied().collect())
    }
}

/// Whether a crash came between a worker's key in the open and the end of the lock that it
/// had as a manager (`Member::drop_lock`): what the lock was for is erased by then.
fn is_left_over(dir: &StateDir) -> bool {
    let opens_nothing = Seal::replacing(new_key(), None);
    Credentials::load(&dir.join(CERTIFICATES), &opens_nothing)
        .is_ok_and(|open| open.identity.role == NodeRole::Worker)
}

fn place(version: Version) -> Vec<u8> {
    format!("{PLACE} {}", version.index).into_bytes()
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use swarmw_ca::{Identity, KeyPair, RootCa};
    use swarmw_model::{ClusterId, Duration, NodeId, Time};

    use super::*;

    struct Folder {
        dir: StateDir,
        _folder: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            Self { dir: StateDir::open(folder.path()).expect("free"), _folder: folder }
        }

        fn open(&self, key: Option<&UnlockKey>) -> Option<Keyring> {
            Keyring::open(&self.dir, key).expect("undamaged")
        }

        /// Whether these bytes are in any file of the keys.
        fn shows(&self, bytes: &[u8]) -> bool {
            let base64 = serde_json::to_string(&Base64(bytes.to_vec())).expect("text");
            let base64 = base64.trim_matches(['"', '=']).as_bytes()[..40].to_vec();
            let files = fs::read_dir(self.dir.join("keys")).expect("a folder").flatten();
            files.map(|file| fs::read(file.path()).expect("a file")).any(|file| {
                let there = |bytes: &[u8]| file.windows(bytes.len()).any(|part| part == bytes);
                there(bytes) || there(&base64)
            })
        }
    }

    fn key(n: u32) -> UnlockKey {
        format!("SWMKEY-1-{n:042}0").parse().expect("a key")
    }

    fn at(index: u64) -> Version {
        Version { index }
    }

    #[test]
    fn a_bare_key_of_an_earlier_release_opens_and_stays_as_it_is() {
        let folder = Folder::new();
        let bare = folder.dir.key(NAME).expect("made");
        let ring = folder.open(None).expect("open");
        assert_eq!(*ring.keys.present, bare);
        assert_eq!(fs::read(&ring.path).expect("the file"), bare);
    }

    #[test]
    fn a_locked_keyring_opens_by_its_last_key_alone_and_shows_nothing() {
        let folder = Folder::new();
        let mut ring = folder.open(None).expect("open");
        let (seal, plain) = (ring.seal(), *ring.keys.present);
        let before = seal.seal(b"a", b"before");
        ring.lock(&key(1), at(7)).expect("locked");
        ring.lock(&key(2), at(9)).expect("another lock");
        assert_ne!(*ring.keys.present, plain, "what was in the open seals no more");
        assert!(ring.is_worn());
        let after = seal.seal(b"a", b"after");
        for wrong in [None, Some(&key(1)), Some(&key(3))] {
            for _ in 0..3 {
                assert!(folder.open(wrong).is_none(), "{wrong:?}");
            }
        }
        let mut again = folder.open(Some(&key(2))).expect("its key");
        assert!(again.is_worn(), "nobody has sealed anew");
        assert_eq!(again.seal().open(b"a", &before).expect("worn"), b"before");
        assert_eq!(again.seal().open(b"a", &after).expect("present"), b"after");
        for secret in [&plain, &*again.keys.present, key(1).bytes(), key(2).bytes()] {
            assert!(!folder.shows(secret));
        }
        again.renewed().expect("written");
        let last = folder.open(Some(&key(2))).expect("its key");
        assert!(!last.is_worn());
        assert!(last.seal().open(b"a", &before).is_err());
        assert_eq!(last.seal().open(b"a", &after).expect("present"), b"after");
    }

    #[test]
    fn a_lock_that_is_taken_off_is_off_and_what_it_locked_stays() {
        let folder = Folder::new();
        let mut ring = folder.open(None).expect("open");
        ring.lock(&key(1), at(7)).expect("locked");
        assert!(ring.unlock(at(8)).is_err(), "the worn key would be in the open again");
        ring.renewed().expect("written");
        let sealed = ring.seal().seal(b"a", b"text");
        ring.unlock(at(8)).expect("off");
        let ring = folder.open(None).expect("open");
        assert_eq!(ring.seal().open(b"a", &sealed).expect("the same key"), b"text");
        assert!(folder.shows(&*ring.keys.present), "or this test shows nothing");
    }

    #[test]
    fn what_was_said_long_ago_is_no_news() {
        let folder = Folder::new();
        let mut ring = folder.open(None).expect("open");
        let told = |index, n: Option<u32>| Lock { version: at(index), key: n.map(key) };
        assert!(!ring.is_behind(&told(3, None)));
        assert!(ring.is_behind(&told(3, Some(1))));
        ring.lock(&key(2), at(9)).expect("locked");
        let ring = folder.open(Some(&key(2))).expect("its key");
        for (told, news) in [
            (told(3, Some(1)), false),
            (told(4, None), false),
            (told(12, Some(2)), false),
            (told(12, Some(3)), true),
            (told(12, None), true),
        ] {
            assert_eq!(ring.is_behind(&told), news, "{told:?}");
        }
    }

    #[test]
    fn nothing_is_kept_of_a_change_that_a_crash_broke_off_and_damage_is_named() {
        let folder = Folder::new();
        let mut ring = folder.open(None).expect("open");
        ring.lock(&key(1), at(7)).expect("locked");
        let unfinished = ring.path.with_extension(UNFINISHED);
        fs::write(&unfinished, *ring.keys.present).expect("a file");
        assert!(folder.open(None).is_none());
        assert!(!unfinished.exists());

        let good = fs::read(&ring.path).expect("the file");
        fs::write(&ring.path, &good[..good.len() / 2]).expect("ours");
        let error = Keyring::open(&folder.dir, Some(&key(1))).err().expect("half a file");
        assert!(error.to_string().ends_with("keys/raft is damaged"), "{error}");
        // Whose lock it is and when it was put on belong together.
        let other = String::from_utf8(good).expect("JSON").replace(":7}", ":8}");
        fs::write(&ring.path, other).expect("ours");
        assert!(folder.open(Some(&key(1))).is_none());
    }

    #[test]
    fn a_crash_before_the_end_of_a_workers_lock_leaves_a_worker_that_starts_by_itself() {
        let (cluster, now) = (ClusterId::from_bits(1), Time::from_nanos(1 << 60));
        let credentials = |role| {
            let identity = Identity { node: NodeId::from_bits(2), cluster, role };
            let root = RootCa::generate(cluster, now).expect("a root");
            let key = KeyPair::generate().expect("a key");
            let life = Duration::from_secs(3_600);
            let chain_pem = root.sign(&key.csr_pem, &identity, life, now).expect("signed");
            let root_pem = root.certificate_pem;
            Credentials { identity, chain_pem, key_pem: key.key_pem, root_pem }
        };
        let folder = Folder::new();
        let mut ring = folder.open(None).expect("open");
        ring.lock(&key(1), at(7)).expect("locked");
        let certificates = folder.dir.join(CERTIFICATES);
        for (role, seal) in [(NodeRole::Worker, Some(ring.seal())), (NodeRole::Manager, None)] {
            credentials(role).save(&certificates, seal.as_ref()).expect("written");
            assert!(folder.open(None).is_none(), "{role}");
        }
        credentials(NodeRole::Worker).save(&certificates, None).expect("written");
        let anew = folder.open(None).expect("a worker's");
        assert!(anew.unlock_key().is_none());
        assert_ne!(*anew.keys.present, *ring.keys.present);
        let again = folder.open(None).expect("written");
        assert_eq!(*again.keys.present, *anew.keys.present);
    }

    #[test]
    fn a_manager_that_is_none_any_more_begins_anew() {
        let folder = Folder::new();
        let mut ring = folder.open(None).expect("open");
        ring.lock(&key(1), at(7)).expect("locked");
        ring.reset().expect("written");
        let ring = folder.open(None).expect("open");
        assert!(ring.unlock_key().is_none() && !ring.is_worn());
        let told = Lock { version: at(7), key: Some(key(1)) };
        assert!(ring.is_behind(&told), "promoted again it follows what is still so");
    }
}
