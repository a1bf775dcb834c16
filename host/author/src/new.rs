//! `swarmw plugin new`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::embedded::{SDK, TEMPLATES, WIT};
use crate::languages::{Language, c_bindings};
use crate::names;

/// `plugin new`
#[derive(clap::Args, Clone, Debug)]
pub struct NewArgs {
    /// What the plugin decides
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Option<Kind>,
    /// The language it is written in
    #[arg(long, value_enum, value_name = "LANGUAGE", default_value_t = Language::Rust)]
    pub lang: Language,
    /// Who publishes it: the first half of the plugin's name
    #[arg(long, value_name = "NAME", default_value = "me")]
    pub publisher: String,
    /// The folder to make; its last part is the plugin's name
    #[arg(value_name = "NAME")]
    pub folder: PathBuf,
}

/// What a plugin decides.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Which nodes may run a task: --constraint
    Constraint,
    /// How tasks are shared out over nodes: --placement-pref
    Preference,
    /// How a rolling update goes: --update-failure-action
    UpdatePolicy,
    /// How a volume is made and mounted: --mount volume-driver=
    VolumeDriver,
}

impl Kind {
    /// As on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Constraint => "constraint",
            Self::Preference => "preference",
            Self::UpdatePolicy => "update-policy",
            Self::VolumeDriver => "volume-driver",
        }
    }

    /// The word before it.
    const fn article(self) -> &'static str {
        match self {
            Self::UpdatePolicy => "an",
            Self::Constraint | Self::Preference | Self::VolumeDriver => "a",
        }
    }

    /// Its interface in wit/.
    const fn interface(self) -> &'static str {
        match self {
            Self::Constraint => "constraint",
            Self::Preference => "preference",
            Self::UpdatePolicy => "update",
            Self::VolumeDriver => "volume",
        }
    }

    /// How the new plugin's one line begins.
    const fn summary(self) -> &'static str {
        match self {
            Self::Constraint => "Nodes whose label is at least so much",
            Self::Preference => "As even as room allows, up to a bound",
            Self::UpdatePolicy => "A few targets first, then the rest",
            Self::VolumeDriver => "A file system of its own size on the node",
        }
    }
}

/// A file without the lines about what this kind has not.
fn fitting(kind: Kind, text: String) -> String {
    // Nothing is placed by a volume driver.
    let has = |line: &&str| !(kind == Kind::VolumeDriver && line.starts_with(DEV));
    match text.contains(DEV) {
        true => text.split_inclusive('\n').filter(has).collect(),
        false => text,
    }
}

/// How a line about `plugin dev` begins.
const DEV: &str = "swarmw plugin dev";

/// Makes the folder.
pub(crate) fn run(args: &NewArgs, out: &mut dyn Write) -> Result<()> {
    let Some(kind) = args.kind else { bail!(choices()) };
    let name = names::checked(&args.folder, &args.publisher, args.lang, kind)?;
    if args.folder.exists() {
        bail!("{} exists already: name another folder, or remove it", args.folder.display());
    }
    let language = args.lang.folder();
    let words = Words::new(&name, &args.publisher, kind);
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for part in ["common", kind.as_str()] {
        let prefix = format!("{language}/{part}/");
        for (path, text) in TEMPLATES {
            let Some(path) = path.strip_prefix(&prefix) else { continue };
            let path = if path == "gitignore" { ".gitignore".to_owned() } else { words.fill(path) };
            files.push((path.into(), fitting(kind, words.fill(text))));
        }
    }
    let below = |folder: &str, all: &[(&str, &str)]| -> Vec<(PathBuf, String)> {
        all.iter().map(|(path, text)| (Path::new(folder).join(path), (*text).to_owned())).collect()
    };
    match args.lang {
        Language::Rust => files.extend(below("sdk", SDK)),
        Language::C => files.extend(below("bindings", &c_bindings(kind.interface()))),
        Language::Javascript | Language::Python => {}
    }
    files.extend(below("wit", WIT));
    for (path, text) in files {
        write(&args.folder.join(path), &text)?;
    }
    let folder = args.folder.display();
    let (article, kind) = (kind.article(), kind.as_str());
    let with = match args.lang {
        Language::Rust => "its cases, the SDK and the interface",
        Language::C => "its cases, the bindings and the interface",
        Language::Javascript | Language::Python => "its cases and the interface",
    };
    writeln!(out, "{folder}: {article} {kind} in {}, with {with}\n", args.lang.shown())?;
    writeln!(out, "  cd {folder}")?;
    if let Some(install) = args.lang.install() {
        writeln!(out, "  {install}")?;
    }
    writeln!(out, "  swarmw plugin test")?;
    Ok(())
}

