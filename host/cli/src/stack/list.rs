//! `stack ls`

use std::collections::BTreeMap;

use swarmw_compose::NAMESPACE_LABEL;
use swarmw_model::Filters;

use crate::client::{Client, Service};
use crate::failure::Failure;
use crate::io::Io;
use crate::table::{Column, Format, List, Row, natural, render};

const LIST: List = List {
    of: "*formatter.stackContext",
    columns: &[
        Column { name: "Name", heading: "NAME" },
        Column { name: "Services", heading: "SERVICES" },
    ],
    shown: &["Name", "Services"],
    raw: &[],
};

/// `stack ls`
#[derive(clap::Args, Clone, Debug)]
#[command(args_override_self = true)]
pub struct LsArgs {
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
}

pub(super) async fn run(client: &Client, args: LsArgs, io: &mut Io) -> Result<(), Failure> {
    let mut filters = Filters::default();
    filters.add("label", NAMESPACE_LABEL);
    let services = client.services(&filters).await?;
    io.text(&show(&services, args.format.as_deref())?)?;
    Ok(())
}

/// Stacks are what services say that they belong to.
fn show(services: &[Service], format: Option<&str>) -> Result<String, Failure> {
    let mut stacks: BTreeMap<&str, usize> = BTreeMap::new();
    for service in services {
        if let Some(name) = service.spec.labels.get(NAMESPACE_LABEL) {
            *stacks.entry(name).or_default() += 1;
        }
    }
    let mut stacks: Vec<_> = stacks.into_iter().collect();
    stacks.sort_by(|a, b| natural(a.0, b.0));
    let row = |(name, count): (&str, usize)| {
        Row::from([
            ("Name".to_owned(), name.into()),
            ("Services".to_owned(), count.to_string().into()),
        ])
    };
    let rows: Vec<Row> = stacks.into_iter().map(row).collect();
    render(&Format::new(format, false), &LIST, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(stack: &str) -> Service {
        let mut service = Service::default();
        service.spec.labels.insert(NAMESPACE_LABEL.to_owned(), stack.to_owned());
        service
    }

    #[test]
    fn stacks_are_counted_and_in_natural_order() {
        let services = ["web10", "web2", "web10", "db"].map(service);
        assert_eq!(
            show(&services, None).expect("a table"),
            "NAME      SERVICES\ndb        1\nweb2      1\nweb10     2\n"
        );
        assert_eq!(
            show(&services, Some("json")).expect("lines").lines().next(),
            Some(r#"{"Name":"db","Services":"1"}"#)
        );
        assert_eq!(show(&[], None).expect("a table"), "NAME      SERVICES\n");
    }
}
