//! Whose credentials an image is pulled with: those that the node's program for the registry
//! has at this moment, else those that came with the service.

use swarmw_model::{Assignment, ImageReference};
use swarmw_registry::{CredentialHelpers, Credentials, HelperError};
use tracing::warn;

/// What an image is pulled with.
pub(crate) struct Login {
    registry: String,
    service: String,
    /// As clients send it to an engine, in `X-Registry-Auth`.
    pub(crate) header: String,
    whose: Whose,
}

/// Who gave it.
enum Whose {
    /// The node's program.
    Helpers,
    /// The service. Why the node's program did not, where it has one.
    Services(Option<HelperError>),
    /// Nobody, likewise.
    Nobodys(Option<HelperError>),
}

/// What engines and registries say where the credentials are at fault, in small letters.
const REFUSALS: [&str; 7] = [
    "unauthorized",
    "not authorized",
    "access denied",
    "denied: ",
    "forbidden",
    "authentication",
    "no basic auth credentials",
];

// === impl Login ===

impl Login {
    /// Asks the node's program for the image's registry, if it has one. Its answer may end
    /// soon: it is for one pull.
    pub(crate) async fn of(helpers: &CredentialHelpers, image: &str, task: &Assignment) -> Self {
        let registry = ImageReference::parse(image).domain().to_owned();
        let service = task.service.name.clone();
        let failed = match helpers.get(&registry).await {
            Some(Ok(credentials)) => {
                let header = credentials.to_header(&registry);
                return Self { registry, service, header, whose: Whose::Helpers };
            }
            Some(Err(why)) => {
                warn!(
                    %registry, service, %why,
                    "an image is pulled with its service's own credentials"
                );
                Some(why)
            }
            None => None,
        };
        let header = task.spec.registry_auth.clone();
        // What cannot be read is somebody's: who pulls says what is wrong with it.
        let nobodys = Credentials::of_header(&header).is_ok_and(|own| own.is_nobody());
        let whose = if nobodys { Whose::Nobodys(failed) } else { Whose::Services(failed) };
        Self { registry, service, header, whose }
    }

