//! Plugins for people: what one is, what it may, what it did, what a change of it
//! would mean.

use std::fmt::{self, Write as _};

use swarmw_model::{
    CandidateState, GrantRequest, OptionType, Plugin, PluginGrant, PluginOption, PluginRelease,
    PluginReport, PluginState, PluginUse, PluginView, ShadowReport,
};

use super::compared::{SHOWN, comparison, many};
use super::list::claims;
use crate::table::{ago, bytes_size};

/// `plugin inspect --pretty`, after a blank line.
pub(super) fn plugin(view: &PluginView) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_plugin(&mut out, view);
    out
}

/// `NAME VERSION (KIND)` and below it what a release claims, is and may.
pub(super) fn release(plugin: &Plugin, release: &PluginRelease) -> String {
    let mut out = String::new();
    let _ = write_release(&mut out, plugin, release);
    out
}

/// What wants consent: powers, and claims on what others answer.
pub(super) fn wanted(plugin: &Plugin, before: Option<&Plugin>, wanted: &[PluginGrant]) -> String {
    let (claims, powers): (Vec<_>, Vec<_>) =
        wanted.iter().partition(|grant| matches!(grant.request, GrantRequest::Claim(_)));
    let name = format!("Plugin {} {}", plugin.name, plugin.release.metadata.version);
    let asks = before.map_or("", |_| ", which it did not have before");
    let mut out = String::new();
    for (what, grants) in [
        (format!("asks for these powers{asks}"), powers),
        ("claims what services use and other plugins answer".to_owned(), claims),
    ] {
        if !grants.is_empty() {
            let _ = writeln!(out, "{name} {what}:");
        }
        for grant in grants {
            let _ = writeln!(out, " - {} ({})", grant.request, grant.reason);
        }
    }
    out
}

/// `--plan`: what a component is, and what it would mean.
pub(super) fn report(report: &PluginReport) -> String {
    let mut out = format!("Plugin {}", release(&report.plugin, &report.plugin.release));
    if let Some(old) = &report.replaces {
        let _ = writeln!(out, " Replaces:\tversion {}", old.release.metadata.version);
    }
    out += &wanted(&report.plugin, report.replaces.as_ref(), &report.wanted);
    if let Some(plan) = &report.plan {
        let _ = comparison(&mut out, plan, "now", "then");
    }
    out += "Nothing was changed.\n";
    out
}

fn write_plugin(out: &mut String, view: &PluginView) -> fmt::Result {
    let plugin = &view.plugin;
    writeln!(out, "\nID:\t\t{}\nName:\t\t{}", plugin.id, plugin.name)?;
    writeln!(out, "Kind:\t\t{}", plugin.kind)?;
    let of = &plugin.release;
    writeln!(out, "Version:\t{}", of.metadata.version)?;
    writeln!(out, "Summary:\t{}", of.metadata.summary)?;
    writeln!(out, "Interface:\t{}", of.interface)?;
    let size = i64::try_from(of.blob.size).unwrap_or(i64::MAX);
    writeln!(out, "Digest:\t\t{}\nSize:\t\t{}", of.blob.digest, bytes_size(size))?;
    let source = of.source.as_deref();
    let origin = source.unwrap_or(if plugin.built_in { "built in" } else { "a file" });
    writeln!(out, "Source:\t\t{origin}")?;
    writeln!(out, "Signer:\t\t{}", of.signer.as_deref().unwrap_or("unknown"))?;
    status(out, plugin)?;
    writeln!(out, "Claims:\t\t{}", claims(of))?;
    options(out, &of.metadata.options)?;
    grants(out, of)?;
    let services = if view.services.is_empty() { "none" } else { &view.services.join(", ") };
    writeln!(out, "Services:\t{services}")?;
    if let Some(used) = &view.used {
        usage(out, used)?;
    }
    if let Some(candidate) = &plugin.candidate {
        let state = match candidate.state {
            CandidateState::Consent => "waits for consent",
            CandidateState::Shadow => "runs in shadow",
        };
        let version = &candidate.release.metadata.version;
        writeln!(out, "Candidate:\t{version} {state} since {}", ago(candidate.since))?;
        writeln!(out, " Digest:\t{}", candidate.release.blob.digest)?;
        for grant in &view.wanted {
            writeln!(out, " Wants:\t\t{} ({})", grant.request, grant.reason)?;
        }
    }
    if let Some(report) = &view.shadow {
        shadow(out, report)?;
    }
    writeln!(out)
}

