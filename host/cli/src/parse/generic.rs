//! Generic resources that a task reserves: `gpu=2`.

use swarmw_model::{GenericResource, parse_generic_resources};

/// One value of the flag, as typed: a kind and a number, which are told apart when all
/// values are there.
pub(crate) fn generic_resource(text: &str) -> Result<String, String> {
    match text.contains('=') {
        true => Ok(text.to_owned()),
        false => {
            Err(format!("invalid node-generic-resource format `{text}` expected `name=value`"))
        }
    }
}

/// All values of the flag: a number of each kind. Which one of those with names a task gets
/// is the scheduler's choice.
pub(crate) fn generic_resources(values: &[String]) -> Result<Vec<GenericResource>, String> {
    let all = parse_generic_resources(values.iter().map(String::as_str))
        .map_err(|why| format!("invalid generic resource specification: {why}"))?;
    match all.iter().find(|one| !one.name().is_empty()) {
        None => Ok(all),
        Some(named) => Err(format!(
            "invalid generic-resource request `{named}`, Named Generic Resources is not \
             supported for service create or update"
        )),
    }
}
