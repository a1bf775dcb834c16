//! `--placement-pref NAME=ARGUMENT`, `--policy-opt PLUGIN.OPTION=VALUE`

use swarmw_model::Preference;

/// Reads one placement preference; which names exist is the daemon's to say.
pub(crate) fn placement_preference(text: &str) -> Result<Preference, String> {
    match text.split_once('=') {
        Some((name, argument)) if !name.is_empty() && !argument.is_empty() => {
            Ok(Preference { name: name.to_lowercase(), argument: argument.to_owned() })
        }
        _ => Err("placement preference must be of the format \"<strategy>=<arg>\"".to_owned()),
    }
}

/// Reads one option of a plugin: its name as `PLUGIN.OPTION`, and its text.
pub(crate) fn policy_option(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value))
            if name
                .rsplit_once('.')
                .is_some_and(|(plugin, option)| !plugin.is_empty() && !option.is_empty()) =>
        {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("policy option must be of the format \"<plugin>.<option>=<value>\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_a_name_and_an_argument() {
        let read = placement_preference("Spread=node.labels.a=b").expect("a preference");
        assert_eq!((read.name.as_str(), read.argument.as_str()), ("spread", "node.labels.a=b"));
        for text in ["spread", "spread=", "=x", ""] {
            assert!(placement_preference(text).is_err(), "{text}");
        }
    }

    #[test]
    fn policy_options_name_their_plugin() {
        assert_eq!(
            policy_option("acme/canary.step=10%=x"),
            Ok(("acme/canary.step".into(), "10%=x".into()))
        );
        for text in ["step=1", "canary.step", ".x=1", "canary.=1"] {
            assert!(policy_option(text).is_err(), "{text}");
        }
    }
}
