//! Names for services that were given none: an adjective and somebody whom
//! computing owes something.

const ADJECTIVES: [&str; 48] = [
    "able", "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "candid", "clever",
    "cosmic", "curious", "daring", "deft", "eager", "earnest", "fair", "fluent", "frank", "gentle",
    "glad", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "lucid",
    "mellow", "merry", "modest", "noble", "patient", "placid", "polite", "prompt", "quiet",
    "ready", "serene", "sincere", "steady", "sunny", "tidy", "vivid", "warm", "wise",
];

const SURNAMES: [&str; 48] = [
    "allen",
    "babbage",
    "backus",
    "bartik",
    "berezin",
    "blum",
    "boole",
    "cerf",
    "clarke",
    "codd",
    "conway",
    "curry",
    "dijkstra",
    "easley",
    "engelbart",
    "erdos",
    "feinler",
    "floyd",
    "gauss",
    "goldberg",
    "hamilton",
    "hamming",
    "hoare",
    "holberton",
    "hopper",
    "huffman",
    "johnson",
    "kernighan",
    "kleene",
    "knuth",
    "lamport",
    "leibniz",
    "liskov",
    "lovelace",
    "mccarthy",
    "milner",
    "naur",
    "noether",
    "perlman",
    "ritchie",
    "shannon",
    "shamir",
    "turing",
    "vaughan",
    "wilkes",
    "wirth",
    "wozniak",
    "zuse",
];

/// A name out of random bits: two words, and a number to keep clashes rare.
pub(crate) fn random(bits: u128) -> String {
    let (first, second) = (bits as usize, (bits >> 32) as usize);
    format!(
        "{}_{}{}",
        ADJECTIVES[first % ADJECTIVES.len()],
        SURNAMES[second % SURNAMES.len()],
        (bits >> 64) % 100
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_valid_one() {
        for bits in (0..5_000).map(|n: u128| n * 0x1234_5678_9abc_def1_0000_0001) {
            let name = random(bits);
            assert!(swarmw_model::validate::service_name(&name).is_ok(), "{name}");
        }
    }
}
