//! `#[derive(Choice)]`.

use std::fmt::Write as _;

use crate::input::{Body, Error, Input};

pub fn expand(input: &Input) -> Result<String, Error> {
    let Body::Enum(variants) = &input.body else {
        return Err(Error::new(input.span, "Choice is for an enum without fields"));
    };
    let name = &input.name;
    let (mut words, mut arms) = (String::new(), String::new());
    for variant in variants {
        let word = dashed(variant);
        // Writing to a String cannot fail.
        let _ = write!(words, "{word:?}, ");
        let _ = write!(arms, "{word:?} => ::core::option::Option::Some(Self::{variant}), ");
    }
    Ok(format!(
        "impl ::swarmw_sdk::Choice for {name} {{
            fn words() -> ::std::vec::Vec<&'static str> {{ ::std::vec![{words}] }}
            fn of_word(word: &str) -> ::core::option::Option<Self> {{
                match word {{ {arms} _ => ::core::option::Option::None }}
            }}
        }}
        impl ::swarmw_sdk::OptionField for {name} {{
            fn ty() -> ::swarmw_sdk::OptionType {{
                let words = <Self as ::swarmw_sdk::Choice>::words();
                ::swarmw_sdk::OptionType::Choice(
                    words.into_iter().map(::std::borrow::ToOwned::to_owned).collect())
            }}
            fn read(value: &::swarmw_sdk::OptionValue) -> ::core::option::Option<Self> {{
                match value {{
                    ::swarmw_sdk::OptionValue::Text(word) =>
                        <Self as ::swarmw_sdk::Choice>::of_word(word),
                    _ => ::core::option::Option::None,
                }}
            }}
        }}"
    ))
}

/// `StartFirst` as `start-first`.
pub fn dashed(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        match c {
            '_' => out.push('-'),
            c if c.is_uppercase() => {
                if at > 0 {
                    out.push('-');
                }
                out.extend(c.to_lowercase());
            }
            c => out.push(c),
        }
    }
    out
}
