//! Compose files as users write them, what Docker's client makes of them, and what
//! becomes of them in the cluster.

mod access;
mod convert;
mod current;
mod docker;
mod refused;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use swarmw_compose::{Input, Loaded, Request, Stack, Troubles, load};

/// Where the files of tests are said to be.
const FOLDER: &str = "/stack";

/// Files by their names in [`FOLDER`], and variables.
#[derive(Default)]
struct Case<'c> {
    files: Vec<(&'c str, &'c str)>,
    variables: Vec<(&'c str, &'c str)>,
    profiles: Vec<&'c str>,
    skip_interpolation: bool,
}

// === impl Case ===

impl<'c> Case<'c> {
    /// One file, `c.yml`.
    fn of(text: &'c str) -> Self {
        Self { files: vec![("c.yml", text)], ..Self::default() }
    }

    fn and(mut self, name: &'c str, text: &'c str) -> Self {
        self.files.push((name, text));
        self
    }

    fn set(mut self, name: &'c str, value: &'c str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let found = self.files.iter().find(|(name, _)| Path::new(FOLDER).join(name) == path);
        found
            .map(|(_, text)| text.as_bytes().to_vec())
            .ok_or_else(|| io::Error::from_raw_os_error(2))
    }

    /// Reads the files `names`.
    fn load(&self, names: &[&str]) -> Result<Loaded, Troubles> {
        let input = |name: &&str| Input {
            name: (*name).to_owned(),
            text: self.files.iter().find(|(n, _)| n == name).expect(name).1.to_owned(),
        };
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        load(&Request {
            files: names.iter().map(input).collect(),
            folder: PathBuf::from(FOLDER),
            environment: self.variables.iter().map(owned).collect::<BTreeMap<_, _>>(),
            profiles: self.profiles.iter().map(|p| (*p).to_owned()).collect(),
            interpolate: !self.skip_interpolation,
            read: &|path| self.read(path),
        })
    }

    /// The first file as YAML.
    fn yaml(&self) -> Result<String, String> {
        let name = self.files[0].0;
        self.load(&[name]).map(|all| all.project.to_yaml()).map_err(|error| error.to_string())
    }

    /// The first file as the stack `st`.
    fn stack(&self) -> Result<Stack, String> {
        let name = self.files[0].0;
        let loaded = self.load(&[name]).map_err(|error| error.to_string())?;
        Stack::new(&loaded.project, "st", &|path| self.read(path))
            .map_err(|error| error.to_string())
    }

    /// What is wrong with the first file.
    fn refused(&self) -> String {
        match self.stack() {
            Ok(stack) => panic!("not refused: {stack:?}"),
            Err(error) => error,
        }
    }
}
