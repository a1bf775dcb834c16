//! `--publish 8080:80/tcp`, `--publish target=80,published=8080,mode=host`

use std::num::IntErrorKind;

use swarmw_compose::{protocol, short_ports};
use swarmw_model::{PortConfig, PublishMode};

use super::csv;

/// The ports of one `--publish`: several for a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports(pub(crate) Vec<PortConfig>);

/// Reads either form: with a `key=value` it is the long one.
pub(crate) fn publish(text: &str) -> Result<Ports, String> {
    if text.contains('=') {
        long(text).map(|port| Ports(vec![port]))
    } else {
        short_ports(text).map(Ports)
    }
}

fn long(text: &str) -> Result<PortConfig, String> {
    let mut port = PortConfig::default();
    for field in csv::fields(text)? {
        let Some((key, value)) = field.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!("invalid field: {field}"));
        };
        let number = |name: &str| {
            value.parse::<u16>().map_err(|error| {
                let reason = match error.kind() {
                    IntErrorKind::PosOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                format!("invalid {name} port ({value}): value must be an integer: {reason}")
            })
        };
        match key {
            "protocol" => {
                port.protocol =
                    protocol(value).ok_or_else(|| format!("invalid protocol value '{value}'"))?;
            }
            "mode" => port.publish_mode = mode(value)?,
            "target" => port.target_port = number("target")?,
            "published" => port.published_port = number("published")?,
            _ => return Err(format!("invalid field key: {key}")),
        }
    }
    if port.target_port == 0 {
        return Err("missing mandatory field 'target'".to_owned());
    }
    Ok(port)
}

fn mode(value: &str) -> Result<PublishMode, String> {
    match value {
        "ingress" => Ok(PublishMode::Ingress),
        "host" => Ok(PublishMode::Host),
        _ => {
            Err(format!("invalid publish mode value ({value}): must be either 'ingress' or 'host'"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        let ports = publish(text)?.0;
        let each: Vec<_> = ports
            .iter()
            .map(|p| {
                format!("{}:{}/{}/{}", p.published_port, p.target_port, p.protocol, p.publish_mode)
            })
            .collect();
        Ok(each.join(" "))
    }

    #[test]
    fn both_forms_read_as_dockers() {
        for (text, want) in [
            ("8080:80", "8080:80/tcp/ingress"),
            ("80", "0:80/tcp/ingress"),
            ("0:80", "0:80/tcp/ingress"),
            ("53:53/udp", "53:53/udp/ingress"),
            ("8000-8002:80-82", "8000:80/tcp/ingress 8001:81/tcp/ingress 8002:82/tcp/ingress"),
            ("8000-8001:80", "8000:80/tcp/ingress 8001:80/tcp/ingress"),
            ("80-81", "0:80/tcp/ingress 0:81/tcp/ingress"),
            ("target=80", "0:80/tcp/ingress"),
            ("published=8080,target=80,mode=host,protocol=udp", "8080:80/udp/host"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn bad_ports_are_named() {
        for (text, want) in [
            ("127.0.0.1:80:80", "hostip is not supported"),
            ("x", "invalid containerPort: x"),
            ("x:80", "invalid hostPort: x"),
            ("70000:80", "invalid hostPort: 70000"),
            ("80:", "no port specified: 80:"),
            ("82-80", "invalid containerPort: 82-80"),
            ("1-2:80-82", "invalid ranges specified for container and host Ports: 80-82 and 1-2"),
            ("80/icmp", "invalid proto: icmp"),
            ("target=80,protocol=foo", "invalid protocol value 'foo'"),
            (
                "target=70000",
                "invalid target port (70000): value must be an integer: value out of range",
            ),
            ("published=80", "missing mandatory field 'target'"),
            ("target=80,foo=1", "invalid field key: foo"),
            ("target=80,host", "invalid field: host"),
            (
                "target=80,mode=all",
                "invalid publish mode value (all): must be either 'ingress' or 'host'",
            ),
            ("target=web", "invalid target port (web): value must be an integer: invalid syntax"),
        ] {
            assert_eq!(shown(text).unwrap_err(), want, "{text}");
        }
    }
}
