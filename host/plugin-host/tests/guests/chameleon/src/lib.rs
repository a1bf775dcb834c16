//! A constraint that describes itself as its mark says, which tests write over in the
//! component's bytes.

#[path = "../../attacks.rs"]
mod attacks;

use swarmw_sdk::raw::*;

struct Chameleon;

export!(Chameleon: Constraint);

/// Of a fixed length, so that another mark fits in its place.
static MARK: [u8; 32] = *b"chameleon:good..................";

fn mark() -> String {
    // The compiler must not know what stands there.
    let bytes = std::hint::black_box(&MARK);
    let text = String::from_utf8_lossy(bytes).into_owned();
    text.trim_start_matches("chameleon:").trim_end_matches('.').to_owned()
}

impl Plugin for Chameleon {
    fn describe() -> Metadata {
        let mark = mark();
        attacks::strike("describe", &mark);
        let (name, version, summary) = match mark.as_str() {
            "name-bare" => ("chameleon", "0.1.0", "fine"),
            "name-long" => (concat!("test/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"), "0.1.0", "fine"),
            "name-escape" => ("test/\u{1b}c", "0.1.0", "fine"),
            "version" => ("test/chameleon", "latest", "fine"),
            "summary-lines" => ("test/chameleon", "0.1.0", "one\ntwo"),
            "summary-escape" => ("test/chameleon", "0.1.0", "\u{1b}[2J"),
            _ => ("test/chameleon", "0.1.0", "fine"),
        };
        let mut said = metadata(name, version, summary);
        let key = |key: String| Claim::Key(key);
        match mark.as_str() {
            "claims-none" => {}
            "claims-many" => said.claims = (0..65).map(|n| key(format!("k{n}"))).collect(),
            "claims-blank" => said.claims = vec![key("a b".into())],
            "claims-huge" => said.claims = vec![key("x".repeat(8 << 20))],
            _ => said.claims = vec![key("chameleon".into())],
        }
        let choices = |texts: &[&str]| {
            OptionType::Choice(texts.iter().map(|text| (*text).to_owned()).collect())
        };
        match mark.as_str() {
            "option-name" => said = said.option(option("a b", "fine", OptionType::Text)),
            "option-secret" => said = said.option(option("a", "fine", OptionType::Secret)),
            "option-choices" => said = said.option(option("a", "fine", choices(&[]))),
            "option-escape" => said = said.option(option("a", "fine", choices(&["\u{1b}c"]))),
            "option-default" => {
                said = said.option(option("a", "fine", OptionType::Size).default("much"));
            }
            "grant-kind" => said = said.grant(GrantRequest::Helper("sshfs".into()), "fine"),
            _ => {}
        }
        said
    }
}

impl Constraint for Chameleon {
    fn compile(_: &str, _: &Options) -> Result<Compiled, Vec<Problem>> {
        Ok(Compiled::plan(Plan::Always))
    }
}