fn status(out: &mut String, plugin: &Plugin) -> fmt::Result {
    let status = &plugin.status;
    let why = match status.state {
        PluginState::Enabled => String::new(),
        _ if status.message.is_empty() => String::new(),
        _ => format!(" ({})", status.message),
    };
    writeln!(out, "Status:\t\t{}{why}", status.state)?;
    match &status.trouble {
        Some(trouble) => {
            writeln!(out, " Breaker opened:\t{}: {}", ago(trouble.at), trouble.message)
        }
        None => Ok(()),
    }
}

fn write_release(out: &mut String, plugin: &Plugin, release: &PluginRelease) -> fmt::Result {
    let of = &release.metadata;
    writeln!(out, "{} {} ({})", plugin.name, of.version, plugin.kind)?;
    writeln!(out, " Claims:\t{}\n Digest:\t{}", claims(release), release.blob.digest)?;
    if let Some(source) = &release.source {
        writeln!(out, " Source:\t{source}")?;
    }
    if let Some(signer) = &release.signer {
        writeln!(out, " Signer:\t{signer}")?;
    }
    if of.grants.is_empty() && taken(release).next().is_none() {
        return match waits(plugin, release) {
            // For claims, then: these are told with what they take.
            true => Ok(()),
            false => writeln!(out, " Grants:\tnone asked"),
        };
    }
    out.push_str(" Grants:\n");
    each_grant(out, release)
}

/// Whether a release waits for the operator's consent.
fn waits(plugin: &Plugin, release: &PluginRelease) -> bool {
    plugin.candidate.as_ref().is_some_and(|candidate| {
        candidate.state == CandidateState::Consent && candidate.release.blob == release.blob
    })
}

fn grants(out: &mut String, release: &PluginRelease) -> fmt::Result {
    if release.metadata.grants.is_empty() && taken(release).next().is_none() {
        return writeln!(out, "Grants:\t\tnone asked");
    }
    out.push_str("Grants:\n");
    each_grant(out, release)
}

/// The claims on what others answered that the operator agreed to.
fn taken(release: &PluginRelease) -> impl Iterator<Item = &GrantRequest> {
    release.granted.iter().filter(|power| matches!(power, GrantRequest::Claim(_)))
}

/// Each power asked for, and whether it is granted, in whole or in part.
fn each_grant(out: &mut String, release: &PluginRelease) -> fmt::Result {
    for grant in &release.metadata.grants {
        let power = &grant.request;
        let within: Vec<_> = release.granted.iter().filter(|g| power.covers(g)).collect();
        let state = if release.granted.iter().any(|g| g.covers(power)) {
            "granted".to_owned()
        } else if within.is_empty() {
            "not granted".to_owned()
        } else {
            let texts: Vec<_> = within.iter().map(ToString::to_string).collect();
            format!("granted {}", texts.join(", "))
        };
        writeln!(out, "  {power}: {state} ({})", grant.reason)?;
    }
    for claim in taken(release) {
        writeln!(out, "  {claim}: granted (answers instead of the plugin that did)")?;
    }
    Ok(())
}

fn options(out: &mut String, options: &[PluginOption]) -> fmt::Result {
    if options.is_empty() {
        return writeln!(out, "Options:\tnone");
    }
    out.push_str("Options:\n");
    for option in options {
        let ty = type_of(&option.ty);
        let rest = match (&option.default, option.required) {
            (Some(default), _) => format!(", {default} unless given"),
            (None, true) => ", required".to_owned(),
            (None, false) => String::new(),
        };
        writeln!(out, " {}\t{} ({ty}{rest})", option.name, option.help)?;
    }
    Ok(())
}

