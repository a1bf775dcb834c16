//! `--placement-pref binpack=memory` fills the fullest node that still fits before
//! it opens the next, so that whole nodes stay free for what is large.

use swarmw_sdk::*;

struct Binpack {
    load: &'static str,
}

#[derive(Options)]
struct Settings {
    /// tasks of one service on one node at the most
    #[option(default = "1000000", min = 1)]
    most: u32,
}

export!(Binpack: Preference);

impl Preference for Binpack {
    const NAME: &'static str = "example/binpack";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::name("binpack")]
    }

    fn compile(_: &str, argument: &str, _: &Settings) -> Result<Self, Problem> {
        let load = match argument {
            "memory" => "node.free.memory",
            "cpu" => "node.free.cpu",
            _ => {
                let message = format!("'{argument}' is not what tasks reserve");
                return Err(problem("bad-resource", message)
                    .at_all(argument)
                    .hint("try binpack=memory or binpack=cpu"));
            }
        };
        Ok(Binpack { load })
    }

    fn bins(&self) -> Bins {
        Bins::EachNode
    }

    fn loads(&self) -> Vec<String> {
        vec![self.load.to_owned()]
    }

    fn share(&self, ask: &Question, settings: &Settings) -> Share {
        let mut order: Vec<usize> = (0..ask.bins.len()).collect();
        // Least free first; of equals the first, so that the same node is filled up.
        order.sort_by(|a, b| ask.bins[*a].load(0).total_cmp(&ask.bins[*b].load(0)));
        let mut share = ask.share();
        for bin in order {
            share.give(bin, settings.most.saturating_sub(ask.bins[bin].service_tasks));
        }
        share
    }
}
