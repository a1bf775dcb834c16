//! `--placement-pref cheapest=node.labels.price` fills the cheapest nodes first,
//! but does not put everything on them.

use swarmw_sdk::*;

struct Cheapest {
    column: String,
}

#[derive(Options)]
struct Settings {
    /// the share of a service's tasks that one price may have, from 0 to 1
    #[option(default = "1")]
    share: f64,
    /// what a node costs that does not say
    #[option(default = "1000000")]
    unknown: f64,
}

export!(Cheapest: Preference);

impl Preference for Cheapest {
    const NAME: &'static str = "example/cheapest";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("cheapest")]
    }

    fn compile(_: &str, argument: &str, settings: &Settings) -> Result<Self, Problem> {
        if !(settings.share > 0.0 && settings.share <= 1.0) {
            return Err(problem("bad-share", "a share is above 0 and at most 1").of_option("share"));
        }
        let column = node_column(argument).ok_or_else(|| {
            problem("bad-column", format!("'{argument}' is no attribute of a node"))
                .at_all(argument)
                .hint("try cheapest=node.labels.price")
        })?;
        Ok(Cheapest { column })
    }

    fn bins(&self) -> Bins {
        Bins::ByClass
    }

    fn reads(&self) -> Vec<ColumnRef> {
        vec![column(&self.column, ColumnType::Number)]
    }

    /// Nodes of one price are one class, which weighs the price.
    fn classify(&self, node: &Row<'_>, settings: &Settings) -> Class {
        let price = node.number(0).unwrap_or(settings.unknown);
        Class { label: format!("{price}"), weight: price }
    }

    fn share(&self, ask: &Question, settings: &Settings) -> Share {
        let mut share = ask.share();
        let mut order: Vec<usize> = (0..ask.bins.len()).collect();
        order.sort_by(|a, b| ask.bins[*a].weight.total_cmp(&ask.bins[*b].weight));
        let running: u64 = ask.bins.iter().map(|bin| u64::from(bin.service_tasks)).sum();
        let all = running + u64::from(ask.tasks);
        let most = (all as f64 * settings.share).ceil() as u64;
        for bin in &order {
            let more = most.saturating_sub(u64::from(ask.bins[*bin].service_tasks));
            share.give(*bin, u32::try_from(more).unwrap_or(u32::MAX));
        }
        // Rather dear than not at all.
        for bin in order {
            share.give(bin, u32::MAX);
        }
        share
    }
}
