//! The configuration of Docker's client, `~/.docker/config.json`: what of it says how
//! lists look and who one is to registries holds here too.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::Failure;

/// Names the folder of the configuration.
const FOLDER_VARIABLE: &str = "DOCKER_CONFIG";

/// The folder of the configuration; `None` where there is no home either.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER_VARIABLE)
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker")))
}

/// The configuration; `null` where there is none.
pub(crate) fn read() -> Result<Value, Failure> {
    match folder().map(|folder| folder.join("config.json")) {
        Some(path) if path.is_file() => {
            let text =
                std::fs::read_to_string(&path).map_err(|error| Failure::opening(&path, &error))?;
            serde_json::from_str(&text).map_err(|error| {
                Failure::new(format!("{} is not valid JSON: {error}", path.display()))
            })
        }
        _ => Ok(Value::Null),
    }
}

/// The format to use: the one that was given, or the one that is configured under `key`.
pub(crate) fn format(given: Option<&str>, key: &str) -> Result<Option<String>, Failure> {
    match given.filter(|format| !format.is_empty()) {
        Some(format) => Ok(Some(format.to_owned())),
        None => Ok(configured(&read()?, key)),
    }
}

fn configured(config: &Value, key: &str) -> Option<String> {
    config[key].as_str().filter(|format| !format.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::configured;
    use serde_json::json;

    #[test]
    fn a_configured_format_is_used_where_none_is_given() {
        let config = json!({"servicesFormat": "{{.Name}}", "nodesFormat": ""});
        assert_eq!(configured(&config, "servicesFormat").as_deref(), Some("{{.Name}}"));
        assert_eq!(configured(&config, "nodesFormat"), None);
        assert_eq!(configured(&serde_json::Value::Null, "tasksFormat"), None);
    }
}
