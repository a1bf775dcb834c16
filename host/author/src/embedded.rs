//! What the binary carries for new plugins: path and text, packed by `build.rs`.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
