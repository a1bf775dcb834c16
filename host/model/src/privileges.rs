//! Docker's `Privileges` of a container: how far it is confined. They are stored as a client
//! posted them, and read where they are needed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{is_default, null_as_default};
use crate::{Base64, Refusal};

/// How far a container is confined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Privileges {
    /// Of Windows: who it is in a domain.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub credential_spec: CredentialSpec,
    /// Labels of SELinux.
    #[serde(
        rename = "SELinuxContext",
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_default"
    )]
    pub selinux: SelinuxContext,
    /// System calls.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub seccomp: Seccomp,
    /// The engine's profile of AppArmor.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub app_armor: AppArmor,
    /// Its processes get no more privileges than they begin with.
    #[serde(skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
}

/// Where the credentials of a Windows container are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct CredentialSpec {
    /// In a config.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub config: String,
    /// In a file of the engine's.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub file: String,
    /// In the registry of Windows.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub registry: String,
}

/// Labels of SELinux.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct SelinuxContext {
    /// None at all.
    #[serde(skip_serializing_if = "is_default")]
    pub disable: bool,
    /// The user's.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub user: String,
    /// The role's.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub role: String,
    /// The type's.
    #[serde(
        rename = "Type",
        deserialize_with = "null_as_default",
        skip_serializing_if = "is_default"
    )]
    pub kind: String,
    /// The level's.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub level: String,
}

/// Which system calls a container may make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Seccomp {
    /// `default` or empty, `unconfined`, or `custom`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub mode: String,
    /// For `custom`: a profile as JSON, as the engine reads it.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub profile: Base64,
}

/// The engine's profile of AppArmor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct AppArmor {
    /// `default` or empty, or `disabled`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_default")]
    pub mode: String,
}

/// The longest profile of system calls: that of the engine has 15 KiB.
const PROFILE_MAX: usize = 256 << 10;

// === impl Privileges ===

impl Privileges {
    /// Reads and checks what a client posted.
    ///
    /// # Errors
    /// What is wrong with it, or cannot be had here.
    pub fn read(posted: Option<&Value>) -> Result<Self, Refusal> {
        let Some(posted) = posted.filter(|value| !value.is_null()) else {
            return Ok(Self::default());
        };
        let read: Self = serde_json::from_value(posted.clone())
            .map_err(|why| Refusal::invalid(format!("invalid Privileges: {why}")))?;
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.credential_spec != CredentialSpec::default() {
            return Err(Refusal::plain(
                crate::RefusalKind::Unimplemented,
                "credential specs are for Windows containers, and nodes of swarmw run Linux: \
                 leave CredentialSpec out",
            ));
        }
        if !matches!(self.app_armor.mode.as_str(), "" | "default" | "disabled") {
            return Err(Refusal::invalid(format!(
                "unknown AppArmor mode: {:?}: default and disabled exist",
                self.app_armor.mode
            )));
        }
        let Base64(profile) = &self.seccomp.profile;
        match self.seccomp.mode.as_str() {
            "" | "default" | "unconfined" if profile.is_empty() => Ok(()),
            "" | "default" | "unconfined" => Err(Refusal::invalid(
                "a seccomp profile goes with the mode custom alone: leave the one or name the other",
            )),
            "custom" if profile.len() > PROFILE_MAX => Err(Refusal::invalid(format!(
                "a seccomp profile has at most {} KiB",
                PROFILE_MAX >> 10
            ))),
            "custom" => match serde_json::from_slice(profile) {
                Ok(Value::Object(_)) => Ok(()),
                Ok(_) => Err(Refusal::invalid("a seccomp profile is a JSON object")),
                Err(why) => Err(Refusal::invalid(format!("the seccomp profile is no JSON: {why}"))),
            },
            other => Err(Refusal::invalid(format!(
                "unknown seccomp mode: {other:?}: default, unconfined and custom exist"
            ))),
        }
    }

    /// What options of `docker run --security-opt` say, as far as there is a field for it,
    /// and the other options. Of two that say the same, the later counts. A profile of
    /// system calls stands as its JSON.
    pub fn of_options(options: &[String]) -> (Self, Vec<String>) {
        let mut privileges = Self::default();
        let others = options.iter().filter(|option| !privileges.take(option)).cloned().collect();
        (privileges, others)
    }

    /// Takes an option; whether there is a field for it.
    fn take(&mut self, option: &str) -> bool {
        // Docker's older spelling has a colon.
        let (key, value) =
            option.split_once('=').or_else(|| option.split_once(':')).unwrap_or((option, ""));
        let selinux = &mut self.selinux;
        match (key, value.split_once(':').unwrap_or((value, ""))) {
            ("no-new-privileges", ("" | "true", "")) => self.no_new_privileges = true,
            ("no-new-privileges", ("false", "")) => self.no_new_privileges = false,
            ("apparmor", ("unconfined", "")) => "disabled".clone_into(&mut self.app_armor.mode),
            ("label", ("disable", "")) => selinux.disable = true,
            ("label", ("user", word)) => word.clone_into(&mut selinux.user),
            ("label", ("role", word)) => word.clone_into(&mut selinux.role),
            ("label", ("type", word)) => word.clone_into(&mut selinux.kind),
            ("label", ("level", word)) => word.clone_into(&mut selinux.level),
            ("seccomp", ("unconfined", "")) => {
                self.seccomp = Seccomp { mode: "unconfined".to_owned(), ..Seccomp::default() };
            }
            ("seccomp", ("builtin", "")) => self.seccomp = Seccomp::default(),
            ("seccomp", _) if value.trim_start().starts_with('{') => {
                self.seccomp = Seccomp {
                    mode: "custom".to_owned(),
                    profile: Base64(value.as_bytes().to_vec()),
                };
            }
            _ => return false,
        }
        true
    }

