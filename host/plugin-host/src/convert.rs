//! Between the types of `wit/` and those of the model.

use swarmw_model::{
    GrantRequest, OptionType, PluginClaim, PluginGrant, PluginMetadata, PluginOption, Problem,
};

use crate::bindings::types as wit;
use crate::journal::one_line;

/// What a plugin says of itself, and its name.
pub fn metadata(said: wit::Metadata) -> (String, PluginMetadata) {
    let metadata = PluginMetadata {
        version: said.version,
        summary: said.summary,
        claims: said.claims.into_iter().map(claim).collect(),
        options: said.options.into_iter().map(option).collect(),
        grants: said.grants.into_iter().map(grant).collect(),
    };
    (said.name, metadata)
}

fn claim(claim: wit::Claim) -> PluginClaim {
    match claim {
        wit::Claim::Key(key) => PluginClaim::Key(key),
        wit::Claim::KeyPrefix(prefix) => PluginClaim::KeyPrefix(prefix),
        wit::Claim::Operator(operator) => PluginClaim::Operator(operator),
        wit::Claim::Call(name) => PluginClaim::Call(name),
        wit::Claim::Name(name) => PluginClaim::Name(name),
    }
}

fn option(spec: wit::OptionSpec) -> PluginOption {
    PluginOption {
        name: spec.name,
        help: spec.help,
        ty: match spec.ty {
            wit::OptionType::Text => OptionType::Text,
            wit::OptionType::Boolean => OptionType::Boolean,
            wit::OptionType::Integer(wit::IntRange { min, max }) => {
                OptionType::Integer { min, max }
            }
            wit::OptionType::Number => OptionType::Number,
            wit::OptionType::Duration => OptionType::Duration,
            wit::OptionType::Size => OptionType::Size,
            wit::OptionType::Choice(choices) => OptionType::Choice(choices),
            wit::OptionType::Secret => OptionType::Secret,
        },
        required: spec.required,
        default: spec.default,
    }
}

fn grant(grant: wit::Grant) -> PluginGrant {
    PluginGrant {
        request: match grant.request {
            wit::GrantRequest::Observe(url) => GrantRequest::Observe(url),
            wit::GrantRequest::Mount((kind, source)) => GrantRequest::Mount(kind, source),
            wit::GrantRequest::Helper(program) => GrantRequest::Helper(program),
            wit::GrantRequest::Secret(pattern) => GrantRequest::Secret(pattern),
        },
        reason: grant.reason,
    }
}

/// The most problems shown of one refusal.
const PROBLEMS_MAX: usize = 16;

/// What people are shown, so without characters that mislead. At least one: a refusal without any is a problem of its own.
pub fn problems(said: Vec<wit::Problem>) -> Vec<Problem> {
    if said.is_empty() {
        return vec![Problem {
            code: "refused".to_owned(),
            message: "the plugin refuses this and does not say why".to_owned(),
            option: None,
            at: None,
            hint: None,
        }];
    }
    let problem = |p: wit::Problem| Problem {
        code: one_line(&p.code),
        message: one_line(&p.message),
        option: p.option_name.as_deref().map(one_line),
        at: p.at.map(|span| (span.start, span.end)),
        hint: p.hint.as_deref().map(one_line),
    };
    said.into_iter().take(PROBLEMS_MAX).map(problem).collect()
}