fn type_of(ty: &OptionType) -> String {
    match ty {
        OptionType::Text => "text".to_owned(),
        OptionType::Boolean => "true or false".to_owned(),
        OptionType::Integer { min, max } => format!("integer from {min} to {max}"),
        OptionType::Number => "number".to_owned(),
        OptionType::Duration => "duration".to_owned(),
        OptionType::Size => "size".to_owned(),
        OptionType::Choice(choices) => format!("one of {}", choices.join(", ")),
        OptionType::Secret => "secret".to_owned(),
    }
}

fn usage(out: &mut String, used: &PluginUse) -> fmt::Result {
    writeln!(out, "On the leader since {}:", lower(&ago(used.since)))?;
    let (count, faults) = (used.count(), used.faults());
    writeln!(out, " Calls:\t\t{count}, {} in all", time(used.nanos()))?;
    for (name, call) in &used.calls {
        let mean = call.nanos.checked_div(call.count).unwrap_or(0);
        writeln!(
            out,
            "  {name}\t{}, {} each, {} at most",
            many(usize::try_from(call.count).unwrap_or(usize::MAX), "call"),
            time(mean),
            time(call.longest)
        )?;
    }
    let rate = used.rows.hit_rate();
    let rate = rate.map_or("nothing asked yet".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
    writeln!(out, " Cache hits:\t{rate}")?;
    writeln!(out, " Faults:\t{faults}{}", faults_by_kind(used))?;
    if let Some(fault) = &used.last_fault {
        writeln!(out, "  last\t\t{}: {} {}", ago(fault.at), fault.call, fault.message)?;
    }
    match (used.breaker.closes_at, used.breaker.set_aside_until) {
        (Some(at), _) => writeln!(out, " Breaker:\topen until {at}"),
        (None, Some(at)) => {
            let count = used.breaker.set_aside;
            let what = if count == 1 { "question is" } else { "questions are" };
            writeln!(out, " Breaker:\tclosed; {count} {what} set aside, the first until {at}")
        }
        (None, None) => writeln!(out, " Breaker:\tclosed"),
    }
}

/// Within a sentence.
fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |c| c.to_lowercase().chain(letters).collect())
}

fn faults_by_kind(used: &PluginUse) -> String {
    let sum = |of: fn(&swarmw_model::CallUse) -> u64| used.calls.values().map(of).sum::<u64>();
    let kinds =
        [("trapped", sum(|c| c.traps)), ("late", sum(|c| c.late)), ("wrong", sum(|c| c.invalid))];
    let told: Vec<_> =
        kinds.iter().filter(|(_, n)| *n > 0).map(|(kind, n)| format!("{n} {kind}")).collect();
    if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) }
}

fn time(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        _ => format!("{:.1} s", nanos as f64 / 1e9),
    }
}

/// What the two answered to the calls of rollouts, the latest first.
fn steps(out: &mut String, report: &ShadowReport) -> fmt::Result {
    let (steps, differing) = (report.steps, report.steps_differing);
    let s = if steps == 1 { "" } else { "s" };
    writeln!(out, "Of {steps} call{s} by updates under way, {differing} were answered otherwise.")?;
    for one in report.step_differences.iter().rev().take(SHOWN) {
        let (service, call) = (&one.service, &one.text);
        writeln!(out, " differs\t{service}: {call}: serving {}, shadow {}", one.now, one.then)?;
    }
    Ok(())
}

