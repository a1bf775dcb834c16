//! The interface as the host knows it: nothing to translate.

use wasmtime::Store;

use super::ConstraintCalls;
use crate::bindings::ConstraintPlugin;
use crate::bindings::constraint::exports::swarmw::constraint::constraint as wit_c;
use crate::bindings::types::{OptionEntry, Problem, Tuples};
use crate::sandbox::Guest;

impl ConstraintCalls for ConstraintPlugin {
    fn compile(
        &self,
        store: &mut Store<Guest>,
        expression: &str,
        options: &[OptionEntry],
    ) -> wasmtime::Result<Result<wit_c::CompiledInfo, Vec<Problem>>> {
        self.swarmw_constraint_constraint().call_compile(store, expression, options)
    }

    fn test(
        &self,
        store: &mut Store<Guest>,
        expression: &str,
        options: &[OptionEntry],
        batch: &Tuples,
    ) -> wasmtime::Result<Vec<bool>> {
        self.swarmw_constraint_constraint().call_test(store, expression, options, batch)
    }
}