    /// The same as options of `docker run --security-opt`.
    pub fn security_options(&self) -> Vec<String> {
        let mut options = Vec::new();
        let selinux = &self.selinux;
        if selinux.disable {
            options.push("label=disable".to_owned());
        }
        for (name, value) in [
            ("user", &selinux.user),
            ("role", &selinux.role),
            ("type", &selinux.kind),
            ("level", &selinux.level),
        ] {
            if !value.is_empty() {
                options.push(format!("label={name}:{value}"));
            }
        }
        if self.no_new_privileges {
            options.push("no-new-privileges".to_owned());
        }
        if self.app_armor.mode == "disabled" {
            options.push("apparmor=unconfined".to_owned());
        }
        match self.seccomp.mode.as_str() {
            "unconfined" => options.push("seccomp=unconfined".to_owned()),
            "custom" => {
                let profile = String::from_utf8_lossy(&self.seccomp.profile.0);
                options.push(format!("seccomp={profile}"));
            }
            _ => {}
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_becomes_what_docker_run_takes() {
        let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#;
        let encoded = json!(Base64(profile.as_bytes().to_vec()));
        for (posted, want) in [
            (json!(null), ""),
            (json!({"CredentialSpec": null, "SELinuxContext": null}), ""),
            (json!({"Seccomp": {"Mode": "default"}, "AppArmor": {"Mode": "default"}}), ""),
            (json!({"NoNewPrivileges": true}), "no-new-privileges"),
            (json!({"AppArmor": {"Mode": "disabled"}}), "apparmor=unconfined"),
            (json!({"Seccomp": {"Mode": "unconfined", "Profile": null}}), "seccomp=unconfined"),
            (
                json!({"Seccomp": {"Mode": "custom", "Profile": encoded}}),
                &*format!("seccomp={profile}"),
            ),
            (
                json!({"SELinuxContext": {"Disable": true, "User": "u", "Role": "r", "Type": "t", "Level": "l"}}),
                "label=disable label=user:u label=role:r label=type:t label=level:l",
            ),
        ] {
            let read = Privileges::read(Some(&posted)).expect("privileges");
            assert_eq!(read.security_options().join(" "), want, "{posted}");
        }
        assert_eq!(Privileges::read(None), Ok(Privileges::default()));
    }

    #[test]
    fn what_docker_run_takes_has_fields_as_far_as_docker_has_any() {
        for (options, fields, others) in [
            ("", json!({}), ""),
            (
                "no-new-privileges apparmor=unconfined",
                json!({"NoNewPrivileges": true, "AppArmor": {"Mode": "disabled"}}),
                "",
            ),
            ("no-new-privileges:true no-new-privileges=false", json!({}), ""),
            (
                "apparmor=mine systempaths=unconfined",
                json!({}),
                "apparmor=mine systempaths=unconfined",
            ),
            (
                "label=disable label=level:s0:c1 label:type:t",
                json!({"SELinuxContext": {"Disable": true, "Level": "s0:c1", "Type": "t"}}),
                "",
            ),
            ("seccomp=unconfined", json!({"Seccomp": {"Mode": "unconfined"}}), ""),
            ("seccomp={}", json!({"Seccomp": {"Mode": "custom", "Profile": "e30="}}), ""),
            ("seccomp=profile.json", json!({}), "seccomp=profile.json"),
        ] {
            let typed: Vec<_> = options.split_whitespace().map(str::to_owned).collect();
            let (read, left) = Privileges::of_options(&typed);
            assert_eq!((json!(read), left.join(" ").as_str()), (fields, others), "{options}");
            let again = Privileges::of_options(&read.security_options());
            assert_eq!(again, (read, Vec::new()), "{options}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        for (posted, want) in [
            (json!({"CredentialSpec": {"File": "a.json"}}), "credential specs are for Windows"),
            (json!({"AppArmor": {"Mode": "mine"}}), "unknown AppArmor mode: \"mine\""),
            (json!({"Seccomp": {"Mode": "mine"}}), "unknown seccomp mode: \"mine\""),
            (json!({"Seccomp": {"Mode": "custom"}}), "the seccomp profile is no JSON"),
            (json!({"Seccomp": {"Mode": "custom", "Profile": "W10="}}), "is a JSON object"),
            (json!({"Seccomp": {"Profile": "e30="}}), "goes with the mode custom alone"),
            (json!({"Seccomp": {"Mode": "custom", "Profile": "?"}}), "invalid Privileges: "),
            (json!({"Sudo": true}), "invalid Privileges: unknown field `Sudo`"),
            (json!({"NoNewPrivileges": "yes"}), "invalid Privileges: "),
        ] {
            let said = Privileges::read(Some(&posted)).expect_err(want).message;
            assert!(said.contains(want), "{posted}: {said}");
        }
    }
}
