//! Values told by small numbers.

/// Distinct values and their codes, few enough to be searched in order of use.
pub(crate) struct Dictionary<T> {
    values: Vec<T>,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self { values: Vec::new() }
    }
}

impl<T: Clone + Eq> Dictionary<T> {
    /// The code of a value.
    pub(crate) fn code(&mut self, value: &T) -> u32 {
        let known = self.values.iter().position(|v| v == value);
        known.unwrap_or_else(|| {
            self.values.push(value.clone());
            self.values.len() - 1
        }) as u32
    }

    /// The value of a code.
    pub(crate) fn get(&self, code: u32) -> Option<&T> {
        self.values.get(code as usize)
    }

    /// How many distinct values there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// One verdict per code.
    pub(crate) fn judge(&self, pass: impl Fn(&T) -> bool) -> Vec<bool> {
        self.values.iter().map(pass).collect()
    }
}
