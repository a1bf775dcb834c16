//! Builders for what is wrong with what an operator typed.

use crate::raw::{Problem, Span};

/// A problem: a stable code such as `bad-operator`, and one line for people.
pub fn problem(code: &str, message: impl Into<String>) -> Problem {
    Problem {
        code: code.to_owned(),
        message: message.into(),
        option_name: None,
        at: None,
        hint: None,
    }
}

impl Problem {
    /// Puts the caret under `part`, which must be a slice of `whole`.
    pub fn at(mut self, whole: &str, part: &str) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        if start <= whole.len() && start + part.len() <= whole.len() {
            self.at = Some(Span { start: start as u32, end: (start + part.len()) as u32 });
        }
        self
    }

    /// Puts the caret under all of `text`.
    pub fn at_all(self, text: &str) -> Self {
        self.at(text, text)
    }

    /// What to type instead.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// It is this option that is wrong.
    pub fn of_option(mut self, name: &str) -> Self {
        self.option_name = Some(name.to_owned());
        self
    }
}

/// So that `?` and `.into()` make the list that the traits return.
impl From<Problem> for Vec<Problem> {
    fn from(problem: Problem) -> Self {
        vec![problem]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_is_the_place_of_the_slice() {
        let whole = "node.id=x";
        let at = problem("a", "b").at(whole, &whole[7..8]).at;
        assert_eq!(at.map(|s| (s.start, s.end)), Some((7, 8)));
    }

    #[test]
    fn a_text_from_elsewhere_has_no_span() {
        let whole = String::from("node.id=x");
        let elsewhere = String::from("y");
        assert!(problem("a", "b").at(&whole, &elsewhere).at.is_none());
    }
}
