//! What cannot be said of a plugin's powers.

use super::GrantRequest;

/// What an operator said of powers cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// A power was granted that the plugin does not ask for.
    #[error("plugin {plugin} does not ask for {power}; {}", asks(asked))]
    NotAsked {
        /// The plugin.
        plugin: String,
        /// The power.
        power: GrantRequest,
        /// What it does ask for.
        asked: Vec<GrantRequest>,
    },
    /// A power was taken away that the plugin has not.
    #[error("plugin {plugin} was not granted {power}; {}", has(granted))]
    NotGranted {
        /// The plugin.
        plugin: String,
        /// The power.
        power: GrantRequest,
        /// What it was granted.
        granted: Vec<GrantRequest>,
    },
    /// A claim was taken away, which a plugin has as long as it serves.
    #[error(
        "plugin {plugin} takes constraints by {power} as long as it serves: have it give them \
         back with `swarmw plugin disable {plugin}`, with `swarmw plugin rm {plugin}`, or by a \
         version without the claim"
    )]
    StillClaimed {
        /// The plugin.
        plugin: String,
        /// The claim.
        power: GrantRequest,
    },
    /// One power was both granted and taken away.
    #[error("{power} is granted to plugin {plugin} and taken away at once: leave one of them out")]
    Both {
        /// The plugin.
        plugin: String,
        /// The power.
        power: GrantRequest,
    },
}

fn asks(asked: &[GrantRequest]) -> String {
    match asked {
        [] => "it asks for nothing".to_owned(),
        asked => format!("it asks for {}", list(asked)),
    }
}

fn has(granted: &[GrantRequest]) -> String {
    match granted {
        [] => "it has no powers".to_owned(),
        granted => format!("it has {}", list(granted)),
    }
}

fn list(powers: &[GrantRequest]) -> String {
    powers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