    /// Why a pull failed, and what can be done about it where that was for the credentials.
    pub(crate) fn explain(&self, failure: &str) -> String {
        let Self { registry, service, whose, .. } = self;
        let small = failure.to_lowercase();
        let is_refused = REFUSALS.iter().any(|words| small.contains(words));
        let remedy = format!(
            "`swarmw service update --with-registry-auth {service}`, or have the node ask a \
             program for them: `swarmw daemon --credential-helper {registry}=PROGRAM`"
        );
        match whose {
            Whose::Services(Some(why)) => {
                format!("{failure}; {why}; the credentials of service {service} were used instead")
            }
            Whose::Nobodys(Some(why)) => {
                format!("{failure}; {why}; service {service} has none of its own")
            }
            Whose::Helpers if is_refused => format!(
                "{failure}; the credentials were those that this node's credential helper has \
                 for {registry}"
            ),
            Whose::Services(None) if is_refused => format!(
                "{failure}; the credentials were those of service {service} for {registry}: \
                 renew them with {remedy}"
            ),
            Whose::Nobodys(None) if is_refused => format!(
                "{failure}; service {service} has no credentials for {registry}: if it needs \
                 some, send them with {remedy}"
            ),
            _ => failure.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use serde_json::json;
    use swarmw_model::{NodeId, ServiceFacts, ServiceId, TaskId, TaskSpec, TaskState};
    use swarmw_registry::CredentialHelper;

    use super::*;

    const IMAGE: &str = "reg.example:5000/team/tool:1";
    const REFUSED: &str = "unauthorized: authentication required";
    /// `{"username":"me","password":"old"}`.
    const OWN: &str = "eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJvbGQifQ==";

    fn task(auth: &str) -> Assignment {
        let mut spec: TaskSpec =
            serde_json::from_value(json!({"ContainerSpec": {"Image": IMAGE}})).expect("a spec");
        spec.registry_auth = auth.to_owned();
        Assignment {
            id: TaskId::from_bits(1),
            service_id: ServiceId::from_bits(2),
            service: Arc::new(ServiceFacts { name: "web".to_owned(), ..Default::default() }),
            slot: 1,
            node_id: NodeId::from_bits(3),
            spec: Arc::new(spec),
            desired_state: TaskState::Running,
            status: Default::default(),
            job_iteration: None,
            attachments: Vec::new(),
            generic_resources: Vec::new(),
        }
    }

    fn helpers(program: &Path) -> CredentialHelpers {
        let flag = format!("reg.example:5000={}", program.display());
        let flag: CredentialHelper = flag.parse().expect("a flag");
        CredentialHelpers::new([flag]).expect("one")
    }

    /// A program of the system.
    fn helper(program: &str) -> CredentialHelpers {
        let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(program));
        helpers(found.iter().find(|path| path.is_file()).expect(program))
    }

    #[tokio::test]
    async fn the_nodes_program_goes_before_the_service() {
        let folder = tempfile::tempdir().expect("a folder");
        let answer = folder.path().join("answer");
        fs::write(&answer, r#"{"Username":"me","Secret":"new"}"#).expect("an answer");
        let program = folder.path().join("helper");
        // The shell writes it: what this process has open for writing cannot be started, and
        // another test may be starting a process that has it open, too.
        let script = format!("#!/bin/sh\nexec cat {}\n", answer.display());
        let written = std::process::Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$0\" && chmod 700 \"$0\""])
            .arg(&program)
            .arg(script)
            .status();
        assert!(written.is_ok_and(|status| status.success()));

        let login = Login::of(&helpers(&program), IMAGE, &task(OWN)).await;
        let read = Credentials::of_header(&login.header).expect("a header");
        assert_eq!(format!("{read:?}"), r#"Basic("me", "<redacted>")"#);
        assert_ne!(login.header, OWN);
        let told = login.explain(REFUSED);
        assert!(told.starts_with(REFUSED) && told.contains("this node's credential helper"));
        assert_eq!(login.explain("no route to host"), "no route to host");

        let other = Login::of(&helpers(&program), "other.example/tool:1", &task(OWN)).await;
        assert_eq!(other.header, OWN, "another registry's");
    }

    #[tokio::test]
    async fn a_program_that_fails_leaves_the_pull_to_the_service_and_is_told_with_its_end() {
        let login = Login::of(&helper("false"), IMAGE, &task(OWN)).await;
        assert_eq!(login.header, OWN);
        let told = login.explain(REFUSED);
        assert!(told.starts_with("unauthorized: authentication required; the credential helper "));
        assert!(told.contains("failed (exit status: 1)"), "{told}");
        assert!(told.ends_with("the credentials of service web were used instead"), "{told}");

        let nobody = Login::of(&helper("false"), IMAGE, &task("")).await;
        assert!(nobody.explain(REFUSED).ends_with("service web has none of its own"));
    }

    #[tokio::test]
    async fn a_refusal_says_whose_credentials_they_were_and_what_to_do() {
        let none = CredentialHelpers::default();
        let own = Login::of(&none, IMAGE, &task(OWN)).await.explain(REFUSED);
        for part in [
            "were those of service web for reg.example:5000: renew them with",
            "`swarmw service update --with-registry-auth web`",
            "`swarmw daemon --credential-helper reg.example:5000=PROGRAM`",
        ] {
            assert!(own.contains(part), "{own}");
        }
        for auth in ["", "e30="] {
            let nobodys = Login::of(&none, IMAGE, &task(auth)).await.explain(REFUSED);
            assert!(nobodys.contains("service web has no credentials for reg.example:5000"));
        }
        let away = Login::of(&none, IMAGE, &task(OWN)).await.explain("connection refused");
        assert_eq!(away, "connection refused");
    }
}
