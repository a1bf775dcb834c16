//! Secrets and configs: data that the cluster keeps under a name, and that tasks get as
//! files. The two differ in who may read them: a config's data is shown by the API, a
//! secret's is seen by the tasks that name it and by nobody else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::null_as_default;
use crate::{
    Base64, ConfigId, Driver, Id, Refusal, RefusalKind, SecretId, Time, Version, template,
};

/// The longest name.
const NAME_MAX: usize = 64;
/// The one kind of template, in Docker's word.
const GOLANG: &str = "golang";

/// Bytes that no log or debug output shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(Arc<[u8]>);

/// The id of a kind of data: what is told apart by it.
pub trait DataId:
    Copy + Ord + fmt::Display + fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The word in messages.
    const KIND: &'static str;
    /// Payloads have fewer bytes than this.
    const DATA_END: usize;

    /// From any id's bits.
    fn from_id(id: Id) -> Self;

    /// As an id of no particular kind.
    fn id(self) -> Id;
}

/// A secret or a config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", bound = "I: DataId")]
pub struct Data<I> {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: I,
    /// Index of the last write.
    pub version: Version,
    /// First write.
    pub created_at: Time,
    /// Last write.
    pub updated_at: Time,
    /// What the operator said.
    pub spec: DataSpec,
    /// Of which name it is a version, once there was another one.
    #[serde(rename = "Swarmw", default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Series>,
}

/// A place among the versions under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Series {
    /// The name, which is the present version's.
    pub name: String,
    /// Counts from 1 and is never given twice.
    pub number: u64,
}

/// Data for the tasks that name it, and for nobody else.
pub type Secret = Data<SecretId>;
/// Data for the tasks that name it.
pub type Config = Data<ConfigId>;

/// What an operator says of a secret or a config. Of all this the labels alone change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DataSpec {
    /// Unique among its kind, whatever the letter case.
    pub name: String,
    /// Labels.
    #[serde(deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
    /// The bytes.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Payload::is_empty")]
    pub data: Payload,
    /// Who brings a secret's bytes instead; swarmw has no such drivers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
    /// Says that the bytes are a template, which each task's node expands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templating: Option<Driver>,
}

// === impl Payload ===

impl Payload {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// Without the bytes.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Base64::write(&self.0, to)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Base64::deserialize(from).map(|bytes| bytes.0.into())
    }
}

// === impl Data ===

impl<I: DataId> Data<I> {
    /// One that nobody has dated yet.
    pub fn new(id: I, spec: DataSpec) -> Self {
        Self {
            id,
            version: Version::default(),
            created_at: Time::ZERO,
            updated_at: Time::ZERO,
            spec,
            series: None,
        }
    }

    /// Its number among the versions under its name.
    pub fn number(&self) -> u64 {
        self.series.as_ref().map_or(1, |series| series.number)
    }

    /// The same for people: nobody reads a secret's bytes again.
    #[must_use]
    pub fn without_data(&self) -> Self {
        Self { spec: DataSpec { data: Payload::default(), ..self.spec.clone() }, ..self.clone() }
    }
}

// === impl Series ===

impl Series {
    /// What a version is called that is not the present one.
    pub fn name_of(name: &str, number: u64) -> String {
        format!("{name}.v{number}")
    }
}

impl DataId for SecretId {
    const KIND: &'static str = "secret";
    const DATA_END: usize = 500 << 10;

    fn from_id(id: Id) -> Self {
        Self::from_bits(id.bits())
    }

    fn id(self) -> Id {
        Id::from_bits(self.bits())
    }
}

impl DataId for ConfigId {
    const KIND: &'static str = "config";
    const DATA_END: usize = 1000 << 10;

    fn from_id(id: Id) -> Self {
        Self::from_bits(id.bits())
    }

    fn id(self) -> Id {
        Id::from_bits(self.bits())
    }
}

// === impl DataSpec ===

impl DataSpec {
    /// Whether the bytes are a template.
    pub fn is_template(&self) -> bool {
        self.templating.as_ref().is_some_and(|by| !by.name.is_empty())
    }

    /// What a new secret or config must satisfy, in Swarm's words.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check<I: DataId>(&self) -> Result<(), Refusal> {
        self.check_name()?;
        if let Some(driver) = self.driver.as_ref().filter(|driver| !driver.name.is_empty()) {
            return Err(Refusal::plain(
                RefusalKind::Unimplemented,
                format!(
                    "{} drivers are not supported by this version of swarmw: {}",
                    I::KIND,
                    driver.name
                ),
            ));
        }
        let size = self.data.bytes().len();
        if !(1..I::DATA_END).contains(&size) {
            return Err(rpc(format!(
                "{} data must be larger than 0 and less than {} bytes",
                I::KIND,
                I::DATA_END
            )));
        }
        self.check_template::<I>()
    }

    fn check_name(&self) -> Result<(), Refusal> {
        let name = self.name.as_bytes();
        if name.is_empty() {
            return Err(rpc("name must be provided"));
        }
        let ends_well = [name.first(), name.last()]
            .iter()
            .all(|end| end.is_some_and(u8::is_ascii_alphanumeric));
        let inside = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
        if name.len() > NAME_MAX || !ends_well || !name.iter().all(inside) {
            return Err(rpc(format!(
                "invalid name, only {NAME_MAX} [a-zA-Z0-9-_.] characters allowed, and the start \
                 and end character must be [a-zA-Z0-9]"
            )));
        }
        Ok(())
    }

    /// Swarm finds out in the task; here a template that no task could expand is none.
    fn check_template<I: DataId>(&self) -> Result<(), Refusal> {
        let Some(by) = self.templating.as_ref().filter(|_| self.is_template()) else {
            return Ok(());
        };
        if by.name != GOLANG {
            return Err(rpc(format!("unrecognized template driver {:?}: want {GOLANG}", by.name)));
        }
        let wrong = match std::str::from_utf8(self.data.bytes()) {
            Err(_) => "it is not UTF-8".to_owned(),
            Ok(text) => match template::check_data(text) {
                Err(error) => error.to_string(),
                Ok(_) => return Ok(()),
            },
        };
        // The message of a secret's template would show a part of it.
        let wrong = if I::KIND == SecretId::KIND {
            "it cannot be read, or names fields that no task has".to_owned()
        } else {
            wrong
        };
        Err(rpc(format!("{} {} is no template: {wrong}", I::KIND, self.name)))
    }
}

