//! A component that is none of the four kinds.

wit_bindgen::generate!({
    inline: "
        package mute:corp@1.0.0;
        world mute { export run: func() -> string; }
    ",
});

struct Mute;

#[cfg(target_family = "wasm")]
export!(Mute);

impl Guest for Mute {
    fn run() -> String {
        String::new()
    }
}
