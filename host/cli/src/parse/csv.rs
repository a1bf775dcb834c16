//! One record of comma-separated values, as RFC 4180 quotes them.

/// Splits one line into its fields; a field in double quotes may hold commas,
/// and quotes when doubled.
pub(crate) fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let mut field = String::new();
    let mut chars = line.chars().peekable();
    loop {
        if chars.peek() == Some(&'"') {
            chars.next();
            quoted(&mut chars, &mut field)?;
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                if c == '"' {
                    return Err("parse error on line 1: bare \" in non-quoted field".to_owned());
                }
                field.push(c);
            }
        }
        all.push(std::mem::take(&mut field));
        if chars.next().is_none() {
            return Ok(all);
        }
    }
}

fn quoted(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    field: &mut String,
) -> Result<(), String> {
    loop {
        match chars.next() {
            Some('"') if chars.next_if_eq(&'"').is_some() => field.push('"'),
            Some('"') => break,
            Some(c) => field.push(c),
            None => {
                return Err(
                    "parse error on line 1: extraneous or missing \" in quoted-field".into()
                );
            }
        }
    }
    match chars.peek() {
        None | Some(',') => Ok(()),
        Some(_) => Err("parse error on line 1: extraneous or missing \" in quoted-field".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn quotes_hold_commas_and_quotes() {
        for (line, want) in [
            ("a=1,b=2", vec!["a=1", "b=2"]),
            (r#"a,"b=x,y",c"#, vec!["a", "b=x,y", "c"]),
            (r#""say ""hi""""#, vec![r#"say "hi""#]),
            ("a,,b", vec!["a", "", "b"]),
            ("a,", vec!["a", ""]),
        ] {
            assert_eq!(fields(line).expect(line), want, "{line}");
        }
        for line in [r#"a"b"#, r#""open"#, r#""a"b"#] {
            assert!(fields(line).is_err(), "{line}");
        }
    }
}
