//! Go's `fmt`, as far as templates reach it.

use crate::TEXT_MAX;
use crate::value::Value;

/// Widest field, as Go's.
const WIDTH_MAX: usize = 1_000_000;
/// Longest fraction. Go writes more of it, which are zeros: no number has so many digits.
const FRACTION_MAX: usize = 10_000;

/// `print`: blanks between neighbours of which neither is a text.
pub(crate) fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        let texts = |value: &Value| matches!(value, Value::Text(_));
        if at > 0 && !texts(value) && !texts(&values[at - 1]) {
            out.push(' ');
        }
        out += &value.to_string();
    }
    out
}

/// `println`: blanks between all, and a new line.
pub(crate) fn print_line(values: &[Value]) -> String {
    let texts: Vec<_> = values.iter().map(ToString::to_string).collect();
    texts.join(" ") + "\n"
}

/// A number with as many digits as tell it apart: Go's `%v`.
pub(crate) fn shortest(number: f64) -> String {
    if !number.is_finite() {
        return not_finite(number).to_owned();
    }
    let exponent = number.abs().log10().floor();
    if number != 0.0 && !(-4.0..21.0).contains(&exponent) {
        return scientific(number, None, 'e');
    }
    format!("{number}")
}

fn not_finite(number: f64) -> &'static str {
    match number {
        n if n.is_nan() => "NaN",
        n if n > 0.0 => "+Inf",
        _ => "-Inf",
    }
}

fn scientific(number: f64, precision: Option<usize>, letter: char) -> String {
    let text = match precision {
        Some(precision) => format!("{number:.precision$e}"),
        None => format!("{number:e}"),
    };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}{letter}{sign}{exponent:0>2}")
}

/// One directive: `%[flags][width][.precision]verb`.
#[derive(Clone, Copy, Debug, Default)]
struct Directive {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
    verb: char,
}

/// `printf`
pub(crate) fn printf(format: &str, values: &[Value]) -> String {
    let mut printer = Printer { values, at: 0, reordered: false, out: String::new() };
    printer.run(format);
    printer.out
}

struct Printer<'v> {
    values: &'v [Value],
    at: usize,
    /// Whether an argument was named by its number.
    reordered: bool,
    out: String,
}

// === impl Printer ===

impl Printer<'_> {
    fn run(&mut self, format: &str) {
        let mut rest = format;
        while let Some((before, after)) = rest.split_once('%') {
            self.out += before;
            rest = self.directive(after);
            if self.out.len() > TEXT_MAX {
                return;
            }
        }
        self.out += rest;
        if !self.reordered && self.at < self.values.len() {
            let extra: Vec<_> = self.values[self.at..]
                .iter()
                .map(|value| match value {
                    Value::Missing | Value::Null => "<nil>".to_owned(),
                    value => format!("{}={value}", value.type_name()),
                })
                .collect();
            self.out += &format!("%!(EXTRA {})", extra.join(", "));
        }
    }

    /// Prints one directive; gives what follows it.
    fn directive<'t>(&mut self, text: &'t str) -> &'t str {
        let mut directive = Directive::default();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            match c {
                '-' => directive.minus = true,
                '+' => directive.plus = true,
                '#' => directive.sharp = true,
                ' ' => directive.space = true,
                '0' => directive.zero = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        rest = self.named_argument(rest);
        (directive.width, rest) = match rest.strip_prefix('*') {
            Some(rest) => {
                let width = self.star("%!(BADWIDTH)");
                if let Some(width) = width {
                    directive.minus |= width < 0;
                }
                (
                    width.map(|width| usize::try_from(width.unsigned_abs()).unwrap_or(WIDTH_MAX)),
                    rest,
                )
            }
            None => number(rest),
        };
        if let Some(after) = rest.strip_prefix('.') {
            let after = self.named_argument(after);
            (directive.precision, rest) = match after.strip_prefix('*') {
                Some(rest) => {
                    let precision = self.star("%!(BADPREC)");
                    (precision.and_then(|precision| usize::try_from(precision).ok()), rest)
                }
                None => {
                    let (precision, rest) = number(after);
                    (Some(precision.unwrap_or(0)), rest)
                }
            };
        }
        rest = self.named_argument(rest);
        directive.width = directive.width.map(|width| width.min(WIDTH_MAX));
        directive.precision = directive.precision.map(|precision| precision.min(FRACTION_MAX));
        let Some(verb) = rest.chars().next() else {
            self.out += "%!(NOVERB)";
            return rest;
        };
        directive.verb = verb;
        // Of `%v` a plus asks for names of fields, not for a sign.
        directive.plus &= verb != 'v';
        rest = &rest[verb.len_utf8()..];
        match (verb, self.values.get(self.at)) {
            ('%', _) => self.out.push('%'),
            (verb, None) if self.reordered => self.out += &format!("%!{verb}(BADINDEX)"),
            (verb, None) => self.out += &format!("%!{verb}(MISSING)"),
            (_, Some(value)) => {
                self.at += 1;
                self.out += &directive.print(value);
            }
        }
        rest
    }

    fn named_argument<'t>(&mut self, text: &'t str) -> &'t str {
        let Some((index, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']'))
        else {
            return text;
        };
        self.reordered = true;
        // One that does not exist is told of by the verb.
        let index: usize = index.parse().unwrap_or(0);
        self.at = index.checked_sub(1).unwrap_or(self.values.len());
        rest
    }

    /// A width or precision that is an argument.
    fn star(&mut self, bad: &str) -> Option<i64> {
        let number = self.values.get(self.at).and_then(Value::as_int);
        self.at += 1;
        let limit = i64::try_from(WIDTH_MAX).unwrap_or(i64::MAX);
        let number = number.filter(|number| number.abs() <= limit);
        if number.is_none() {
            self.out += bad;
        }
        number
    }
}

