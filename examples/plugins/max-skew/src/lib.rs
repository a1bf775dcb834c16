//! `--placement-pref max-skew=node.labels.zone`: as even as possible over the
//! zones, and no zone more than `max` tasks ahead of the emptiest: what Kubernetes
//! calls `topologySpreadConstraints`.

use swarmw_sdk::*;

struct MaxSkew {
    column: String,
}

#[derive(Options)]
struct Settings {
    /// how many tasks more one zone may have than the emptiest (maxSkew)
    #[option(default = "1", min = 1, max = 1_000_000)]
    max: u32,
    /// when no zone may take more: wait, or go where there is room (whenUnsatisfiable)
    #[option(default = "wait")]
    otherwise: Otherwise,
    /// zones that count as the emptiest: those with a node that the task may go to, or all
    #[option(default = "eligible")]
    zones: Zones,
}

#[derive(Choice, Clone, Copy, PartialEq)]
enum Otherwise {
    Wait,
    Anywhere,
}

#[derive(Choice, Clone, Copy, PartialEq)]
enum Zones {
    Eligible,
    All,
}

export!(MaxSkew: Preference);

impl Preference for MaxSkew {
    const NAME: &'static str = "example/max-skew";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("max-skew")]
    }

    fn compile(_: &str, argument: &str, _: &Settings) -> Result<Self, Problem> {
        let column = node_column(argument).ok_or_else(|| {
            problem("bad-column", format!("'{argument}' is no attribute of a node"))
                .at_all(argument)
                .hint("try max-skew=node.labels.zone")
        })?;
        Ok(MaxSkew { column })
    }

    fn bins(&self) -> Bins {
        Bins::ByColumn(self.column.clone())
    }

    fn loads(&self) -> Vec<String> {
        vec!["skew.total".to_owned()]
    }

    fn share(&self, ask: &Question, settings: &Settings) -> Share {
        let mut share = ask.share();
        let have = |bin: usize| ask.bins[bin].service_tasks;
        let cap = self.cap(ask, settings);
        share.level(have, cap);
        if share.left() > 0 && settings.otherwise == Otherwise::Anywhere {
            share.level(have, u32::MAX);
        }
        for bin in 0..ask.bins.len() {
            if share.left() > 0 && share.room(bin) > 0 {
                let max = settings.max;
                share.refuse(bin, format!("one more would be {max} ahead of the emptiest zone"));
            }
        }
        share
    }
}

impl MaxSkew {
    /// The most tasks that any zone may come to have: those of the zone that can
    /// rise least, and the skew.
    fn cap(&self, ask: &Question, settings: &Settings) -> u32 {
        let full = ask.bins.iter().map(|bin| bin.service_tasks.saturating_add(bin.room)).min();
        let mut least = full.unwrap_or(u32::MAX);
        if settings.zones == Zones::All {
            // Tasks of a zone less those of the emptiest that cannot catch up.
            for bin in &ask.bins {
                let ahead = bin.load(0);
                if ahead.is_finite() {
                    let emptiest = f64::from(bin.service_tasks) - ahead;
                    least = least.min(emptiest.max(0.0) as u32);
                }
            }
        }
        least.saturating_add(settings.max)
    }
}
