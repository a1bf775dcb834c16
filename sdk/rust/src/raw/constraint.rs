//! Placement constraints: `--constraint EXPR`.

use std::marker::PhantomData;

use super::{ColumnRef, OptionEntry, Options, Problem, Tuples};

#[doc(hidden)]
#[allow(missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package swarmw:sdk; world constraint { export swarmw:constraint/constraint@0.1.0; }",
        world: "swarmw:sdk/constraint",
        with: {
            "swarmw:types/types@0.1.0": crate::raw::bindings::types,
        },
        additional_derives: [PartialEq, Clone],
        runtime_path: "crate::rt",
        pub_export_macro: true,
        generate_all,
    });
}

use bindings::exports::swarmw::constraint::constraint as wit;
pub use wit::{CompiledInfo as Compiled, Match, Plan};

/// What a pending task says when this is all there is to say.
pub const NOT_SATISFIED: &str = "scheduling constraints not satisfied";

/// Decides which nodes may run a task.
pub trait Constraint {
    /// Reads an expression; problems refuse the service.
    fn compile(expression: &str, options: &Options) -> Result<Compiled, Vec<Problem>>;

    /// One verdict per row; only for expressions whose plan is [`Plan::Ask`].
    /// Pure: the host keeps the verdicts.
    fn test(expression: &str, options: &Options, rows: &Tuples) -> Vec<bool> {
        let _ = (expression, options);
        vec![false; rows.rows as usize]
    }
}

impl Compiled {
    /// A plan that needs no call of `test`.
    pub fn plan(plan: Plan) -> Self {
        Self { plan, reads: Vec::new(), reason: NOT_SATISFIED.to_owned() }
    }

    /// `test` is called for each tuple of these columns not seen before.
    pub fn ask(reads: Vec<ColumnRef>) -> Self {
        Self { plan: Plan::Ask, reads, reason: NOT_SATISFIED.to_owned() }
    }

    /// What a pending task says, as `REASON on 12 nodes`.
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = reason.to_owned();
        self
    }
}

impl Match {
    /// A column against one value.
    pub fn one(column: impl Into<String>, value: impl Into<String>) -> Self {
        Self { column: column.into(), values: vec![value.into()] }
    }
}

#[doc(hidden)]
pub struct Adapter<P>(PhantomData<P>);

impl<P: Constraint> wit::Guest for Adapter<P> {
    fn compile(expression: String, options: Vec<OptionEntry>) -> Result<Compiled, Vec<Problem>> {
        P::compile(&expression, &Options::new(options))
    }

    fn test(expression: String, options: Vec<OptionEntry>, batch: Tuples) -> Vec<bool> {
        P::test(&expression, &Options::new(options), &batch)
    }
}
