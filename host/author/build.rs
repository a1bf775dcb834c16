//! Packs what `swarmw plugin new` writes out: the templates, the interface, and an
//! SDK with its bindings made beforehand, so that it needs no other crate.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::{Opts, WithOption};
use wit_parser::Resolve;

/// What stands in the SDK's sources where the bindings are made.
const MACRO: &str = "wit_bindgen::generate!({";
/// Where that ends.
const MACRO_END: &str = "});";

/// What begins the part of C bindings that names the object file.
const FORCE_LINK: &str = "// Ensure that the *_component_type.o object is linked in";

fn main() -> Result<()> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("run by cargo")?);
    let (sdk, wit) = (top.join("sdk/rust"), top.join("wit"));
    let templates = top.join("sdk/templates");
    for watched in
        [&sdk.join("src"), &sdk.join("Cargo.toml"), &sdk.join("derive"), &wit, &templates]
    {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    let mut code = String::new();
    pack(&mut code, "SDK", &pure(&sdk, &wit)?)?;
    pack(&mut code, "WIT", &read(&wit)?)?;
    pack(&mut code, "TEMPLATES", &read(&templates)?)?;
    pack(&mut code, "C_BINDINGS", &c_bindings(&wit)?)?;
    fs::write(out.join("embedded.rs"), code).context("cannot write embedded.rs")
}

type Sources = Vec<(String, String)>;

/// The SDK's sources with every use of the macro in its expanded form.
fn pure(sdk: &Path, wit: &Path) -> Result<Sources> {
    let mut sources = Sources::new();
    for (name, text) in read(sdk)? {
        let wanted =
            name == "Cargo.toml" || name.starts_with("src/") || name.starts_with("derive/");
        if !wanted || name.contains("target/") {
            continue;
        }
        sources.extend(match text.split_once(MACRO) {
            Some((head, rest)) => {
                let (arguments, tail) = rest.split_once(MACRO_END).context("the macro's end")?;
                let stem = Path::new(&name).file_stem().context("a source")?.to_string_lossy();
                let module = format!("generated/{stem}.rs");
                let bindings =
                    bindings(wit, arguments).with_context(|| format!("the bindings of {name}"))?;
                let text = format!("{head}include!({module:?});{tail}");
                let folder = Path::new(&name).parent().context("a folder")?;
                vec![(name.clone(), text), (folder.join(module).to_string_lossy().into(), bindings)]
            }
            None if name == "Cargo.toml" => vec![(name, without_bindgen(&text))],
            None => vec![(name, text)],
        });
    }
    Ok(sources)
}

/// A header and a source for each kind, so that C needs a compiler alone. What a module
/// exports is written into it when the component is made, not by an object file.
fn c_bindings(wit: &Path) -> Result<Sources> {
    let mut sources = Sources::new();
    for kind in ["constraint", "preference", "update", "volume"] {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(wit)?;
        let world = format!("swarmw:{kind}/{kind}-plugin");
        let world = resolve.select_world(&[package], Some(&world))?;
        let mut files = Files::default();
        // Names as short as they can be told apart.
        let short = |interface: &str, name: &str| (format!("{interface}@0.1.0"), name.to_owned());
        let options = wit_bindgen_c::Opts {
            no_object_file: true,
            rename_world: Some("swarmw".to_owned()),
            rename: vec![
                short("swarmw:types/types", "swarmw"),
                short("swarmw:types/host", "host"),
                short("swarmw:types/plugin", "plugin"),
                short(&format!("swarmw:{kind}/{kind}"), kind),
            ],
            ..Default::default()
        };
        options.build().generate(&mut resolve, world, &mut files)?;
        for (name, bytes) in files.iter() {
            let text = String::from_utf8(bytes.to_vec())?;
            sources.push((format!("{kind}/{name}"), without_object_file(&text)?));
        }
    }
    Ok(sources)
}

/// A source without what would have the linker ask for an object file of types.
fn without_object_file(source: &str) -> Result<String> {
    let Some((head, rest)) = source.split_once(FORCE_LINK) else { return Ok(source.to_owned()) };
    let (_, tail) = rest.split_once("}\n").context("the function's end")?;
    Ok(format!("{}\n{tail}", head.trim_end()))
}

/// The manifest without the macro's crate.
fn without_bindgen(manifest: &str) -> String {
    let kept = |line: &&str| !line.starts_with("wit-bindgen") && !line.starts_with('#');
    manifest.lines().filter(kept).fold(String::new(), |text, line| text + line + "\n")
}

/// What the macro would make of its arguments, which are those of the SDK alone.
fn bindings(wit: &Path, arguments: &str) -> Result<String> {
    let world = between(arguments, "inline: \"", "\",").context("inline")?;
    let name = between(arguments, "world: \"swarmw:sdk/", "\"").context("world")?;
    let mut resolve = Resolve::default();
    resolve.push_path(wit)?;
    let package = resolve.push_str("sdk", world)?;
    let world = resolve.select_world(&[package], Some(name))?;
    let options = Opts {
        runtime_path: Some("crate::rt".to_owned()),
        additional_derive_attributes: vec!["PartialEq".to_owned(), "Clone".to_owned()],
        pub_export_macro: true,
        generate_all: true,
        with: arguments
            .contains("with:")
            .then(|| {
                let types = WithOption::Path("crate::raw::bindings::types".to_owned());
                ("swarmw:types/types@0.1.0".to_owned(), types)
            })
            .into_iter()
            .collect(),
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, text) = files.iter().next().context("one file")?;
    Ok(String::from_utf8(text.to_vec())?)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(inside, _)| inside)
}

/// Every text file below a folder, by its path inside.
fn read(folder: &Path) -> Result<Sources> {
    let mut sources = Sources::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("{}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
                continue;
            }
            let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
            sources.push((name, text));
        }
    }
    sources.sort();
    Ok(sources)
}

fn pack(code: &mut String, name: &str, sources: &Sources) -> Result<()> {
    write!(code, "pub const {name}: &[(&str, &str)] = &[")?;
    for (path, text) in sources {
        write!(code, "({path:?}, {text:?}),")?;
    }
    writeln!(code, "];")?;
    Ok(())
}
