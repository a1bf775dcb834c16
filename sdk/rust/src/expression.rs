//! Reading expressions of the form `name(argument, …)`.

use crate::{Problem, problem};

/// The arguments of `name(…)`, trimmed; as many as the pattern on the left takes:
/// `let [place, radius] = call("near", expression)?;`. Each is a slice of the
/// expression, so that [`Problem::at`] finds it.
///
/// # Errors
/// Another name, a parenthesis missing, or another number of arguments.
pub fn call<'a, const N: usize>(name: &str, expression: &'a str) -> Result<[&'a str; N], Problem> {
    let form = |message: String| {
        let arguments = vec!["…"; N].join(", ");
        problem("bad-call", message).at_all(expression).hint(format!("try {name}({arguments})"))
    };
    let text = expression.trim();
    let inside = text.strip_prefix(name).map(str::trim_start).and_then(|rest| {
        let rest = rest.strip_prefix('(')?;
        rest.strip_suffix(')')
    });
    let Some(inside) = inside else {
        return Err(form(format!("'{expression}' is not of the form {name}(…)")));
    };
    let found: Vec<&str> = match inside.trim() {
        "" => Vec::new(),
        _ => inside.split(',').map(str::trim).collect(),
    };
    if let Some(at) = found.iter().position(|argument| argument.is_empty()) {
        return Err(form(format!("argument {} of {name} is empty", at + 1)));
    }
    let count = found.len();
    found.try_into().map_err(|_| form(format!("{name} takes {N} arguments, not {count}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_slices_of_the_expression() {
        let text = "near( 51.5 ,-0.1,50km)";
        assert_eq!(call("near", text), Ok(["51.5", "-0.1", "50km"]));
        assert_eq!(call("f", "f()"), Ok([""; 0]));
        let [_, place, _] = call("near", text).expect("three");
        let at = problem("x", "x").at(text, place).at.expect("its place");
        assert_eq!(&text[at.start as usize..at.end as usize], "-0.1");
    }

    #[test]
    fn what_is_wrong_is_told_with_the_form() {
        for (text, message) in [
            ("far(1)", "'far(1)' is not of the form near(…)"),
            ("near(1", "'near(1' is not of the form near(…)"),
            ("near(1)", "near takes 2 arguments, not 1"),
            ("near()", "near takes 2 arguments, not 0"),
            ("near(, 4)", "argument 1 of near is empty"),
            ("near(4, )", "argument 2 of near is empty"),
        ] {
            let problem = call::<2>("near", text).expect_err(text);
            assert_eq!(
                (problem.message.as_str(), problem.hint.as_deref()),
                (message, Some("try near(…, …)"))
            );
        }
    }
}
