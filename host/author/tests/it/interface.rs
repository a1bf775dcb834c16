//! The chapter on the interface is the interface: made of what stands in `wit/`,
//! item by item.
//!
//! `UPDATE_DOCS=1 cargo test --workspace the_chapter` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use wit_parser::{Docs, Function, Interface, Resolve, Type, TypeDef, TypeDefKind, TypeOwner};

/// The packages, in the order of the chapter.
const PACKAGES: [(&str, &str); 5] = [
    ("types", "Shared by all kinds: `wit/types.wit`"),
    ("constraint", "Constraints: `wit/deps/constraint/constraint.wit`"),
    ("preference", "Preferences: `wit/deps/preference/preference.wit`"),
    ("update", "Update policies: `wit/deps/update/update.wit`"),
    ("volume", "Volume drivers: `wit/deps/volume/volume.wit`"),
];

const HEAD: &str = "# The interface, item by item\n\n\
    *Made of `wit/` by the tests, which also see that every item there has its line. What the\n\
    kinds are for and how they are called is in [the kinds](kinds.md).*\n";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn interface() -> Resolve {
    let mut resolve = Resolve::default();
    resolve.push_path(top().join("wit")).expect("wit/ parses");
    resolve
}

#[test]
fn the_chapter_says_what_wit_says() {
    let resolve = interface();
    let mut text = HEAD.to_owned();
    for (package, title) in PACKAGES {
        let (_, found) = resolve
            .packages
            .iter()
            .find(|(_, p)| p.name.namespace == "swarmw" && p.name.name == package)
            .expect(package);
        let _ = write!(text, "\n## {title}\n");
        paragraph(&mut text, package, &found.docs);
        for id in found.interfaces.values() {
            one(&mut text, &resolve, &resolve.interfaces[*id]);
        }
        for id in found.worlds.values() {
            let world = &resolve.worlds[*id];
            let _ = write!(text, "\n### world `{}`\n", world.name);
            paragraph(&mut text, &world.name, &world.docs);
        }
    }
    let path = top().join("docs/plugins/interface.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &text).expect("the chapter can be written");
    }
    let now = fs::read_to_string(&path).expect("the chapter is there");
    assert!(
        now == text,
        "{} is not of this wit/: run UPDATE_DOCS=1 cargo test --workspace the_chapter",
        path.display()
    );
}

fn one(text: &mut String, resolve: &Resolve, interface: &Interface) {
    let name = interface.name.as_deref().expect("a named interface");
    let _ = write!(text, "\n### interface `{name}`\n");
    paragraph(text, name, &interface.docs);
    for function in interface.functions.values() {
        let _ = write!(text, "\n#### `{}`\n", signature(resolve, function));
        paragraph(text, &function.name, &function.docs);
    }
    for id in interface.types.values() {
        let ty = &resolve.types[*id];
        // What another interface defines is explained there.
        if !matches!(ty.kind, TypeDefKind::Type(_)) {
            defined(text, resolve, ty);
        }
    }
}

fn defined(text: &mut String, resolve: &Resolve, ty: &TypeDef) {
    let name = ty.name.as_deref().expect("a named type");
    let _ = write!(text, "\n#### {} `{name}`\n", ty.kind.as_str());
    paragraph(text, name, &ty.docs);
    let rows: Vec<(String, String, &Docs)> = match &ty.kind {
        TypeDefKind::Record(record) => record
            .fields
            .iter()
            .map(|field| (field.name.clone(), shown(resolve, &field.ty), &field.docs))
            .collect(),
        TypeDefKind::Variant(variant) => variant
            .cases
            .iter()
            .map(|case| {
                let of = case.ty.as_ref().map(|ty| shown(resolve, ty)).unwrap_or_default();
                (case.name.clone(), of, &case.docs)
            })
            .collect(),
        TypeDefKind::Enum(all) => {
            all.cases.iter().map(|case| (case.name.clone(), String::new(), &case.docs)).collect()
        }
        other => panic!("{name}: {other:?} is not explained by this chapter"),
    };
    let _ = write!(text, "\n| | type | |\n|---|---|---|\n");
    for (item, of, docs) in rows {
        let line = sentence(&format!("{name}.{item}"), docs).replace('|', "\\|");
        let of = if of.is_empty() { of } else { format!("`{of}`") };
        let _ = writeln!(text, "| `{item}` | {of} | {line} |");
    }
}

/// What an item says, in one line; an item that says nothing fails the test.
fn sentence(item: &str, docs: &Docs) -> String {
    let said = docs.contents.as_deref().unwrap_or_default();
    let words: Vec<&str> = said.split_whitespace().collect();
    assert!(!words.is_empty(), "{item} has no line in wit/");
    words.join(" ")
}

fn paragraph(text: &mut String, item: &str, docs: &Docs) {
    let _ = write!(text, "\n{}\n", sentence(item, docs));
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<String> = function
        .params
        .iter()
        .map(|param| format!("{}: {}", param.name, shown(resolve, &param.ty)))
        .collect();
    let result = function.result.as_ref().map(|ty| format!(" -> {}", shown(resolve, ty)));
    format!("{}({}){}", function.name, parameters.join(", "), result.unwrap_or_default())
}

/// A type as `wit/` writes it.
fn shown(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else {
        return format!("{ty:?}").to_lowercase();
    };
    let ty = &resolve.types[*id];
    let optional =
        |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| shown(resolve, ty));
    match (&ty.name, &ty.kind) {
        (Some(name), _) if !matches!(ty.owner, TypeOwner::None) => name.clone(),
        (_, TypeDefKind::List(of)) => format!("list<{}>", shown(resolve, of)),
        (_, TypeDefKind::Option(of)) => format!("option<{}>", shown(resolve, of)),
        (_, TypeDefKind::Tuple(all)) => {
            let all: Vec<_> = all.types.iter().map(|ty| shown(resolve, ty)).collect();
            format!("tuple<{}>", all.join(", "))
        }
        (_, TypeDefKind::Result(result)) => {
            format!("result<{}, {}>", optional(&result.ok), optional(&result.err))
        }
        (_, other) => other.as_str().to_owned(),
    }
}
