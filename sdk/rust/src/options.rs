//! Options of a plugin as a struct: `#[derive(Options)]`.

use std::time::Duration;

use crate::raw;
use crate::raw::IntRange;
use crate::{OptionSpec, OptionType, OptionValue};

/// What operators may set with `--policy-opt`. Derived on a struct of named fields:
/// a field is an option of its name with `-` for `_`, its doc comment is the help,
/// its type the option's.
///
/// | field | option |
/// |---|---|
/// | `String` | text |
/// | `bool` | boolean |
/// | `i64`, `u64`, `u32`, `u16`, `u8` | integer, within the type's range |
/// | `f64` | number |
/// | `Duration` | `1m30s` |
/// | [`Size`] | `64MiB` |
/// | an enum with `#[derive(Choice)]` | one of its variants |
/// | [`Secret`] | key of a secret that the volume has; volume drivers only |
/// | `Option<T>` | may be left out |
///
/// `#[option(default = "10s")]` says what an option is when it is left out, as an
/// operator would type it; an option without one is required. `min = 1`, `max = 9`
/// narrow an integer, `name = "type"` gives another name.
pub trait Options: Sized {
    /// What the host shows and checks.
    fn specs() -> Vec<OptionSpec>;

    /// From what the host has parsed and checked.
    fn read(options: &raw::Options) -> Self;
}

/// No options.
impl Options for () {
    fn specs() -> Vec<OptionSpec> {
        Vec::new()
    }

    fn read(_: &raw::Options) -> Self {}
}

/// A type that a field of [`Options`] may have.
pub trait OptionField: Sized {
    /// How the operator's text is read.
    fn ty() -> OptionType;

    /// From the value of an option that is set; none when it is of another type.
    fn read(value: &OptionValue) -> Option<Self>;

    /// Whether the field stands for an option that may be left out.
    const OPTIONAL: bool = false;

    /// What the field is when the option is left out.
    fn absent() -> Option<Self> {
        None
    }
}

/// One of a few words: `#[derive(Choice)]` on an enum without fields. A variant is
/// a word in small letters with dashes.
pub trait Choice: Sized {
    /// The words.
    fn words() -> Vec<&'static str>;

    /// The variant of this word.
    fn of_word(word: &str) -> Option<Self>;
}

/// So many bytes; typed as `64MiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// The key of a secret that the volume has (`volume create --secret KEY=NAME`); the
/// plugin sees no byte of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret(pub String);

impl OptionField for String {
    fn ty() -> OptionType {
        OptionType::Text
    }

    fn read(value: &OptionValue) -> Option<Self> {
        match value {
            OptionValue::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl OptionField for bool {
    fn ty() -> OptionType {
        OptionType::Boolean
    }

    fn read(value: &OptionValue) -> Option<Self> {
        match value {
            OptionValue::Boolean(value) => Some(*value),
            _ => None,
        }
    }
}

impl OptionField for f64 {
    fn ty() -> OptionType {
        OptionType::Number
    }

    fn read(value: &OptionValue) -> Option<Self> {
        match value {
            OptionValue::Number(value) => Some(*value),
            _ => None,
        }
    }
}

macro_rules! integers {
    ($($int:ty: $max:expr),*) => { $(
        impl OptionField for $int {
            fn ty() -> OptionType {
                OptionType::Integer(IntRange { min: <$int>::MIN as i64, max: $max })
            }

            fn read(value: &OptionValue) -> Option<Self> {
                integer(value).and_then(|n| n.try_into().ok())
            }
        }
    )* };
}
integers!(i64: i64::MAX, u64: i64::MAX, u32: u32::MAX as i64, u16: u16::MAX as i64, u8: u8::MAX as i64);

impl OptionField for Duration {
    fn ty() -> OptionType {
        OptionType::Duration
    }

    fn read(value: &OptionValue) -> Option<Self> {
        integer(value)?.try_into().ok().map(Duration::from_millis)
    }
}

impl OptionField for Size {
    fn ty() -> OptionType {
        OptionType::Size
    }

    fn read(value: &OptionValue) -> Option<Self> {
        integer(value)?.try_into().ok().map(Size)
    }
}

impl OptionField for Secret {
    fn ty() -> OptionType {
        OptionType::Secret
    }

    fn read(value: &OptionValue) -> Option<Self> {
        <String as OptionField>::read(value).map(Secret)
    }
}

impl<T: OptionField> OptionField for Option<T> {
    const OPTIONAL: bool = true;

    fn ty() -> OptionType {
        T::ty()
    }

    fn read(value: &OptionValue) -> Option<Self> {
        T::read(value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

fn integer(value: &OptionValue) -> Option<i64> {
    match value {
        OptionValue::Integer(value) => Some(*value),
        _ => None,
    }
}

impl OptionType {
    /// The integers from `min` on; any other type as it is.
    #[doc(hidden)]
    pub fn from(self, min: i64) -> Self {
        match self {
            Self::Integer(range) => Self::Integer(IntRange { min, ..range }),
            other => other,
        }
    }

    /// The integers up to `max`; any other type as it is.
    #[doc(hidden)]
    pub fn up_to(self, max: i64) -> Self {
        match self {
            Self::Integer(range) => Self::Integer(IntRange { max, ..range }),
            other => other,
        }
    }
}

/// What the derive calls.
#[doc(hidden)]
pub mod derived {
    use super::OptionField;
    use crate::{OptionSpec, OptionType, option, raw};

    /// The option of a field.
    pub fn spec<T: OptionField>(
        name: &str,
        help: &str,
        ty: OptionType,
        default: Option<&str>,
    ) -> OptionSpec {
        let spec = option(name, help, ty);
        match default {
            Some(text) => spec.default(text),
            None if T::OPTIONAL => spec,
            None => spec.required(),
        }
    }

    /// The value of a field.
    ///
    /// # Panics
    /// When the host gave no value, or one of another type, which its own check of
    /// the options rules out.
    pub fn field<T: OptionField>(options: &raw::Options, name: &str) -> T {
        let read = match options.get(name) {
            Some(value) => T::read(value),
            None => T::absent(),
        };
        read.unwrap_or_else(|| panic!("the host gave option {name} not as it was declared"))
    }
}
