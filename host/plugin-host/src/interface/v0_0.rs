//! The made-up 0.0, translated to 0.1: plans and options came with 0.1, verdicts were
//! packed into words, and the log had no levels.

use swarmw_model::{LineLevel, PluginClaim, PluginMetadata};
use wasmtime::Store;
use wasmtime::component::{Component, HasSelf, Linker};

use self::old::exports::swarmw::constraint::constraint as wit;
use self::old::swarmw::types::{host, types};
use super::ConstraintCalls;
use crate::bindings::constraint::exports::swarmw::constraint::constraint as wit_c;
use crate::bindings::types::{
    Cells, Column, ColumnRef, ColumnType, OptionEntry, Problem, Span, Tuples,
};
use crate::sandbox::Guest;

mod old {
    #![allow(missing_docs)]
    wasmtime::component::bindgen!({
        path: "tests/golden/0.0/wit",
        world: "swarmw:constraint/constraint-plugin@0.0.0",
    });
}

impl types::Host for Guest {}

impl host::Host for Guest {
    fn log(&mut self, message: String) {
        self.write(LineLevel::Info, &message);
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    host::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

pub(super) fn describe(
    store: &mut Store<Guest>,
    component: &Component,
    linker: &Linker<Guest>,
) -> wasmtime::Result<(String, PluginMetadata)> {
    let plugin = old::ConstraintPlugin::instantiate(&mut *store, component, linker)?;
    let said = plugin.swarmw_types_plugin().call_describe(store)?;
    let claim = |claim| match claim {
        types::Claim::Key(key) => PluginClaim::Key(key),
        types::Claim::KeyPrefix(prefix) => PluginClaim::KeyPrefix(prefix),
    };
    let metadata = PluginMetadata {
        version: said.version,
        summary: said.summary,
        claims: said.claims.into_iter().map(claim).collect(),
        options: Vec::new(),
        grants: Vec::new(),
    };
    Ok((said.name, metadata))
}

pub(super) fn constraint(
    store: &mut Store<Guest>,
    component: &Component,
    linker: &Linker<Guest>,
) -> wasmtime::Result<Box<dyn ConstraintCalls>> {
    Ok(Box::new(old::ConstraintPlugin::instantiate(store, component, linker)?))
}

impl ConstraintCalls for old::ConstraintPlugin {
    fn compile(
        &self,
        store: &mut Store<Guest>,
        expression: &str,
        _options: &[OptionEntry],
    ) -> wasmtime::Result<Result<wit_c::CompiledInfo, Vec<Problem>>> {
        let end = expression.len() as u32;
        let column = |name| ColumnRef { name, read_as: ColumnType::Text };
        let info = |info: wit::CompiledInfo| wit_c::CompiledInfo {
            plan: wit_c::Plan::Ask,
            reads: info.reads.into_iter().map(column).collect(),
            reason: info.reason,
        };
        let problem = |said: wit::Problem| Problem {
            code: "refused".to_owned(),
            message: said.message,
            option_name: None,
            at: said.start.map(|start| Span { start, end }),
            hint: None,
        };
        let said = self.swarmw_constraint_constraint().call_compile(store, expression)?;
        Ok(said.map(info).map_err(|said| said.into_iter().map(problem).collect()))
    }

    fn test(
        &self,
        store: &mut Store<Guest>,
        expression: &str,
        _options: &[OptionEntry],
        batch: &Tuples,
    ) -> wasmtime::Result<Vec<bool>> {
        let old =
            wit::Tuples { rows: batch.rows, columns: batch.columns.iter().map(texts).collect() };
        let said = self.swarmw_constraint_constraint().call_test(store, expression, &old)?;
        // Words too few or too many are told as verdicts too few or too many.
        let words = (batch.rows as usize).div_ceil(64);
        let bits = if said.len() == words { batch.rows as usize } else { said.len() * 64 };
        Ok((0..bits).map(|row| said[row / 64] >> (row % 64) & 1 == 1).collect())
    }
}

fn texts(column: &Column) -> types::Column {
    let mut present = vec![0; column.present.len().div_ceil(64)];
    for (row, _) in column.present.iter().enumerate().filter(|(_, present)| **present) {
        present[row / 64] |= 1 << (row % 64);
    }
    let cells = match &column.cells {
        Cells::Text(texts) => texts.clone(),
        // It asks for texts alone.
        _ => vec![String::new(); column.present.len()],
    };
    types::Column { present, cells }
}
