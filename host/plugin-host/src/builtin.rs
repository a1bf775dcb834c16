//! The components that come with the binary.

/// A component that comes with the binary; loaded as anyone's.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// Such as `swarmw/constraint`.
    pub name: &'static str,
    /// The component.
    pub bytes: &'static [u8],
}

/// All of them, by name.
pub fn builtin() -> &'static [Builtin] {
    include!(concat!(env!("OUT_DIR"), "/builtin.rs"))
}
