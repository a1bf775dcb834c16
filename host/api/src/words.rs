//! Words that must be among a few: read in any letter case, an empty one as absent,
//! an unknown one refused in Docker's words. Done on the JSON, before it becomes our
//! types, because there a wrong word is only a wrong value.

use serde_json::Value;

use swarmw_model::Refusal;

use crate::refusals::not_supported;

/// One field that holds a word.
struct Word {
    /// From the body's root; `*` stands for every element of a list.
    path: &'static [&'static str],
    /// What stands before the wrong value in the refusal.
    says: &'static str,
    allowed: &'static [&'static str],
    /// Known to Docker, not to swarmw.
    missing: &'static [&'static str],
    /// Whether an absent word is wrong too.
    required: bool,
}

const NODE: &[Word] = &[
    Word {
        path: &["Role"],
        says: "invalid Role",
        allowed: &["worker", "manager"],
        missing: &[],
        required: true,
    },
    Word {
        path: &["Availability"],
        says: "invalid Availability",
        allowed: &["active", "pause", "drain"],
        missing: &[],
        required: true,
    },
];

const ENTRY: &[Word] = &[Word {
    path: &["Availability"],
    says: "invalid Availability",
    allowed: &["active", "pause", "drain"],
    missing: &[],
    required: false,
}];

const SERVICE: &[Word] = &[
    Word {
        path: &["TaskTemplate", "RestartPolicy", "Condition"],
        says: "invalid RestartCondition",
        allowed: &["none", "on-failure", "any"],
        missing: &[],
        required: false,
    },
    Word {
        path: &["EndpointSpec", "Mode"],
        says: "invalid resolution mode",
        allowed: &["vip", "dnsrr"],
        missing: &[],
        required: false,
    },
    Word {
        path: &["EndpointSpec", "Ports", "*", "Protocol"],
        says: "invalid port protocol",
        allowed: &["tcp", "udp", "sctp"],
        missing: &[],
        required: false,
    },
    Word {
        path: &["EndpointSpec", "Ports", "*", "PublishMode"],
        says: "invalid publish mode",
        allowed: &["ingress", "host"],
        missing: &[],
        required: false,
    },
    Word {
        path: &["TaskTemplate", "ContainerSpec", "Mounts", "*", "Type"],
        says: "invalid MountType",
        allowed: &["volume", "bind", "tmpfs"],
        missing: &["npipe", "cluster", "image"],
        required: false,
    },
    Word {
        path: &["TaskTemplate", "ContainerSpec", "Isolation"],
        says: "invalid isolation",
        allowed: &["default"],
        missing: &["process", "hyperv"],
        required: false,
    },
];

/// Checks the words of a node's spec.
pub(crate) fn of_node(body: &mut Value) -> Result<(), Refusal> {
    check(NODE, body)
}

/// Checks the words of an init or join request.
pub(crate) fn of_entry(body: &mut Value) -> Result<(), Refusal> {
    check(ENTRY, body)
}

/// Checks the words of a service's spec, and its mode.
pub(crate) fn of_service(body: &mut Value) -> Result<(), Refusal> {
    check(SERVICE, body)?;
    mode(body)?;
    attachment(body)?;
    for mount in at(body, &["TaskTemplate", "ContainerSpec", "Mounts", "*"]) {
        let options = mount.pointer("/TmpfsOptions/Options");
        if options.is_some_and(|o| o.as_array().is_none_or(|list| !list.is_empty())) {
            return Err(not_supported("options of tmpfs mounts are"));
        }
    }
    Ok(())
}

/// What a container that joins a network is to Docker's engine, and no service is.
fn attachment(body: &Value) -> Result<(), Refusal> {
    let asked = |field: &str| body.pointer(&format!("/TaskTemplate/{field}"));
    let is_attachment = asked("Runtime").is_some_and(|runtime| runtime == "attachment");
    match asked("NetworkAttachmentSpec") {
        Some(_) if is_attachment => Err(Refusal::invalid(
            "invalid task spec: spec type \"attachment\" not supported: containers join attachable \
             networks by themselves (docker run --network, docker network connect), and what runs \
             as a service has a ContainerSpec",
        )),
        _ => Ok(()),
    }
}

