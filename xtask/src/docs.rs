//! The documentation's site: mdBook's pages with their reference, which rustdoc and typedoc make.
//!
//! mdBook empties its folder first, so the reference is put into it afterwards. What rustdoc made lies in the target
//! directory already, where the step before left it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{root, succeed, target_dir};

/// Pages of another version could look otherwise, or not be made at all.
const MDBOOK: &str = "0.5.4";

/// Builds the site, checks its links and says where it is.
pub(crate) fn build() -> bool {
    match run() {
        Ok(book) => {
            eprintln!("x docs: the site is in {}", book.display());
            true
        }
        Err(error) => {
            eprintln!("x docs: {error}");
            false
        }
    }
}

fn run() -> Result<PathBuf, String> {
    let site = root().join("docs/site");
    let book = site.join("book");
    let mut pages = Command::new(mdbook()?);
    pages.arg("build").arg(&site).env("MDBOOK_LOG", "warn");
    succeed(pages)?;
    // A picture of the README's, and the reference of Rust.
    let parts = [(root().join("docs/gantt.svg"), book.join("gantt.svg")), (target_dir("doc"), book.join("api/rust"))];
    for (from, to) in parts {
        copy(&from, &to).map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), to.display()))?;
    }
    let mut typedoc = Command::new("npm");
    typedoc.args(["run", "--silent", "reference", "--", "--logLevel", "Error"]);
    typedoc.current_dir(root().join("packages/peristyle"));
    succeed(typedoc)?;
    let mut links = Command::new("node");
    links.arg(site.join("links.mjs")).arg(&book);
    succeed(links)?;
    book.canonicalize().map_err(|error| format!("cannot find {}: {error}", book.display()))
}

/// mdBook of that version; installed below the target directory if it is not there.
fn mdbook() -> Result<PathBuf, String> {
    let tools = target_dir("tools");
    let program = tools.join("bin/mdbook");
    let version = Command::new(&program).arg("--version").output();
    if version.is_ok_and(|output| output.stdout.trim_ascii() == format!("mdbook v{MDBOOK}").as_bytes()) {
        return Ok(program);
    }
    eprintln!("x docs: installing mdbook {MDBOOK} into {}, which takes some minutes", tools.display());
    let mut install = Command::new("cargo");
    install
        .args(["install", "--quiet", "mdbook", "--version", MDBOOK, "--locked", "--force"])
        // Of its features only the search; the others watch and serve.
        .args(["--no-default-features", "--features", "search", "--root"])
        .arg(&tools)
        .env("CARGO_TARGET_DIR", tools.join("build"));
    succeed(install)?;
    // Of no more use, and a gigabyte with time.
    fs::remove_dir_all(tools.join("build")).map_err(|error| format!("cannot tidy {}: {error}", tools.display()))?;
    Ok(program)
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
