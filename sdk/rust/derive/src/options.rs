//! `#[derive(Options)]`.

use std::fmt::Write as _;

use crate::choice::dashed;
use crate::input::{Body, Error, Field, Input};

pub fn expand(input: &Input) -> Result<String, Error> {
    let Body::Struct(fields) = &input.body else {
        return Err(Error::new(input.span, "Options is for a struct with named fields"));
    };
    let (mut specs, mut reads) = (String::new(), String::new());
    for field in fields {
        let option = Declared::of(field)?;
        let (name, help, ty) = (&option.name, &field.help, &field.ty);
        let default = match &option.default {
            Some(text) => format!("::core::option::Option::Some({text:?})"),
            None => "::core::option::Option::None".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = write!(
            specs,
            "::swarmw_sdk::__options::spec::<{ty}>({name:?}, {help:?},
                <{ty} as ::swarmw_sdk::OptionField>::ty(){}, {default}),",
            option.narrowed
        );
        let _ = write!(
            reads,
            "{}: ::swarmw_sdk::__options::field::<{ty}>(options, {name:?}),",
            field.name
        );
    }
    let name = &input.name;
    Ok(format!(
        "impl ::swarmw_sdk::Options for {name} {{
            fn specs() -> ::std::vec::Vec<::swarmw_sdk::OptionSpec> {{ ::std::vec![{specs}] }}
            fn read(options: &::swarmw_sdk::raw::Options) -> Self {{
                let _ = options;
                Self {{ {reads} }}
            }}
        }}"
    ))
}

/// What the field's attribute says.
struct Declared {
    name: String,
    default: Option<String>,
    /// Calls on the option's type.
    narrowed: String,
}

impl Declared {
    fn of(field: &Field) -> Result<Self, Error> {
        if field.help.is_empty() {
            let message =
                format!("option {} needs a doc comment: it is what --help shows", field.name);
            return Err(Error::new(field.span, message));
        }
        let mut option = Self { name: dashed(&field.name), default: None, narrowed: String::new() };
        for setting in &field.settings {
            let (key, value) = (setting.key.as_str(), &setting.value);
            match key {
                "name" => option.name.clone_from(value),
                "default" => option.default = Some(value.clone()),
                "min" | "max" => {
                    let number: i64 = value.replace('_', "").parse().map_err(|_| {
                        Error::new(setting.span, format!("{key} takes a whole number, not {value}"))
                    })?;
                    let call = if key == "min" { "from" } else { "up_to" };
                    let _ = write!(option.narrowed, ".{call}({number})");
                }
                _ => {
                    let message = format!("{key} is not one of name, default, min, max");
                    return Err(Error::new(setting.span, message));
                }
            }
        }
        Ok(option)
    }
}
