//! `--network NAME`, `--network name=NAME,alias=WEB,driver-opt=KEY=VALUE`

use swarmw_model::NetworkAttachmentConfig;

use super::csv;

/// Fields that Docker's client reads, and that mean nothing for a service.
const OF_CONTAINERS: [&str; 4] = ["ip", "ip6", "link-local-ip", "mac-address"];

/// Reads either form; the long one in lower case, as Docker's client does.
pub(crate) fn network(text: &str) -> Result<NetworkAttachmentConfig, String> {
    if !is_long(text) {
        return Ok(NetworkAttachmentConfig {
            target: text.to_owned(),
            ..NetworkAttachmentConfig::default()
        });
    }
    let mut network = NetworkAttachmentConfig::default();
    for field in csv::fields(text)? {
        let field = field.to_lowercase();
        let Some((key, value)) = field.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!("invalid field {field}"));
        };
        let (key, value) = (key.trim(), value.trim());
        match key {
            "name" => value.clone_into(&mut network.target),
            "alias" => network.aliases.push(value.to_owned()),
            "driver-opt" => {
                let (key, value) = value
                    .split_once('=')
                    .filter(|(key, _)| !key.is_empty())
                    .ok_or_else(|| "invalid key value pair format in driver options".to_owned())?;
                network.driver_opts.insert(key.trim().to_owned(), value.trim().to_owned());
            }
            "gw-priority" if value.parse::<i64>().is_err() => {
                return Err(format!("invalid gw-priority ({value}): invalid syntax"));
            }
            "gw-priority" => {}
            other if OF_CONTAINERS.contains(&other) => {}
            other => return Err(format!("invalid field key {other}")),
        }
    }
    match network.target.is_empty() {
        true => Err("network name/id is not specified".to_owned()),
        false => Ok(network),
    }
}

/// Whether a word stands on either side of an `=`.
fn is_long(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices('=')
        .any(|(at, _)| text[..at].ends_with(is_word) && text[at + 1..].starts_with(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_read_as_dockers() {
        for (text, target, aliases, options) in [
            ("Web", "Web", &[][..], &[][..]),
            ("a=", "a=", &[], &[]),
            ("name=Web,alias=A,alias=b", "web", &["a", "b"], &[]),
            (
                "name=web,driver-opt=X=Y,driver-opt=z=,ip=1.2.3.4,gw-priority=5",
                "web",
                &[],
                &[("x", "y"), ("z", "")],
            ),
        ] {
            let read = network(text).expect(text);
            let read_options: Vec<_> =
                read.driver_opts.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!((read.target.as_str(), &read.aliases[..]), (target, &strings(aliases)[..]));
            assert_eq!(read_options, options, "{text}");
        }
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_is_wrong_is_told_in_dockers_words() {
        for (text, want) in [
            ("alias=x", "network name/id is not specified"),
            ("name=x,foo=y", "invalid field key foo"),
            ("name=x,alias", "invalid field alias"),
            ("name=x,driver-opt=q", "invalid key value pair format in driver options"),
            ("name=x,ip=1.2.3.4,gw-priority=a", "invalid gw-priority (a): invalid syntax"),
        ] {
            assert_eq!(network(text).expect_err(text), want);
        }
    }
}
