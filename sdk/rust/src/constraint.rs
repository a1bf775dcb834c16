//! Placement constraints: `--constraint EXPR`.

use std::marker::PhantomData;

use crate::raw::constraint::{Compiled, NOT_SATISFIED, Plan};
use crate::raw::{self, Metadata, Tuples};
use crate::{Claim, ColumnRef, Options, Package, Problem, Row};

/// Decides which nodes may run a task. A value is one expression, read.
pub trait Constraint: Package + Sized {
    /// `publisher/name`.
    const NAME: &'static str;

    /// What operators may set with `--policy-opt`; `()` for nothing.
    type Options: Options;

    /// Which expressions come here.
    fn claims() -> Vec<Claim>;

    /// Reads an expression; a problem refuses the service.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    fn compile(expression: &str, options: &Self::Options) -> Result<Self, Problem>;

    /// How the host gets verdicts. All but [`Plan::Ask`] cost no further call.
    fn plan(&self) -> Plan {
        Plan::Ask
    }

    /// The node attributes that [`Constraint::matches`] looks at: its columns 0, 1, …
    fn reads(&self) -> Vec<ColumnRef> {
        Vec::new()
    }

    /// Whether nodes with these values pass. Asked once per combination of values
    /// in the cluster, not once per node; the host keeps the verdict for good.
    fn matches(&self, node: &Row<'_>, options: &Self::Options) -> bool {
        let _ = (node, options);
        true
    }

    /// What a pending task says, as `REASON on 12 nodes`.
    fn reason(&self) -> String {
        NOT_SATISFIED.to_owned()
    }
}

#[doc(hidden)]
pub struct Lifted<P>(PhantomData<P>);

impl<P: Constraint> raw::Plugin for Lifted<P> {
    fn describe() -> Metadata {
        crate::package::describe::<P, P::Options>(P::NAME, P::claims(), Vec::new())
    }
}

impl<P: Constraint> raw::Constraint for Lifted<P> {
    fn compile(expression: &str, options: &raw::Options) -> Result<Compiled, Vec<Problem>> {
        let compiled = P::compile(expression, &P::Options::read(options))?;
        let plan = compiled.plan();
        let reads = if plan == Plan::Ask { compiled.reads() } else { Vec::new() };
        Ok(Compiled { plan, reads, reason: compiled.reason() })
    }

    fn test(expression: &str, options: &raw::Options, rows: &Tuples) -> Vec<bool> {
        let options = P::Options::read(options);
        let compiled = P::compile(expression, &options);
        let verdict = |row: Row<'_>| compiled.as_ref().is_ok_and(|c| c.matches(&row, &options));
        rows.each().map(verdict).collect()
    }
}
