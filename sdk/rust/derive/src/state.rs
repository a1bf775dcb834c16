//! `#[derive(State)]`.

use std::fmt::Write as _;

use crate::input::{Body, Error, Field, Input};

/// An enum's variant is one byte.
const VARIANTS_MAX: usize = 256;

pub fn expand(input: &Input) -> Result<String, Error> {
    let (save, load) = match &input.body {
        Body::Struct(fields) => of_struct(fields),
        Body::Enum(variants) if variants.len() > VARIANTS_MAX => {
            return Err(Error::new(input.span, format!("at most {VARIANTS_MAX} variants")));
        }
        Body::Enum(variants) => of_enum(variants),
    };
    let name = &input.name;
    Ok(format!(
        "impl ::swarmw_sdk::State for {name} {{
            fn save(&self, out: &mut ::std::vec::Vec<u8>) {{ let _ = &out; {save} }}
            fn load(bytes: &mut &[u8]) -> ::core::option::Option<Self> {{ let _ = &bytes; {load} }}
        }}"
    ))
}

fn of_struct(fields: &[Field]) -> (String, String) {
    let (mut save, mut load) = (String::new(), String::new());
    for Field { name, ty, .. } in fields {
        // Writing to a String cannot fail.
        let _ = write!(save, "<{ty} as ::swarmw_sdk::State>::save(&self.{name}, out);");
        let _ = write!(load, "{name}: <{ty} as ::swarmw_sdk::State>::load(bytes)?,");
    }
    (save, format!("::core::option::Option::Some(Self {{ {load} }})"))
}

fn of_enum(variants: &[String]) -> (String, String) {
    let (mut save, mut load) = (String::new(), String::new());
    for (at, variant) in variants.iter().enumerate() {
        let _ = write!(save, "Self::{variant} => {at}u8,");
        let _ = write!(load, "{at}u8 => ::core::option::Option::Some(Self::{variant}),");
    }
    (
        format!("let byte = match self {{ {save} }}; ::swarmw_sdk::State::save(&byte, out);"),
        format!(
            "match <u8 as ::swarmw_sdk::State>::load(bytes)? {{ {load} _ => ::core::option::Option::None }}"
        ),
    )
}
