//! `{{word}}(KEY, LEAST)`: nodes whose label KEY is a number of at least LEAST.

use swarmw_sdk::*;

/// One expression, read.
struct {{Type}} {
    column: String,
    least: f64,
}

/// What operators may set: `--policy-opt {{name}}.OPTION=VALUE`.
#[derive(Options)]
struct Settings {
    /// whether nodes without the label pass
    #[option(default = "false")]
    absent: bool,
}

export!({{Type}}: Constraint);

impl Constraint for {{Type}} {
    const NAME: &'static str = "{{publisher}}/{{name}}";
    type Options = Settings;

    fn claims() -> Vec<Claim> {
        vec![Claim::call("{{word}}")]
    }

    fn compile(expression: &str, _: &Settings) -> Result<Self, Problem> {
        let [key, least] = call("{{word}}", expression)?;
        let least = least.parse().map_err(|_| {
            problem("bad-number", format!("'{least}' is no number"))
                .at(expression, least)
                .hint("try {{word}}(KEY, 4)")
        })?;
        Ok({{Type}} { column: format!("node.labels.{key}"), least })
    }

    fn reads(&self) -> Vec<ColumnRef> {
        vec![column(&self.column, ColumnType::Number)]
    }

    fn matches(&self, node: &Row<'_>, settings: &Settings) -> bool {
        node.number(0).map_or(settings.absent, |value| value >= self.least)
    }

    fn reason(&self) -> String {
        format!("{} is below {}", self.column, self.least)
    }
}