/// What there is to choose, where no kind was named.
fn choices() -> String {
    fn each<T: ValueEnum>() -> String {
        let possible = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let line = |value: PossibleValue| {
            let names: Vec<_> = value.get_name_and_aliases().collect();
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            format!("\n  {:<16} {help}", names.join(", "))
        };
        possible.map(line).collect()
    }
    format!(
        "name what the plugin decides with --kind:{}\nand, unless it is Rust, the language with \
         --lang:{}",
        each::<Kind>(),
        each::<Language>()
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    fs::write(path, text).with_context(failed)
}

/// What the templates leave open.
struct Words([(&'static str, String); 8]);

impl Words {
    fn new(name: &str, publisher: &str, kind: Kind) -> Self {
        let word = name.replace('-', "_");
        Self([
            ("{{name}}", name.to_owned()),
            ("{{word}}", word.clone()),
            ("{{file}}", word),
            ("{{Type}}", names::type_of(name)),
            ("{{publisher}}", publisher.to_owned()),
            ("{{summary}}", kind.summary().to_owned()),
            ("{{kind}}", kind.as_str().to_owned()),
            ("{{a}}", kind.article().to_owned()),
        ])
    }

    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (mark, word)| text.replace(mark, word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_template_of_each_kind_in_each_language() {
        for language in Language::value_variants() {
            for kind in Kind::value_variants() {
                let source =
                    format!("{}/{}/{}", language.folder(), kind.as_str(), language.source());
                assert!(TEMPLATES.iter().any(|(path, _)| *path == source), "{source}");
            }
        }
    }

    #[test]
    fn without_a_kind_all_kinds_and_languages_are_told() {
        let folder = PathBuf::from("never-made");
        let args = NewArgs { kind: None, lang: Language::Rust, publisher: "me".into(), folder };
        let told = run(&args, &mut Vec::new()).expect_err("no kind").to_string();
        for word in ["constraint", "preference", "update-policy", "volume-driver"] {
            assert!(told.contains(&format!("\n  {word} ")), "{told}");
        }
        assert!(told.contains("--placement-pref"), "what each decides: {told}");
        assert!(told.contains("javascript, js") && told.contains("python, py"), "{told}");
    }

    /// A job may not push to a registry that nobody logged it in to.
    #[test]
    fn the_workflow_logs_in_before_it_publishes() {
        let workflow = |(path, _): &&(&str, &str)| path.ends_with(".github/workflows/ci.yml");
        let all: Vec<_> = TEMPLATES.iter().filter(workflow).collect();
        assert!(!all.is_empty());
        for (path, text) in all {
            let login = text.find("docker login ghcr.io").expect(path);
            let publish = text.find("swarmw plugin publish").expect(path);
            assert!(login < publish && text.contains("GITHUB_TOKEN"), "{text}");
        }
    }

    #[test]
    fn templates_leave_nothing_open() {
        let words = Words::new("spread-az", "me", Kind::Preference);
        for (path, text) in TEMPLATES {
            let (path, text) = (words.fill(path), words.fill(text));
            // GitHub's own expressions stand apart with a dollar.
            assert!(!path.contains("{{"), "{path}");
            assert!(!text.replace("${{", "").contains("{{"), "{path}: {text}");
        }
        assert_eq!(words.fill("{{Type}} {{word}}"), "SpreadAz spread_az");
        let words = Words::new("gentle", "me", Kind::UpdatePolicy);
        assert_eq!(words.fill("{{a}} {{kind}}"), "an update-policy");
        let with_articles = TEMPLATES.iter().filter(|(_, text)| text.contains(" {{kind}}"));
        assert!(with_articles.clone().count() >= 4, "the README of each language");
        for (path, text) in with_articles {
            assert!(!text.contains(" a {{kind}}"), "{path}");
        }
    }
}