fn number(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    match digits {
        "" => (None, rest),
        digits => (Some(digits.parse().unwrap_or(WIDTH_MAX)), rest),
    }
}

// === impl Directive ===

impl Directive {
    fn print(&self, value: &Value) -> String {
        let verb = self.verb;
        if verb == 'T' {
            return self.padded(value.type_name());
        }
        let printed = match (verb, value) {
            (_, Value::Missing | Value::Null | Value::NilPointer(_)) => {
                return match verb {
                    'v' => self.padded("<nil>"),
                    verb => format!("%!{verb}(<nil>)"),
                };
            }
            ('v' | 's' | 'q', Value::Printed(text, _)) => return self.text(text),
            (_, Value::Printed(_, value)) => return self.print(value),
            (_, Value::List(list)) => {
                let items: Vec<_> = list.iter().map(|item| self.print(item)).collect();
                return format!("[{}]", items.join(" "));
            }
            (_, Value::Map(map)) => {
                let entries: Vec<_> = map
                    .sorted()
                    .into_iter()
                    .map(|(key, value)| {
                        let key = self.print(&Value::Text(key.clone()));
                        format!("{key}:{}", self.print(value))
                    })
                    .collect();
                return format!("map[{}]", entries.join(" "));
            }
            ('v', Value::Struct(_)) => return self.padded(&value.to_string()),
            ('v' | 't', Value::Bool(on)) => return self.padded(&on.to_string()),
            (_, Value::Text(text)) => self.of_text(text),
            ('s' | 'q' | 'x' | 'X', Value::Bytes(bytes, _)) => {
                self.of_text(&String::from_utf8_lossy(bytes))
            }
            ('v', Value::Bytes(..)) => return self.padded(&value.to_string()),
            (_, Value::Int(number)) => self.of_int(*number),
            (_, Value::Float(number)) => self.of_float(*number),
            _ => None,
        };
        printed.unwrap_or_else(|| format!("%!{verb}({}={value})", value.type_name()))
    }

    fn of_text(&self, text: &str) -> Option<String> {
        match self.verb {
            'v' if self.sharp => Some(self.padded(&quoted(text))),
            'v' | 's' | 'q' => Some(self.text(text)),
            'x' | 'X' => {
                let end = self.precision.unwrap_or(usize::MAX).min(text.len());
                let bytes = &text.as_bytes()[..end];
                let between = if self.space { " " } else { "" };
                let digits: Vec<_> = bytes
                    .iter()
                    .map(|byte| match self.verb {
                        'x' => format!("{byte:02x}"),
                        _ => format!("{byte:02X}"),
                    })
                    .collect();
                Some(self.padded(&digits.join(between)))
            }
            _ => None,
        }
    }