fn shadow(out: &mut String, report: &ShadowReport) -> fmt::Result {
    writeln!(
        out,
        "Shadow:\t\tcompared {} times since {}, {} with differences",
        report.comparisons,
        ago(report.since),
        report.differing
    )?;
    comparison(out, &report.last, "serving", "shadow")?;
    if report.steps > 0 {
        steps(out, report)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::compared::SHOWN;
    use serde_json::json;
    use swarmw_model::Comparison;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn plugin_json() -> serde_json::Value {
        json!({
            "ID": "aaaaaaaaaaaaaaaaaaaaaaaaa", "Version": {"Index": 5},
            "CreatedAt": "2026-11-20T00:00:00Z", "UpdatedAt": "2026-11-20T00:00:00Z",
            "Name": "acme/canary", "Kind": "update-policy",
            "Blob": {"Digest": DIGEST, "Size": 65536},
            "Granted": [{"observe": "http://prom/q?*"}],
            "Source": "reg.example/canary:1.2@sha256:ab",
            "Metadata": {"Version": "1.2.0", "Summary": "Steps", "Claims": [{"name": "canary"}],
                "Options": [
                    {"Name": "steps", "Help": "how many", "Type": {"integer": {"min": 1, "max": 9}},
                        "Required": false, "Default": "3"},
                    {"Name": "metric", "Help": "what is watched", "Type": "text", "Required": true},
                ],
                "Grants": [
                    {"Request": {"observe": "http://*"}, "Reason": "reads errors"},
                    {"Request": {"secret": "prom-*"}, "Reason": "asks with it"},
                ]},
            "Services": ["api", "web"],
            "Use": {"Digest": DIGEST, "Since": "2026-11-20T00:00:00Z",
                "Calls": {"step": {"Count": 4, "Nanos": 400_000, "Longest": 200_000,
                    "Traps": 1, "Late": 0, "Invalid": 1}},
                "Rows": {"Needed": 10_000, "Asked": 5},
                "Breaker": {"Open": false, "Faults": 2}},
        })
    }

    #[test]
    fn a_plugin_shows_everything_an_operator_asks_for() {
        let view: PluginView = serde_json::from_value(plugin_json()).expect("a view");
        let text = plugin(&view);
        for line in [
            "Name:\t\tacme/canary",
            "Kind:\t\tupdate-policy",
            "Version:\t1.2.0",
            "Interface:\t0.1",
            &format!("Digest:\t\t{DIGEST}"),
            "Size:\t\t64KiB",
            "Source:\t\treg.example/canary:1.2@sha256:ab",
            "Signer:\t\tunknown",
            "Status:\t\tenabled",
            "Claims:\t\tcanary",
            " steps\thow many (integer from 1 to 9, 3 unless given)",
            " metric\twhat is watched (text, required)",
            "  observe=http://*: granted observe=http://prom/q?* (reads errors)",
            "  secret=prom-*: not granted (asks with it)",
            "Services:\tapi, web",
            " Calls:\t\t4, 400.0 µs in all",
            "  step\t4 calls, 100.0 µs each, 200.0 µs at most",
            " Cache hits:\t99.95 %",
            " Faults:\t2 (1 trapped, 1 wrong)",
            " Breaker:\tclosed",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
        }
    }

    #[test]
    fn a_plan_shows_what_would_be_violated_and_moved() {
        let mut value = plugin_json();
        value["Granted"] = json!([]);
        let plugin: Plugin = serde_json::from_value(value).expect("a plugin");
        let found = Comparison {
            services: 2,
            verdicts: 10,
            differing: 25,
            differences: vec![
                serde_json::from_value(
                    json!({"Service": "web", "Text": "a==b", "Node": "n1",
                "Now": "passes", "Then": "fails"})
                )
                .expect("a difference");
                25
            ],
            violated: 1,
            violations: serde_json::from_value(json!([{"Task": "web.1", "ID": "x", "Node": "n1",
                "Constraint": "a==b"}]))
            .expect("violations"),
            moved: serde_json::from_value(json!([{"Service": "api", "Tasks": 10, "Moved": 4,
                "Waiting": 2}]))
            .expect("moves"),
        };
        let wanted = plugin.release.metadata.grants.clone();
        let report = PluginReport { plugin, replaces: None, wanted, plan: Some(found) };
        let text = super::report(&report);
        assert_eq!(text.matches(" differs\t").count(), SHOWN);
        for line in [
            "Plugin acme/canary 1.2.0 (update-policy)",
            "  observe=http://*: not granted (reads errors)",
            "Plugin acme/canary 1.2.0 asks for these powers:",
            " - secret=prom-* (asks with it)",
            "It concerns 2 services: 25 of 10 verdicts differ, 1 running task would be violated, \
             1 service would stand elsewhere.",
            " violated\tweb.1 on n1: a==b",
            " moved\t\tapi: 4 of 10 tasks, were they placed anew, 2 would wait",
            " differs\tweb: a==b on n1: now passes, then fails",
            " …\t\tand 5 more",
            "Nothing was changed.",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
        }
    }
}
