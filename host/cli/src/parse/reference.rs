//! `--secret` and `--config`: `NAME`, or `source=NAME,target=…,uid=…,gid=…,mode=…`.

use swarmw_model::{ConfigReference, FileTarget, SecretReference};

use super::csv;

/// Permissions of a file that none were given for.
const MODE: u32 = 0o444;

/// A secret of a service; its id is looked up later.
pub(crate) fn secret_reference(text: &str) -> Result<SecretReference, String> {
    let (secret_name, file) = reference("secret", text)?;
    Ok(SecretReference { file: Some(file), secret_id: String::new(), secret_name })
}

/// A config of a service; its id is looked up later.
pub(crate) fn config_reference(text: &str) -> Result<ConfigReference, String> {
    let (config_name, file) = reference("config", text)?;
    Ok(ConfigReference { file: Some(file), runtime: None, config_id: String::new(), config_name })
}

fn reference(kind: &str, text: &str) -> Result<(String, FileTarget), String> {
    let root = || "0".to_owned();
    let mut file = FileTarget { name: String::new(), uid: root(), gid: root(), mode: MODE };
    let fields = csv::fields(text)?;
    if let [name] = &fields[..]
        && !name.contains('=')
    {
        file.name.clone_from(name);
        return Ok((name.clone(), file));
    }
    let mut source = String::new();
    for field in fields {
        let Some((key, value)) = field.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!("invalid field '{field}' must be a key=value pair"));
        };
        let value = value.to_owned();
        match key.to_lowercase().as_str() {
            "source" | "src" => source = value,
            "target" => file.name = value,
            "uid" => file.uid = value,
            "gid" => file.gid = value,
            "mode" => file.mode = mode(&value)?,
            _ => return Err(format!("invalid field in {kind} request: {key}")),
        }
    }
    if source.is_empty() {
        return Err("source is required".to_owned());
    }
    if file.name.is_empty() {
        file.name.clone_from(&source);
    }
    Ok((source, file))
}

/// A number as Go reads it: `0444` and `0o444` are octal, `0x124` hexadecimal.
fn mode(text: &str) -> Result<u32, String> {
    let lower = text.to_lowercase();
    let (digits, radix) = match lower.strip_prefix('0') {
        None | Some("") => (&*lower, 10),
        Some(rest) => match rest.split_at_checked(1) {
            Some(("x", digits)) => (digits, 16),
            Some(("b", digits)) => (digits, 2),
            Some(("o", digits)) => (digits, 8),
            _ => (rest, 8),
        },
    };
    let number = u32::from_str_radix(digits.trim_start_matches('_'), radix);
    number.map_err(|_| {
        format!("invalid mode specified: strconv.ParseUint: parsing {text:?}: invalid syntax")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let read = |text: &str| {
            let secret = secret_reference(text)?;
            let file = secret.file.expect("a file");
            Ok::<_, String>((secret.secret_name, file.name, file.uid, file.gid, file.mode))
        };
        let of = |source: &str, target: &str, uid: &str, gid: &str, mode: u32| {
            Ok((source.into(), target.into(), uid.into(), gid.into(), mode))
        };
        for (text, want) in [
            ("pw", of("pw", "pw", "0", "0", 0o444)),
            ("source=pw", of("pw", "pw", "0", "0", 0o444)),
            ("src=pw,target=/etc/pw,uid=5,gid=6,mode=0400", of("pw", "/etc/pw", "5", "6", 0o400)),
            ("source=pw,mode=0o440", of("pw", "pw", "0", "0", 0o440)),
            ("source=pw,mode=292", of("pw", "pw", "0", "0", 0o444)),
            ("source=pw,mode=0x124", of("pw", "pw", "0", "0", 0o444)),
            ("target=x", Err("source is required".into())),
            ("pw,target=x", Err("invalid field 'pw' must be a key=value pair".into())),
            ("source=pw,foo=x", Err("invalid field in secret request: foo".into())),
            (
                "source=pw,mode=9x",
                Err("invalid mode specified: strconv.ParseUint: parsing \"9x\": invalid syntax"
                    .into()),
            ),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
        let config = config_reference("source=c,target=/c").expect("a config");
        assert_eq!((&*config.config_name, &*config.file.expect("a file").name), ("c", "/c"));
        assert_eq!(
            config_reference("source=c,x=y").expect_err("refused"),
            "invalid field in config request: x"
        );
    }
}
