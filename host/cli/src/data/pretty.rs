//! `secret inspect --pretty` and `config inspect --pretty`

use std::fmt::Write as _;

use serde_json::Value;
use swarmw_model::{Payload, Time};

use super::Kind;

/// One for people. Labels and values stand where Docker puts them, tabs included.
pub(super) fn show(kind: &Kind, data: &Value) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, kind, data);
    out
}

fn write(out: &mut String, kind: &Kind, data: &Value) -> std::fmt::Result {
    let text = |path: &str| data.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let is_secret = kind.has_driver;
    let (id, name, at) = match is_secret {
        true => ("ID:              ", "Name:              ", "        "),
        false => ("ID:\t\t\t", "Name:\t\t\t", "            \t"),
    };
    writeln!(out, "{id}{}\n{name}{}", text("/ID"), text("/Spec/Name"))?;
    if let (Some(number), Some(of)) =
        (data["Swarmw"]["Number"].as_u64(), data["Swarmw"]["Name"].as_str())
    {
        writeln!(out, "Version:           {number} of {of}")?;
    }
    let labels = data["Spec"]["Labels"].as_object().filter(|labels| !labels.is_empty());
    if labels.is_some() {
        writeln!(out, "Labels:")?;
    }
    for (key, value) in labels.into_iter().flatten() {
        match value.as_str() {
            None | Some("") => writeln!(out, " - {key}")?,
            Some(value) => writeln!(out, " - {key}={value}")?,
        }
    }
    if is_secret {
        writeln!(out, "Driver:            {}", text("/Spec/Driver/Name"))?;
    }
    writeln!(out, "Created at:{at}{}", date(text("/CreatedAt")))?;
    writeln!(out, "Updated at:{at}{}", date(text("/UpdatedAt")))?;
    if is_secret {
        return Ok(());
    }
    let payload: Payload = serde_json::from_value(data["Spec"]["Data"].clone()).unwrap_or_default();
    writeln!(out, "Data:\n{}", String::from_utf8_lossy(payload.bytes()))
}

/// As Go prints a time.
fn date(text: &str) -> String {
    let at: Time = text.parse().unwrap_or(Time::ZERO);
    let text = at.to_string().replace('T', " ");
    format!("{} +0000 utc", text.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::show;
    use crate::config::CONFIG;
    use crate::secret::SECRET;

    #[test]
    fn both_read_as_dockers() {
        let data = json!({"ID": "e216jshn25ckzbvmwlnh5jr3g", "CreatedAt": "2026-11-20T23:41:33.56Z",
            "UpdatedAt": "2026-11-20T23:41:33.56Z",
            "Spec": {"Name": "pw", "Labels": {"a": "b", "c": ""}}});
        assert_eq!(
            show(&SECRET, &data),
            "ID:              e216jshn25ckzbvmwlnh5jr3g\nName:              pw\n\
             Labels:\n - a=b\n - c\nDriver:            \n\
             Created at:        2026-11-20 23:41:33.56 +0000 utc\n\
             Updated at:        2026-11-20 23:41:33.56 +0000 utc\n"
        );
        let mut config = data;
        config["Spec"]["Data"] = json!("cG9ydD0x");
        assert_eq!(
            show(&CONFIG, &config),
            "ID:\t\t\te216jshn25ckzbvmwlnh5jr3g\nName:\t\t\tpw\nLabels:\n - a=b\n - c\n\
             Created at:            \t2026-11-20 23:41:33.56 +0000 utc\n\
             Updated at:            \t2026-11-20 23:41:33.56 +0000 utc\nData:\nport=1\n"
        );
    }
}
