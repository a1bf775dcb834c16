//! What operators type by mistake, or on purpose.

use crate::random::Random;

/// The host's bound on expressions, in bytes.
const LONGEST: usize = 4 << 10;
/// Mutations of each of the author's own texts.
const MUTATIONS: usize = 20;

/// Texts that a plugin must take or refuse, without a fault: `seeds` themselves in
/// many bad forms, and what is bad for anybody.
pub fn texts(seeds: &[String], random: &mut Random) -> Vec<String> {
    let mut all: Vec<String> = [
        "",
        " ",
        "\t\n",
        "\u{0}",
        "(",
        ")",
        "((((",
        "==",
        "!=",
        "=",
        "\"",
        "'",
        "\\",
        "%s%n",
        "é",
        "\u{202e}abc",
        "👩‍👩‍👧",
        "-0",
        "1e309",
        "NaN",
        "inf",
        "-9223372036854775809",
        "18446744073709551616",
        "0x10",
        "1_000",
        "\u{feff}x",
        "\u{1b}[31mred",
        "../../etc/passwd",
    ]
    .map(str::to_owned)
    .into();
    for bad in ["(", "é", "9", ",", "a.b=", "\u{0}"] {
        all.push(bad.repeat(LONGEST / bad.len()));
    }
    all.extend(seeds.iter().flat_map(|seed| without_each(seed)));
    for seed in seeds {
        for at in 0..MUTATIONS {
            all.push(mutated(seed, at, random));
        }
    }
    all.retain(|text| text.len() <= LONGEST);
    all
}

/// Calls with each of their arguments left out, or blank.
fn without_each(seed: &str) -> Vec<String> {
    let parts = seed.split_once('(').zip(seed.rsplit_once(')'));
    let Some(((name, _), (head, tail))) =
        parts.filter(|((name, _), (head, _))| head.len() > name.len())
    else {
        return Vec::new();
    };
    let arguments: Vec<&str> = head[name.len() + 1..].split(',').collect();
    (0..arguments.len())
        .flat_map(|at| ["", " "].map(|blank| (at, blank)))
        .map(|(at, blank)| {
            let mut left = arguments.clone();
            left[at] = blank;
            format!("{name}({}){tail}", left.join(","))
        })
        .collect()
}

/// A text with one place spoilt.
fn mutated(seed: &str, how: usize, random: &mut Random) -> String {
    let mut letters: Vec<char> = seed.chars().collect();
    let at = random.below(letters.len() + 1);
    match how % 5 {
        0 => letters.truncate(at),
        1 => letters.insert(at, ['\u{0}', 'é', '(', ')', ',', '"', '9', '-'][random.below(8)]),
        2 if at < letters.len() => drop(letters.remove(at)),
        3 => letters.extend(seed.chars()),
        _ => letters.splice(at..at, "99999999999999999999".chars()).for_each(drop),
    }
    letters.into_iter().collect()
}
