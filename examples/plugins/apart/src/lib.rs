//! `--placement-pref apart=db@node.labels.rack` keeps a service away from the racks
//! where tasks of the service `db` run: anti-affinity across services.

use swarmw_sdk::*;

struct Apart {
    load: String,
    column: String,
    other: String,
}

#[derive(Options)]
struct Settings {
    /// whether tasks rather wait than stand beside the other's
    #[option(default = "false")]
    strict: bool,
}

export!(Apart: Preference);

impl Preference for Apart {
    const NAME: &'static str = "example/apart";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("apart")]
    }

    fn compile(_: &str, argument: &str, _: &Settings) -> Result<Self, Problem> {
        let (other, key) = argument.split_once('@').unwrap_or((argument, "node.hostname"));
        let column = node_column(key).ok_or_else(|| {
            problem("bad-column", format!("'{key}' is no attribute of a node"))
                .at(argument, key)
                .hint("try apart=db@node.labels.rack")
        })?;
        // `KEY=VALUE` names all services with that label.
        let load = match other.split_once('=') {
            _ if other.is_empty() => {
                let hint = "try apart=db@node.labels.rack";
                return Err(problem("no-service", "the other service is missing").hint(hint));
            }
            Some((key, value)) => format!("tasks.label.{key}={value}"),
            None => format!("service.{other}.tasks"),
        };
        Ok(Apart { load, column, other: other.to_owned() })
    }

    fn bins(&self) -> Bins {
        Bins::ByColumn(self.column.clone())
    }

    fn loads(&self) -> Vec<String> {
        vec![self.load.clone()]
    }

    fn share(&self, ask: &Question, settings: &Settings) -> Share {
        let mut share = ask.share();
        let mut others: Vec<u64> = ask.bins.iter().map(|bin| bin.load(0) as u64).collect();
        others.sort_unstable();
        others.dedup();
        // The bins without the other's tasks first, evenly; then those with the fewest.
        for others in others.into_iter().take_while(|n| *n == 0 || !settings.strict) {
            let mut here = ask.share();
            let closed = |bin: usize| ask.bins[bin].load(0) as u64 != others;
            here.level(
                |bin| if closed(bin) { u32::MAX } else { ask.bins[bin].service_tasks },
                u32::MAX - 1,
            );
            for bin in 0..ask.bins.len() {
                share.give(bin, here.given(bin));
            }
        }
        for bin in 0..ask.bins.len() {
            if share.left() > 0 && share.room(bin) > 0 {
                share.refuse(bin, format!("{} runs there", self.other));
            }
        }
        share
    }
}
