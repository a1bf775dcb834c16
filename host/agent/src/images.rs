//! Wasm images: uploaded ones from the managers, others from a registry.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use swarmw_model::{Assignment, ImageKind, ImageReference};
use swarmw_proto::{Channels, pb};
use swarmw_registry::{CredentialHelpers, Credentials, Registries};

use crate::credentials::Login;
use crate::executor::TaskError;

/// Where a node finds the images of its Wasm tasks.
#[derive(Clone)]
pub struct Images {
    folder: PathBuf,
    channels: Channels,
    managers: Arc<RwLock<Vec<String>>>,
    registries: Registries,
    helpers: CredentialHelpers,
}

/// A component and its digest.
pub(crate) struct Image {
    pub(crate) digest: String,
    pub(crate) bytes: Bytes,
}

// === impl Images ===

impl Images {
    /// Keeps what it fetched in `folder`, by digest.
    pub fn new(
        folder: PathBuf,
        channels: Channels,
        managers: Arc<RwLock<Vec<String>>>,
        registries: Registries,
        helpers: CredentialHelpers,
    ) -> Self {
        Self { folder, channels, managers, registries, helpers }
    }

    /// A component that the managers hold, by its digest.
    pub(crate) async fn component(&self, digest: &str) -> Result<Bytes, TaskError> {
        if let Some(bytes) = self.kept(digest) {
            return Ok(bytes);
        }
        let bytes = self.fetch(digest).await?;
        self.keep(digest, &bytes)?;
        Ok(bytes)
    }

    /// The image of a task.
    pub(crate) async fn get(&self, task: &Assignment) -> Result<Image, TaskError> {
        let text = task.spec.image();
        let reference = ImageReference::parse(text);
        match (reference.kind(), reference.digest) {
            (ImageKind::UploadedComponent, Some(digest)) => {
                let bytes = self.component(digest).await?;
                Ok(Image { digest: digest.to_owned(), bytes })
            }
            (_, digest) => {
                if let Some(image) = digest.and_then(|digest| self.kept_of(digest)) {
                    return Ok(image);
                }
                self.pull(text, task).await
            }
        }
    }

    /// A component of a registry, by the digest of its manifest.
    fn kept_of(&self, manifest: &str) -> Option<Image> {
        let digest = std::fs::read_to_string(self.path(manifest).with_extension("of")).ok()?;
        Some(Image { bytes: self.kept(&digest)?, digest })
    }

    async fn pull(&self, reference: &str, task: &Assignment) -> Result<Image, TaskError> {
        let login = Login::of(&self.helpers, reference, task).await;
        let missing =
            |why: String| TaskError(format!("No such image: {reference}: {}", login.explain(&why)));
        let credentials =
            Credentials::of_header(&login.header).map_err(|error| missing(error.to_string()))?;
        let pulled = self
            .registries
            .component(reference, &credentials)
            .await
            .map_err(|error| missing(error.to_string()))?;
        self.keep(&pulled.digest, &pulled.bytes)?;
        let note = self.path(&pulled.manifest).with_extension("of");
        std::fs::write(&note, &pulled.digest)
            .map_err(|e| TaskError(format!("{}: {e}", note.display())))?;
        Ok(Image { digest: pulled.digest, bytes: pulled.bytes })
    }

    fn kept(&self, digest: &str) -> Option<Bytes> {
        let bytes = std::fs::read(self.path(digest)).ok()?;
        (digest_of(&bytes) == digest).then(|| bytes.into())
    }

    fn keep(&self, digest: &str, bytes: &Bytes) -> Result<(), TaskError> {
        let write = || {
            std::fs::create_dir_all(&self.folder)?;
            let temporary = self.path(digest).with_extension("part");
            std::fs::write(&temporary, bytes)?;
            std::fs::rename(temporary, self.path(digest))
        };
        write().map_err(|e| TaskError(format!("{}: {e}", self.folder.display())))
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(digest.trim_start_matches("sha256:"))
    }

    async fn fetch(&self, digest: &str) -> Result<Bytes, TaskError> {
        let managers = self.managers.read().map(|m| m.clone()).unwrap_or_default();
        let mut why = "no manager is known".to_owned();
        for manager in managers {
            match self.fetch_from(&manager, digest).await {
                Ok(bytes) if digest_of(&bytes) == digest => return Ok(bytes),
                Ok(_) => why = format!("{manager} sent other bytes"),
                Err(status) => why = status.message().to_owned(),
            }
        }
        Err(TaskError(format!("No such image: {digest}: {why}")))
    }

    async fn fetch_from(&self, manager: &str, digest: &str) -> Result<Bytes, tonic::Status> {
        let mut client = pb::blobs_client::BlobsClient::new(self.channels.get(manager)?);
        let request = pb::BlobRequest { digest: digest.to_owned() };
        let mut chunks = client.get(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            bytes.extend_from_slice(&chunk.data);
        }
        Ok(bytes.into())
    }
}

fn digest_of(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
