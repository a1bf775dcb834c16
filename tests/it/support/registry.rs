//! A real registry (Debian's docker-registry), and Wasm artifacts in it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::wait::eventually;

const PORT: u16 = 5000;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry on an address of the test's own; it goes when it is dropped.
#[derive(Debug)]
pub struct Registry {
    /// `ip:port`, as image references name it.
    pub address: String,
    folder: TempDir,
    server: Child,
    user: Option<User>,
}

/// Who alone is served.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// The name.
    pub name: &'static str,
    /// The password.
    pub password: &'static str,
    /// The password's hash, as registries want it.
    pub hash: &'static str,
}

// === impl Registry ===

impl Registry {
    /// Starts an empty registry without credentials.
    pub fn start(ip: Ipv4Addr) -> Self {
        Self::start_for(ip, None)
    }

    /// Starts an empty registry that serves this user alone, or everybody.
    pub fn start_for(ip: Ipv4Addr, user: Option<User>) -> Self {
        let folder = tempfile::Builder::new().prefix("swarmw-reg-").tempdir().expect("a folder");
        let address = format!("{ip}:{PORT}");
        let server = serve(folder.path(), &address, user);
        let registry = Self { address, folder, server, user };
        eventually("the registry answers", || registry.curl(&["/v2/"]));
        registry
    }

    /// From now on this user alone is served.
    pub fn serve_only(&mut self, user: User) {
        self.end();
        self.user = Some(user);
        self.server = serve(self.folder.path(), &self.address, self.user);
        eventually("the registry answers", || self.curl(&["/v2/"]));
    }

    fn end(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    /// Pushes a component as a Wasm artifact of the CNCF layout; its manifest's digest.
    pub fn push_component(&self, name: &str, tag: &str, component: &[u8]) -> String {
        let layer = self.push_blob(name, component);
        let config = json!({ "architecture": "wasm", "os": "wasip2", "layerDigests": [layer] });
        let config = config.to_string();
        let config_digest = self.push_blob(name, config.as_bytes());
        self.push_manifest(
            name,
            tag,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {
                    "mediaType": "application/vnd.wasm.config.v0+json",
                    "digest": config_digest,
                    "size": config.len(),
                },
                "layers": [{
                    "mediaType": "application/wasm", "digest": layer, "size": component.len(),
                }],
            }),
        )
    }

    /// Signs a manifest with a private key in PEM, as cosign does.
    pub fn sign(&self, name: &str, manifest: &str, key: &Path) {
        let text = json!({"critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": manifest},
            "type": "cosign container image signature",
        }, "optional": null});
        let text = text.to_string();
        let file = self.file(text.as_bytes());
        let signed = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(key)
            .arg(&file)
            .output()
            .expect("openssl is installed");
        assert!(signed.status.success(), "{signed:?}");
        let layer = self.push_blob(name, text.as_bytes());
        let config = self.push_blob(name, b"{}");
        self.push_manifest(
            name,
            &format!("{}.sig", manifest.replace(':', "-")),
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {
                    "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": config,
                    "size": 2,
                },
                "layers": [{
                    "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                    "digest": layer,
                    "size": text.len(),
                    "annotations": {"dev.cosignproject.cosign/signature": base64(&signed.stdout)},
                }],
            }),
        );
    }

    /// Pushes a manifest; its digest.
    fn push_manifest(&self, name: &str, tag: &str, manifest: &Value) -> String {
        let file = self.file(manifest.to_string().as_bytes());
        let (data, header) = (format!("@{file}"), format!("Content-Type: {MANIFEST}"));
        let path = format!("/v2/{name}/manifests/{tag}");
        self.curl(&["-X", "PUT", "-H", &header, "--data-binary", &data, &path]).expect("pushed");
        digest(Path::new(&file))
    }

    /// What the registry was asked for, a line each.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("http.request.method")).map(Into::into).collect()
    }

    fn push_blob(&self, name: &str, bytes: &[u8]) -> String {
        let file = self.file(bytes);
        let digest = digest(Path::new(&file));
        let begun = self
            .curl(&["-X", "POST", "-D", "-", &format!("/v2/{name}/blobs/uploads/")])
            .expect("an upload begins");
        let location = begun
            .lines()
            .find_map(|l| {
                l.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case("location"))
            })
            .map(|(_, url)| url.trim())
            .expect("a location");
        let path = location.split_once(&self.address).map_or(location, |(_, path)| path);
        let path = format!("{path}&digest={digest}");
        let data = format!("@{file}");
        let kind = "Content-Type: application/octet-stream";
        self.curl(&["-X", "PUT", "-H", kind, "--data-binary", &data, &path]).expect("a blob");
        digest
    }

    fn file(&self, bytes: &[u8]) -> String {
        let path = self.folder.path().join("upload");
        fs::write(&path, bytes).expect("a file");
        path.to_string_lossy().into_owned()
    }

    /// Runs curl; the last argument is a path on the registry.
    fn curl(&self, arguments: &[&str]) -> Result<String, String> {
        let (path, options) = arguments.split_last().expect("a path");
        let user = self.user.map(|user| format!("{}:{}", user.name, user.password));
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--noproxy", "*"])
            .args(user.iter().flat_map(|user| ["--user", user]))
            .args(options)
            .arg(format!("http://{}{path}", self.address))
            .output()
            .map_err(|e| format!("curl: {e}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a server whose files are in this folder.
fn serve(folder: &Path, address: &str, user: Option<User>) -> Child {
    let mut text = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
        folder.join("data").display()
    );
    if let Some(user) = user {
        let users = folder.join("users");
        fs::write(&users, format!("{}:{}\n", user.name, user.hash)).expect("the users");
        let users = users.display();
        text += &format!("auth:\n  htpasswd:\n    realm: tests\n    path: {users}\n");
    }
    let config = folder.join("config.yml");
    fs::write(&config, text).expect("a configuration");
    let log = fs::File::options().create(true).append(true).open(folder.join("log"));
    let log = log.expect("a log file");
    Command::new("docker-registry")
        .arg("serve")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("docker-registry is installed")
}

fn digest(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().expect("sha256sum runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    format!("sha256:{}", text.split(' ').next().expect("a digest"))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| -> String {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        let digit = |at: usize| match at <= three.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]),
            false => '=',
        };
        (0..4).map(digit).collect()
    };
    bytes.chunks(3).map(group).collect()
}
