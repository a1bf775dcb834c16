//! What `secret …` and `config …` have in common.

mod list;
mod pretty;
mod rotate;

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;
use swarmw_model::{DataReference, DataSpec, Driver, Filters};

use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::filter::collect;
use crate::flags::{InspectFlags, ListFlags};
use crate::inspect::{self as inspected, Look};
use crate::io::Io;
use crate::parse::map;
use crate::shape::Type;

pub use rotate::RotateArgs;
pub(crate) use rotate::rotate;

/// What tells secrets and configs apart here.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// The word in messages.
    pub(crate) word: &'static str,
    /// Where the API has them.
    pub(crate) path: &'static str,
    /// Whether its list has a column for drivers.
    pub(crate) has_driver: bool,
    /// What Docker's client holds one in.
    pub(crate) shape: &'static Type,
    /// Where the configuration has the format of its list.
    pub(crate) format: &'static str,
}

/// One to be made.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) name: String,
    pub(crate) labels: Vec<String>,
    pub(crate) driver: String,
    pub(crate) template_driver: String,
    /// `-` for standard input; empty for none.
    pub(crate) file: String,
}

/// `create`
pub(crate) async fn create(
    client: &Client,
    kind: &Kind,
    new: New,
    io: &mut Io,
) -> Result<(), Failure> {
    let data = read(&new.file).map_err(|error| {
        // Docker's client says it so, and differently for the two.
        let what = format!("error reading from {}: {error}", new.file);
        Failure::new(match kind.has_driver {
            true => what,
            false => format!("Error reading content from {:?}: {what}", new.file),
        })
    })?;
    let named = |name: String| (!name.is_empty()).then(|| Driver { name, ..Driver::default() });
    let spec = DataSpec {
        name: new.name,
        labels: map(&new.labels),
        data: data.into(),
        driver: named(new.driver),
        templating: named(new.template_driver),
    };
    let made: Value = client.post(format!("{}/create", kind.path)).json(&spec)?.read().await?;
    io.line(made["ID"].as_str().unwrap_or_default())?;
    Ok(())
}

pub(super) fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let path = Path::new(file);
    match file {
        "" => Ok(Vec::new()),
        "-" => {
            let mut data = Vec::new();
            std::io::stdin().lock().read_to_end(&mut data)?;
            Ok(data)
        }
        _ => std::fs::read(path).map_err(|error| Failure::opening(path, &error)),
    }
}

/// `inspect`
pub(crate) async fn inspect(
    client: &Client,
    kind: &Kind,
    references: &[String],
    show: &InspectFlags,
    io: &mut Io,
) -> Result<(), Failure> {
    let path = |reference: &String| format!("{}/{}", kind.path, segment(reference));
    if !show.is_pretty() {
        let objects = references.iter().map(|reference| (reference.clone(), path(reference)));
        let format = show.format.as_deref();
        let look = Look::typed_or_raw(kind.shape);
        return inspected::raw(client, objects, format, look, io, |_, error| error.into()).await;
    }
    let mut missed = Vec::new();
    for reference in references {
        match client.get(path(reference)).read::<Value>().await {
            Ok(found) => io.text(&pretty::show(kind, &found))?,
            Err(error) if error.is_not_found() => missed.push(error.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Failure::join(missed).map_or(Ok(()), Err)
}

/// `ls`
pub(crate) async fn ls(
    client: &Client,
    kind: &Kind,
    flags: &ListFlags,
    io: &mut Io,
) -> Result<(), Failure> {
    let listed = fetch(client, kind, &collect(&flags.filter)).await?;
    let format = flags.format(kind.format)?;
    io.text(&list::show(kind, listed, format.as_deref(), flags.quiet)?)?;
    Ok(())
}

/// `rm`
pub(crate) async fn rm(
    client: &Client,
    kind: &Kind,
    references: &[String],
    io: &mut Io,
) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for reference in references {
        let path = format!("{}/{}", kind.path, segment(reference));
        match client.delete(path).fetch().await {
            Ok(_) => io.line(reference)?,
            Err(error) => failed.push(error.into()),
        }
    }
    Failure::join(failed).map_or(Ok(()), Err)
}

/// Puts the ids of what references name into them: a service's spec has both.
pub(crate) async fn resolve<R: DataReference>(
    client: &Client,
    kind: &Kind,
    references: &mut [R],
    set: impl Fn(&mut R, String),
) -> Result<(), Failure> {
    if references.is_empty() {
        return Ok(());
    }
    let mut filters = Filters::default();
    let mut targets = std::collections::BTreeSet::new();
    for reference in references.iter() {
        let target = reference.file().map(|file| &file.name);
        if !targets.insert(target.cloned()) {
            return Err(Failure::new(format!(
                "duplicate {} target for {} not allowed",
                kind.word,
                reference.name()
            )));
        }
        filters.add("name", reference.name());
    }
    let found = fetch(client, kind, &filters).await?;
    for reference in references {
        let is_it = |found: &&Value| found["Spec"]["Name"] == reference.name();
        let id = found.iter().find(is_it).and_then(|found| found["ID"].as_str());
        let id = id.ok_or_else(|| {
            Failure::new(format!("{} not found: {}", kind.word, reference.name()))
        })?;
        set(reference, id.to_owned());
    }
    Ok(())
}

async fn fetch(client: &Client, kind: &Kind, filters: &Filters) -> Result<Vec<Value>, Failure> {
    let mut call = client.get(kind.path);
    if !filters.is_empty() {
        call = call.query("filters", filters.to_json());
    }
    Ok(call.read().await?)
}