/// `{}` is replicated, one mode stands, two are refused.
fn mode(body: &mut Value) -> Result<(), Refusal> {
    let Some(mode) = body.get_mut("Mode").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    match mode.len() {
        0 => drop(mode.insert("Replicated".to_owned(), Value::Object(Default::default()))),
        1 => {}
        _ => return Err(Refusal::invalid("must specify only one service mode")),
    }
    Ok(())
}

fn check(words: &[Word], body: &mut Value) -> Result<(), Refusal> {
    for word in words {
        let Some((field, parents)) = word.path.split_last() else {
            continue;
        };
        for parent in at(body, parents) {
            let Some(parent) = parent.as_object_mut() else {
                continue;
            };
            let given = match parent.get(*field) {
                None => "",
                Some(Value::String(text)) => text,
                Some(_) => continue,
            };
            let lower = given.to_lowercase();
            if word.missing.contains(&lower.as_str()) {
                return Err(not_supported(&format!("{field} {given:?} is")));
            }
            let wrong = !word.allowed.contains(&lower.as_str());
            if wrong && (word.required || !given.is_empty()) {
                return Err(Refusal::invalid(format!("{}: {given:?}", word.says)));
            }
            if given.is_empty() {
                parent.remove(*field);
            } else {
                parent.insert((*field).to_owned(), Value::String(lower));
            }
        }
    }
    Ok(())
}

/// Every value at `path`.
pub(crate) fn at<'a>(value: &'a mut Value, path: &[&str]) -> Vec<&'a mut Value> {
    let Some((first, rest)) = path.split_first() else {
        return vec![value];
    };
    match value {
        Value::Array(list) if *first == "*" => {
            list.iter_mut().flat_map(|item| at(item, rest)).collect()
        }
        Value::Object(map) => map.get_mut(*first).map_or_else(Vec::new, |next| at(next, rest)),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_words_are_refused_in_dockers_words() {
        for (mut body, want) in [
            (
                json!({"TaskTemplate": {"RestartPolicy": {"Condition": "foo"}}}),
                "invalid RestartCondition: \"foo\"",
            ),
            (json!({"EndpointSpec": {"Mode": "foo"}}), "invalid resolution mode: \"foo\""),
            (
                json!({"TaskTemplate": {"ContainerSpec": {"Mounts": [{"Type": "foo"}]}}}),
                "invalid MountType: \"foo\"",
            ),
            (
                json!({"Mode": {"Replicated": {}, "Global": {}}}),
                "must specify only one service mode",
            ),
            (
                json!({"Mode": {"Replicated": {}, "GlobalJob": {}}}),
                "must specify only one service mode",
            ),
        ] {
            assert_eq!(of_service(&mut body).unwrap_err().message, want);
        }
        let mut node = json!({"Role": "manager", "Availability": "foo"});
        assert_eq!(of_node(&mut node).unwrap_err().message, "invalid Availability: \"foo\"");
        let mut node = json!({"Availability": "active"});
        assert_eq!(of_node(&mut node).unwrap_err().message, "invalid Role: \"\"");
    }

    #[test]
    fn an_attachment_of_a_network_is_no_service() {
        let mut body = json!({"TaskTemplate": {
            "Runtime": "attachment", "NetworkAttachmentSpec": {"ContainerID": "x"},
        }});
        let refused = of_service(&mut body).unwrap_err().message;
        let want = "invalid task spec: spec type \"attachment\" not supported: containers join";
        assert!(refused.starts_with(want), "{refused}");
        // Where the two do not go together, that is what is said, or Docker reads one alone.
        for fine in [
            json!({"TaskTemplate": {"Runtime": "attachment"}}),
            json!({"TaskTemplate": {"Runtime": "container", "NetworkAttachmentSpec": {}}}),
        ] {
            of_service(&mut fine.clone()).expect("not refused here");
        }
    }

    #[test]
    fn letter_case_and_empty_words_do_not_matter() {
        let mut body = json!({
            "Mode": {},
            "EndpointSpec": {"Mode": "VIP", "Ports": [{"Protocol": "", "PublishMode": "Host"}]},
        });
        of_service(&mut body).expect("accepted");
        assert_eq!(
            body,
            json!({
                "Mode": {"Replicated": {}},
                "EndpointSpec": {"Mode": "vip", "Ports": [{"PublishMode": "host"}]},
            })
        );
    }
}
