//! A checkout of the suite: which files are tests, and how one is run.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peristyle_agents::test262::{Goal, Script, Test};

use crate::front_matter::FrontMatter;
use crate::{Mode, SuiteError};

/// A checkout of tc39/test262, or of anything that is laid out as it is: `harness/` and `test/`.
#[derive(Debug)]
pub struct Checkout {
    root: PathBuf,
    harness: Mutex<HashMap<String, Arc<str>>>,
}

/// A test: a file, and what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFile {
    /// Its path below `test/`, with slashes.
    pub path: String,
    /// What it says of itself.
    pub matter: FrontMatter,
}

impl Checkout {
    /// Opens a checkout.
    ///
    /// # Errors
    /// [`SuiteError::NoCheckout`] if it lacks `harness/` with its files, or `test/`.
    pub fn open(root: &Path) -> Result<Checkout, SuiteError> {
        let no = |lacks: &str| SuiteError::NoCheckout { path: root.to_owned(), lacks: lacks.to_owned() };
        for file in ["harness/assert.js", "harness/sta.js", "harness/doneprintHandle.js"] {
            if !root.join(file).is_file() {
                return Err(no(file));
            }
        }
        if !root.join("test").is_dir() {
            return Err(no("test/"));
        }
        let root = fs::canonicalize(root).map_err(|source| SuiteError::Read { path: root.to_owned(), source })?;
        Ok(Checkout { root, harness: Mutex::default() })
    }

    /// Where it lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The tests whose path below `test/` starts with one of these (all, if there are none), in order of their paths. A
    /// filter may start with `test/` as well.
    ///
    /// # Errors
    /// [`SuiteError::NoTests`] for a filter that matches nothing, [`SuiteError::FrontMatter`] and
    /// [`SuiteError::Include`] for the first file that cannot be understood, [`SuiteError::Read`].
    pub fn tests(&self, filters: &[String]) -> Result<Vec<TestFile>, SuiteError> {
        let filters: Vec<_> = filters.iter().map(|filter| filter.strip_prefix("test/").unwrap_or(filter)).collect();
        let mut paths = Vec::new();
        find(&self.root.join("test"), "", &filters, &mut paths)?;
        for filter in &filters {
            if !paths.iter().any(|path| path.starts_with(filter)) {
                return Err(SuiteError::NoTests { filter: Some((*filter).to_owned()) });
            }
        }
        if paths.is_empty() {
            return Err(SuiteError::NoTests { filter: None });
        }
        paths.sort_unstable();
        paths.into_iter().map(|path| Ok(self.test(path)?.0)).collect()
    }

    /// One test, and its text.
    ///
    /// # Errors
    /// As for [`Checkout::tests`].
    pub fn test(&self, path: String) -> Result<(TestFile, String), SuiteError> {
        let text = self.read(&Path::new("test").join(&path))?;
        let matter = FrontMatter::parse(&text)
            .map_err(|error| SuiteError::FrontMatter { path: format!("test/{path}"), error })?;
        for include in &matter.includes {
            if !self.root.join("harness").join(include).is_file() {
                return Err(SuiteError::Include { path: format!("test/{path}"), include: include.clone() });
            }
        }
        Ok((TestFile { path, matter }, text))
    }

    /// What an agent needs to run a test in a mode.
    ///
    /// # Errors
    /// As for [`Checkout::test`].
    pub fn prepare(&self, path: &str, mode: Mode, time_limit: Duration) -> Result<(TestFile, Test), SuiteError> {
        let (file, mut text) = self.test(path.to_owned())?;
        let matter = &file.matter;
        let mut harness = Vec::new();
        if !matter.raw {
            let always = ["assert.js", "sta.js"];
            let is_async = matter.is_async.then_some("doneprintHandle.js");
            let names = always.into_iter().chain(is_async).chain(matter.includes.iter().map(String::as_str));
            for name in names {
                harness.push(Script { name: format!("harness/{name}"), text: self.harness(name)?.as_ref().to_owned() });
            }
        }
        if mode == Mode::Strict {
            text.insert_str(0, "\"use strict\";\n");
        }
        let test = Test {
            harness,
            path: self.root.join("test").join(path),
            text,
            goal: if matter.module { Goal::Module } else { Goal::Script },
            is_async: matter.is_async,
            may_block: matter.can_block.unwrap_or(true),
            time_limit,
        };
        Ok((file, test))
    }

    fn harness(&self, name: &str) -> Result<Arc<str>, SuiteError> {
        let mut known = self.harness.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = known.get(name) {
            return Ok(text.clone());
        }
        let text: Arc<str> = self.read(&Path::new("harness").join(name))?.into();
        known.insert(name.to_owned(), text.clone());
        Ok(text)
    }

    fn read(&self, path: &Path) -> Result<String, SuiteError> {
        let path = self.root.join(path);
        fs::read_to_string(&path).map_err(|source| SuiteError::Read { path, source })
    }
}

impl TestFile {
    /// The modes in which it runs.
    pub fn modes(&self) -> &'static [Mode] {
        let matter = &self.matter;
        match () {
            () if matter.module => &[Mode::Module],
            () if matter.raw => &[Mode::Raw],
            () if matter.only_strict => &[Mode::Strict],
            () if matter.no_strict => &[Mode::Sloppy],
            () => &[Mode::Sloppy, Mode::Strict],
        }
    }
}

/// Finds files below a directory whose paths start with a filter; directories without such files are not entered.
fn find(directory: &Path, at: &str, filters: &[&str], found: &mut Vec<String>) -> Result<(), SuiteError> {
    let failed = |source| SuiteError::Read { path: directory.to_owned(), source };
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
        if entry.file_type().map_err(failed)?.is_dir() {
            let inside = format!("{path}/");
            let leads = |filter: &&str| filter.starts_with(&inside) || inside.starts_with(filter);
            if filters.is_empty() || filters.iter().any(leads) {
                find(&entry.path(), &path, filters, found)?;
            }
        } else if name.ends_with(".js")
            && !name.contains("_FIXTURE")
            && (filters.is_empty() || filters.iter().any(|filter| path.starts_with(filter)))
        {
            found.push(path);
        }
    }
    Ok(())
}
