//! The requests that commands make, by name.

use bytes::Bytes;
use swarmw_model::{Filters, NodeSpec, ServiceSpec, Version};

use super::*;

/// Header with registry credentials.
const REGISTRY_AUTH: &str = "X-Registry-Auth";

/// Beside the spec of a service update.
#[derive(Clone, Debug, Default)]
pub(crate) struct UpdateOptions {
    /// Go back to the spec before.
    pub(crate) rollback: bool,
    /// Registry credentials; absent keeps the stored ones.
    pub(crate) auth: Option<String>,
}

impl Client {
    pub(crate) async fn info(&self) -> Result<Info, ClientError> {
        self.get("/info").read().await
    }

    pub(crate) async fn swarm(&self) -> Result<Swarm, ClientError> {
        self.get("/swarm").read().await
    }

    pub(crate) async fn nodes(&self, filters: &Filters) -> Result<Vec<Node>, ClientError> {
        filtered(self.get("/nodes"), filters).read().await
    }

    pub(crate) async fn node(&self, reference: &str) -> Result<Node, ClientError> {
        self.get(node_path(reference)).read().await
    }

    pub(crate) async fn update_node(
        &self,
        id: &str,
        version: Version,
        spec: &NodeSpec,
    ) -> Result<(), ClientError> {
        self.post(format!("{}/update", node_path(id)))
            .query("version", version.index)
            .json(spec)?
            .fetch()
            .await?;
        Ok(())
    }

    /// The id of the node that answers.
    pub(crate) async fn own_id(&self) -> Result<String, ClientError> {
        Ok(self.info().await?.swarm.node_id)
    }

    pub(crate) async fn services(&self, filters: &Filters) -> Result<Vec<Service>, ClientError> {
        filtered(self.get("/services").query("status", "true"), filters).read().await
    }

    pub(crate) async fn service(&self, reference: &str) -> Result<Service, ClientError> {
        self.get(service_path(reference)).read().await
    }

    pub(crate) async fn create_service(
        &self,
        spec: &ServiceSpec,
        auth: Option<&str>,
    ) -> Result<Created, ClientError> {
        with_auth(self.post("/services/create"), auth).json(spec)?.read().await
    }

    pub(crate) async fn update_service(
        &self,
        service: &Service,
        options: &UpdateOptions,
    ) -> Result<Updated, ClientError> {
        let mut call = self
            .post(format!("{}/update", service_path(&service.id)))
            .query("version", service.version.index);
        if options.rollback {
            call = call.query("rollback", "previous");
        }
        if options.auth.is_none() {
            call = call.query("registryAuthFrom", "spec");
        }
        with_auth(call, options.auth.as_deref()).json(&service.spec)?.read().await
    }

    pub(crate) async fn tasks(&self, filters: &Filters) -> Result<Vec<Task>, ClientError> {
        filtered(self.get("/tasks"), filters).read().await
    }

    pub(crate) async fn task(&self, id: &str) -> Result<Task, ClientError> {
        self.get(format!("/tasks/{}", segment(id))).read().await
    }

    pub(crate) async fn distribution(
        &self,
        image: &str,
        auth: Option<&str>,
    ) -> Result<Distribution, ClientError> {
        let name: Vec<_> = image.split('/').map(segment).collect();
        with_auth(self.get(format!("/distribution/{}/json", name.join("/"))), auth).read().await
    }

    /// Stores bytes with the managers; the answer is their digest.
    pub(crate) async fn store_blob(&self, bytes: Bytes) -> Result<String, ClientError> {
        let stored: StoredBlob =
            self.post("/swarmw/blobs").bytes("application/wasm", bytes).read().await?;
        Ok(stored.digest)
    }
}

pub(crate) fn node_path(reference: &str) -> String {
    format!("/nodes/{}", segment(reference))
}

pub(crate) fn service_path(reference: &str) -> String {
    format!("/services/{}", segment(reference))
}

fn filtered<'c>(call: Call<'c>, filters: &Filters) -> Call<'c> {
    if filters.is_empty() { call } else { call.query("filters", filters.to_json()) }
}

fn with_auth<'c>(call: Call<'c>, auth: Option<&str>) -> Call<'c> {
    match auth {
        Some(auth) => call.header(REGISTRY_AUTH, auth),
        None => call,
    }
}
