//! One text as a list of words, as a shell splits it: `--entrypoint`, `--args`.

/// Where a text ends too early, in Docker's words.
const QUOTE: &str = "when expecting closing quote";

/// Words that were typed as one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) Vec<String>);

/// Splits at blanks outside quotes; a backslash takes the next character as it is.
pub(crate) fn words(text: &str) -> Result<Words, String> {
    let mut all = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    let unfinished = |what: &str| format!("EOF found {what}");
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => all.extend(word.take()),
            '\\' => {
                let next = chars.next().ok_or_else(|| unfinished("after escape character"))?;
                word.get_or_insert_default().push(next);
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(|| unfinished(QUOTE))? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(|| unfinished(QUOTE))? {
                        '"' => break,
                        '\\' => match chars.next().ok_or_else(|| unfinished(QUOTE))? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    all.extend(word);
    Ok(Words(all))
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn splits_as_a_shell_does() {
        for (text, want) in [
            ("", vec![]),
            ("ping  docker.com", vec!["ping", "docker.com"]),
            (r#"sh -c "echo \"a b\"""#, vec!["sh", "-c", r#"echo "a b""#]),
            (r"a\ b 'c\d' ''", vec!["a b", r"c\d", ""]),
            ("x'y'\"z\"", vec!["xyz"]),
        ] {
            assert_eq!(words(text).expect(text).0, want, "{text}");
        }
        for (text, want) in [
            ("'", "EOF found when expecting closing quote"),
            ("\"a", "EOF found when expecting closing quote"),
            ("a\\", "EOF found after escape character"),
        ] {
            assert_eq!(words(text).unwrap_err(), want, "{text}");
        }
    }
}
