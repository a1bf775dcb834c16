//! Words of a line, and amounts.

use super::read;
use crate::OptionValue;
use crate::raw::OptionType;

/// Words apart by spaces; `"…"` keeps spaces in.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut any) = (false, false);
    for c in line.chars() {
        match c {
            '"' => (quoted, any) = (!quoted, true),
            c if c.is_whitespace() && !quoted => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => {
                word.push(c);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    words
}

/// `KEY=VALUE`.
pub fn pair(word: &str) -> Result<(String, String), String> {
    word.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("'{word}' is not of the form KEY=VALUE"))
}

/// A whole number.
pub fn whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is no whole number"))
}

/// `1m30s`, in milliseconds.
pub fn time(text: &str) -> Result<u64, String> {
    amount(&OptionType::Duration, text)
}

/// `64MiB`, in bytes.
pub fn size(text: &str) -> Result<u64, String> {
    amount(&OptionType::Size, text)
}

fn amount(ty: &OptionType, text: &str) -> Result<u64, String> {
    match read::option(ty, text) {
        Ok(OptionValue::Integer(value)) => Ok(value.unsigned_abs()),
        Ok(_) => Err(format!("'{text}' is no amount")),
        Err(want) => Err(format!("'{text}' is not {want}")),
    }
}
