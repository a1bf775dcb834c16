//! The state of an update policy as a struct: `#[derive(State)]`.

use crate::Order;

/// What an update policy keeps between two calls: derived on a struct of named
/// fields whose types keep, or on an enum without fields. Numbers, `bool`,
/// `String`, [`Option`], [`Vec`] and pairs of what keeps do.
///
/// Kept in the order of the fields, so a field added at the end is read by
/// `Option::None`, `0` or an empty list where an older version wrote none.
pub trait State: Sized {
    /// Appends itself.
    fn save(&self, out: &mut Vec<u8>);

    /// Takes itself off the front; none when the bytes are of something else.
    fn load(bytes: &mut &[u8]) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => { $(
        impl State for $number {
            fn save(&self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }

            fn load(bytes: &mut &[u8]) -> Option<Self> {
                let (own, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(Self::from_le_bytes(*own))
            }
        }
    )* };
}
numbers!(u8, u16, u32, u64, i32, i64, f64);

impl State for bool {
    fn save(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn load(bytes: &mut &[u8]) -> Option<Self> {
        match u8::load(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl State for String {
    fn save(&self, out: &mut Vec<u8>) {
        (self.len() as u32).save(out);
        out.extend(self.as_bytes());
    }

    fn load(bytes: &mut &[u8]) -> Option<Self> {
        let length = u32::load(bytes)? as usize;
        let (own, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        String::from_utf8(own.to_vec()).ok()
    }
}

impl<T: State> State for Option<T> {
    fn save(&self, out: &mut Vec<u8>) {
        self.is_some().save(out);
        if let Some(value) = self {
            value.save(out);
        }
    }

    fn load(bytes: &mut &[u8]) -> Option<Self> {
        match bool::load(bytes)? {
            true => T::load(bytes).map(Some),
            false => Some(None),
        }
    }
}

impl<T: State> State for Vec<T> {
    fn save(&self, out: &mut Vec<u8>) {
        (self.len() as u32).save(out);
        for value in self {
            value.save(out);
        }
    }

    fn load(bytes: &mut &[u8]) -> Option<Self> {
        let length = u32::load(bytes)? as usize;
        // A length that lies ends at the first value that is not there.
        (0..length).map(|_| T::load(bytes)).collect()
    }
}

impl<A: State, B: State> State for (A, B) {
    fn save(&self, out: &mut Vec<u8>) {
        self.0.save(out);
        self.1.save(out);
    }

    fn load(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::load(bytes)?, B::load(bytes)?))
    }
}

impl State for Order {
    fn save(&self, out: &mut Vec<u8>) {
        (*self == Order::StartFirst).save(out);
    }

    fn load(bytes: &mut &[u8]) -> Option<Self> {
        bool::load(bytes).map(|first| if first { Order::StartFirst } else { Order::StopFirst })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(crate::State, Clone, Copy, Debug, PartialEq)]
    enum Phase {
        Waiting,
        Rolling,
    }

    #[derive(crate::State, Clone, Debug, PartialEq)]
    struct Kept {
        phase: Phase,
        since: Option<u64>,
        name: String,
        shares: Vec<(u32, f64)>,
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let kept = Kept {
            phase: Phase::Rolling,
            since: Some(7),
            name: "eins".into(),
            shares: vec![(1, 0.5), (2, -1.0)],
        };
        let mut bytes = Vec::new();
        kept.save(&mut bytes);
        assert_eq!(Kept::load(&mut &bytes[..]), Some(kept));
        assert_eq!(Phase::load(&mut &[0u8][..]), Some(Phase::Waiting));
    }

    #[test]
    fn bytes_of_something_else_are_refused() {
        assert_eq!(Phase::load(&mut &[9u8][..]), None);
        assert_eq!(Kept::load(&mut &[1u8, 2][..]), None);
        assert_eq!(Vec::<u64>::load(&mut &[255u8; 8][..]), None, "no memory is taken for it");
    }
}