fn rpc(message: impl Into<String>) -> Refusal {
    Refusal::rpc(RefusalKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, data: &[u8]) -> DataSpec {
        DataSpec { name: name.into(), data: data.to_vec().into(), ..DataSpec::default() }
    }

    fn refused<I: DataId>(spec: &DataSpec) -> String {
        let said = spec.check::<I>().err().map(|refusal| refusal.to_string()).unwrap_or_default();
        said.trim_start_matches("rpc error: code = InvalidArgument desc = ").to_owned()
    }

    #[test]
    fn names_and_sizes_follow_swarms_rules() {
        let bad_name = "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start \
                        and end character must be [a-zA-Z0-9]";
        for (name, want) in [
            ("a", ""),
            ("My.secret_1-b", ""),
            ("", "name must be provided"),
            (".a", bad_name),
            ("a-", bad_name),
            ("a b", bad_name),
            ("a/b", bad_name),
            ("ä", bad_name),
        ] {
            assert_eq!(refused::<SecretId>(&spec(name, b"x")), want, "{name}");
        }
        assert_eq!(refused::<SecretId>(&spec(&"a".repeat(64), b"x")), "");
        assert_eq!(refused::<SecretId>(&spec(&"a".repeat(65), b"x")), bad_name);

        let secret = "secret data must be larger than 0 and less than 512000 bytes";
        let config = "config data must be larger than 0 and less than 1024000 bytes";
        for (size, of_secret, of_config) in [
            (0, secret, config),
            (1, "", ""),
            (511_999, "", ""),
            (512_000, secret, ""),
            (1_023_999, secret, ""),
            (1_024_000, secret, config),
        ] {
            let spec = spec("a", &vec![7; size]);
            assert_eq!(refused::<SecretId>(&spec), of_secret, "{size}");
            assert_eq!(refused::<ConfigId>(&spec), of_config, "{size}");
        }
    }

    #[test]
    fn a_template_that_cannot_be_expanded_is_refused_and_a_secrets_is_not_shown() {
        let template = |by: &str, data: &str| DataSpec {
            templating: Some(Driver { name: by.into(), ..Driver::default() }),
            ..spec("a", data.as_bytes())
        };
        let good = template("golang", "{{.Service.Name}} {{ secret \"b\" }} {{env \"X\"}}");
        assert_eq!(refused::<ConfigId>(&good), "");
        assert_eq!(refused::<ConfigId>(&template("", "{{")), "", "no template at all");
        assert_eq!(
            refused::<ConfigId>(&template("jinja", "x")),
            "unrecognized template driver \"jinja\": want golang"
        );
        let bad = template("golang", "pw {{.Foo}}");
        assert_eq!(
            refused::<ConfigId>(&bad),
            "config a is no template: template: expansion:1:5: executing \"expansion\" at <.Foo>: can't evaluate field Foo in type *template.PayloadContext"
        );
        assert_eq!(
            refused::<SecretId>(&bad),
            "secret a is no template: it cannot be read, or names fields that no task has"
        );
    }

    #[test]
    fn drivers_are_refused_by_name() {
        let driver = Some(Driver { name: "vault".into(), ..Driver::default() });
        assert_eq!(
            refused::<SecretId>(&DataSpec { driver, ..spec("a", b"") }),
            "secret drivers are not supported by this version of swarmw: vault"
        );
    }

    #[test]
    fn the_bytes_are_base64_in_json_and_nothing_in_debug_output() {
        let secret = Secret::new(SecretId::from_bits(1), spec("a", b"hush"));
        let json = serde_json::to_value(&secret).expect("JSON");
        assert_eq!(json["Spec"]["Data"], "aHVzaA==");
        assert_eq!(serde_json::from_value::<Secret>(json).expect("a secret"), secret);
        let json = serde_json::to_value(secret.without_data()).expect("JSON");
        assert!(json["Spec"].get("Data").is_none(), "{json}");
        let text = format!("{secret:?} {secret:#?}");
        assert!(!text.contains("hush") && !text.contains("104"), "{text}");
        assert!(text.contains("<4 bytes>"), "{text}");
    }
}
