//! `--placement-pref {{name}}=node.labels.KEY`: as even as room allows over the
//! values of KEY, but never more than `most` tasks of a service per value.

use swarmw_sdk::*;

/// One argument, read.
struct {{Type}} {
    column: String,
}

/// What operators may set: `--policy-opt {{name}}.OPTION=VALUE`.
#[derive(Options)]
struct Settings {
    /// the most tasks of a service per value
    #[option(default = "1000", min = 1)]
    most: u32,
}

export!({{Type}}: Preference);

impl Preference for {{Type}} {
    const NAME: &'static str = "{{publisher}}/{{name}}";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("{{name}}")]
    }

    fn compile(_: &str, argument: &str, _: &Settings) -> Result<Self, Problem> {
        let column = node_column(argument).ok_or_else(|| {
            problem("bad-column", format!("'{argument}' is no attribute of a node"))
                .at_all(argument)
                .hint("try node.labels.zone")
        })?;
        Ok({{Type}} { column })
    }

    fn bins(&self) -> Bins {
        Bins::ByColumn(self.column.clone())
    }

    fn share(&self, ask: &Question, settings: &Settings) -> Share {
        let mut share = ask.share();
        // The bin that has the fewest gets the next one.
        share.level(|bin| ask.bins[bin].service_tasks, settings.most);
        for bin in 0..ask.bins.len() {
            if share.left() > 0 && share.room(bin) > 0 {
                share.refuse(bin, format!("{} tasks of a service are the most", settings.most));
            }
        }
        share
    }
}
