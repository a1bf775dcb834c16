//! The derives of `swarmw-sdk`, documented there.
//!
//! Written against `proc_macro` alone: a plugin then builds with nothing but a Rust
//! toolchain, offline, in seconds.

mod choice;
mod input;
mod options;
mod state;

use proc_macro::TokenStream;

use input::Input;

/// Makes a struct the options of a plugin; see the trait `swarmw_sdk::Options`.
#[proc_macro_derive(Options, attributes(option))]
pub fn options(item: TokenStream) -> TokenStream {
    expand(item, options::expand)
}

/// Makes an enum a choice of words; see the trait `swarmw_sdk::Choice`.
#[proc_macro_derive(Choice)]
pub fn choice(item: TokenStream) -> TokenStream {
    expand(item, choice::expand)
}

/// Makes a struct or an enum something that an update policy keeps; see the trait
/// `swarmw_sdk::State`.
#[proc_macro_derive(State)]
pub fn state(item: TokenStream) -> TokenStream {
    expand(item, state::expand)
}

fn expand(
    item: TokenStream,
    by: impl FnOnce(&Input) -> Result<String, input::Error>,
) -> TokenStream {
    let expanded = Input::parse(item).and_then(|input| by(&input));
    match expanded {
        Ok(code) => code.parse().expect("the derive writes Rust"),
        Err(error) => error.into_tokens(),
    }
}
