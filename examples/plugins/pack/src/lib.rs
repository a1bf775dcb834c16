//! `--placement-pref pack=node.labels.rack` fills one rack before it opens the
//! next, so that the others can sleep.

use std::cmp::Reverse;

use swarmw_sdk::*;

struct Pack {
    column: String,
}

#[derive(Options)]
struct Settings {
    /// tasks of room to leave free in each group
    #[option(default = "0", max = 1_000_000)]
    leave: u32,
}

export!(Pack: Preference);

impl Preference for Pack {
    const NAME: &'static str = "example/pack";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("pack")]
    }

    fn compile(_: &str, argument: &str, _: &Settings) -> Result<Self, Problem> {
        let column = node_column(argument).ok_or_else(|| {
            problem("bad-column", format!("pack takes a node attribute, not '{argument}'"))
                .at_all(argument)
                .hint("try node.labels.rack")
        })?;
        Ok(Pack { column })
    }

    fn bins(&self) -> Bins {
        Bins::ByColumn(self.column.clone())
    }

    fn share(&self, ask: &Question, settings: &Settings) -> Share {
        // The group with the most of this service first, then the busiest.
        let mut order: Vec<usize> = (0..ask.bins.len()).collect();
        order.sort_by_key(|bin| {
            let bin = &ask.bins[*bin];
            Reverse((bin.service_tasks, bin.total_tasks))
        });
        let mut share = ask.share();
        for bin in order {
            share.give(bin, ask.bins[bin].room.saturating_sub(settings.leave));
        }
        share
    }
}