    fn text(&self, text: &str) -> String {
        let cut: String = match self.precision {
            Some(length) => text.chars().take(length).collect(),
            None => text.to_owned(),
        };
        match self.verb {
            'q' => self.padded(&quoted(&cut)),
            _ => self.padded(&cut),
        }
    }

    fn of_int(&self, number: i64) -> Option<String> {
        let size = number.unsigned_abs();
        let (prefix, digits) = match self.verb {
            'd' | 'v' => ("", size.to_string()),
            'b' => ("0b", format!("{size:b}")),
            'o' => ("0", format!("{size:o}")),
            'O' => return Some(self.signed(number < 0, &format!("0o{size:o}"))),
            'x' => ("0x", format!("{size:x}")),
            'X' => ("0X", format!("{size:X}")),
            'c' => return Some(self.padded(&character(number).to_string())),
            'q' => return Some(self.padded(&format!("'{}'", character(number)))),
            'U' => return Some(self.padded(&format!("U+{size:04X}"))),
            _ => return None,
        };
        let digits = match self.precision {
            Some(least) => format!("{digits:0>least$}"),
            None => digits,
        };
        let prefix = if self.sharp { prefix } else { "" };
        // A precision says how many zeros there are.
        let directive = Self { zero: self.zero && self.precision.is_none(), ..*self };
        Some(directive.signed(number < 0, &format!("{prefix}{digits}")))
    }

    fn of_float(&self, number: f64) -> Option<String> {
        if !number.is_finite() {
            let text = not_finite(number);
            let text = if self.plus { text } else { text.trim_start_matches('+') };
            let text = if self.verb == 'v' { not_finite(number) } else { text };
            return Some(self.padded(text));
        }
        let size = number.abs();
        let digits = match (self.verb, self.precision) {
            ('v' | 'g' | 'G', None) => shortest(size),
            ('v' | 'g' | 'G', Some(precision)) => general(size, precision.max(1)),
            ('f' | 'F', precision) => format!("{size:.0$}", precision.unwrap_or(6)),
            ('e' | 'E', precision) => scientific(size, Some(precision.unwrap_or(6)), self.verb),
            _ => return None,
        };
        Some(self.signed(number.is_sign_negative() && number != 0.0, &digits))
    }

    fn signed(&self, negative: bool, digits: &str) -> String {
        let sign = match negative {
            true => "-",
            false if self.plus => "+",
            false if self.space => " ",
            false => "",
        };
        match self.zero && !self.minus {
            true => {
                let missing = self.missing(sign.len() + digits.len());
                format!("{sign}{}{digits}", "0".repeat(missing))
            }
            false => self.padded(&format!("{sign}{digits}")),
        }
    }

    /// How many characters a text of this length lacks. What `format!` pads with has
    /// limits of its own.
    fn missing(&self, length: usize) -> usize {
        self.width.unwrap_or(0).saturating_sub(length)
    }

    fn padded(&self, text: &str) -> String {
        let missing = self.missing(text.chars().count());
        match (self.minus, self.zero) {
            (true, _) => text.to_owned() + &" ".repeat(missing),
            (false, true) => "0".repeat(missing) + text,
            (false, false) => " ".repeat(missing) + text,
        }
    }
}

/// `%g` with so many digits.
fn general(size: f64, digits: usize) -> String {
    let text = scientific(size, Some(digits - 1), 'e');
    let exponent: i32 = text.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    let digits = i32::try_from(digits).unwrap_or(i32::MAX);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= digits {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{exponent}", trim(mantissa));
    }
    let fraction = usize::try_from(digits - 1 - exponent).unwrap_or(0);
    trim(&format!("{size:.fraction$}"))
}

fn character(number: i64) -> char {
    u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// A text between quotes, as Go writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            c if c.is_ascii_control() => out += &format!("\\x{:02x}", u32::from(c)),
            c if c.is_control() => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
