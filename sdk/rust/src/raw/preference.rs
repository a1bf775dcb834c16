//! Placement preferences: `--placement-pref NAME=ARGUMENT`.

use std::marker::PhantomData;
use std::ops::Range;

use super::{ColumnRef, OptionEntry, Options, Problem, Tuples};

#[doc(hidden)]
#[allow(missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package swarmw:sdk; world preference { export swarmw:preference/preference@0.1.0; }",
        world: "swarmw:sdk/preference",
        with: {
            "swarmw:types/types@0.1.0": crate::raw::bindings::types,
        },
        additional_derives: [PartialEq, Clone],
        runtime_path: "crate::rt",
        pub_export_macro: true,
        generate_all,
    });
}

use bindings::exports::swarmw::preference::preference as wit;
pub use wit::{Allocation, Bins, Class, CompiledInfo as Compiled, Questions, Refusal};

/// Decides how the tasks of a service are shared out over bins of nodes.
pub trait Preference {
    /// Reads the argument; problems refuse the service.
    fn compile(name: &str, argument: &str, options: &Options) -> Result<Compiled, Vec<Problem>>;

    /// One class per row; not called for [`Bins::ByColumn`].
    fn classify(name: &str, argument: &str, options: &Options, rows: &Tuples) -> Vec<Class> {
        let _ = (name, argument, options);
        let class = Class { label: String::new(), weight: 0.0 };
        vec![class; rows.rows as usize]
    }

    /// Tasks per bin, for many services at once.
    fn allocate(name: &str, argument: &str, options: &Options, ask: &Questions) -> Allocation;
}

impl Compiled {
    /// One bin per value of a node column.
    pub fn by_column(column: impl Into<String>) -> Self {
        Self { bins: Bins::ByColumn(column.into()), reads: Vec::new(), loads: Vec::new() }
    }

    /// One bin per label that `classify` gives for these columns.
    pub fn by_class(reads: Vec<ColumnRef>) -> Self {
        Self { bins: Bins::ByClass, reads, loads: Vec::new() }
    }

    /// Adds a row to [`Questions::extra`], such as `node.free.memory`.
    pub fn load(mut self, name: &str) -> Self {
        self.loads.push(name.to_owned());
        self
    }
}

impl Questions {
    /// Each question: how many tasks, and the range of its bins.
    pub fn each(&self) -> impl Iterator<Item = (u32, Range<usize>)> {
        self.tasks.iter().enumerate().map(|(q, tasks)| {
            let start = self.first.get(q).copied().unwrap_or(0) as usize;
            let end = self.first.get(q + 1).map_or(self.room.len(), |e| *e as usize);
            (*tasks, start..end)
        })
    }
}

#[doc(hidden)]
pub struct Adapter<P>(PhantomData<P>);

impl<P: Preference> wit::Guest for Adapter<P> {
    fn compile(
        name: String,
        argument: String,
        options: Vec<OptionEntry>,
    ) -> Result<Compiled, Vec<Problem>> {
        P::compile(&name, &argument, &Options::new(options))
    }

    fn classify(
        name: String,
        argument: String,
        options: Vec<OptionEntry>,
        batch: Tuples,
    ) -> Vec<Class> {
        P::classify(&name, &argument, &Options::new(options), &batch)
    }

    fn allocate(
        name: String,
        argument: String,
        options: Vec<OptionEntry>,
        ask: Questions,
    ) -> Allocation {
        P::allocate(&name, &argument, &Options::new(options), &ask)
    }
}
