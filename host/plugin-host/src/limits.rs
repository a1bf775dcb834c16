//! What one plugin may hold, all its memories and tables together.

use wasmtime::ResourceLimiter;

use crate::engine::{INSTANCES, MEMORIES, MEMORY, TABLE_ELEMENTS, TABLES};

/// Counts what the instances of a store hold.
#[derive(Default)]
pub struct Limits {
    memory: usize,
    elements: usize,
}

/// A plugin wanted more than it gets.
#[derive(Debug, thiserror::Error)]
#[error("wanted more than {most} {what}")]
pub struct OverLimit {
    most: usize,
    what: &'static str,
}

// === impl Limits ===

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.memory = grown(self.memory, current, desired, MEMORY)
            .ok_or(OverLimit { most: MEMORY >> 20, what: "MiB of memory" })?;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.elements = grown(self.elements, current, desired, TABLE_ELEMENTS)
            .ok_or(OverLimit { most: TABLE_ELEMENTS, what: "elements of tables" })?;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

/// What is held after one of several grew, unless that is more than `most`.
fn grown(held: usize, current: usize, desired: usize, most: usize) -> Option<usize> {
    let more = desired.saturating_sub(current);
    held.checked_add(more).filter(|all| *all <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_together_are_bounded() {
        let mut limits = Limits::default();
        assert!(limits.memory_growing(0, MEMORY / 2, None).is_ok());
        assert!(limits.memory_growing(0, MEMORY / 2, None).is_ok(), "another memory");
        let said = limits.memory_growing(MEMORY / 2, MEMORY / 2 + 1, None);
        assert_eq!(said.expect_err("full").to_string(), "wanted more than 64 MiB of memory");
        assert!(limits.table_growing(0, TABLE_ELEMENTS + 1, None).is_err());
        assert!(limits.memory_growing(0, usize::MAX, None).is_err());
    }
}
