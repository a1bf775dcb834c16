//! A component that wants the network: no plugin at all.

wit_bindgen::generate!({
    inline: "
        package evil:corp@1.0.0;
        interface network { fetch: func(url: string) -> string; }
        world wide { import network; export run: func() -> string; }
    ",
});

struct Wide;

#[cfg(target_family = "wasm")]
export!(Wide);

impl Guest for Wide {
    fn run() -> String {
        evil::corp::network::fetch("http://169.254.169.254/")
    }
}
