//! Writes a table of the npm package's sources, which the runtime holds as they are.
//!
//! Paths are relative to this package, for cargo and in the table: what was built in one checkout says nothing of another, also
//! where they share a target directory.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = manifest.join(SOURCES);
    println!("cargo::rerun-if-changed={SOURCES}");
    let mut names = Vec::new();
    collect(&root, "", &mut names)?;
    names.sort();
    let path = |name: &String| format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?})", format!("/{SOURCES}/{name}"));
    let entry = |name: &String| format!("    ({name:?}, include_str!({})),\n", path(name));
    let table: String = names.iter().map(entry).collect();
    let out = Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("sources.rs");
    fs::write(out, format!("&[\n{table}]\n"))
}

/// Where the sources are from this package.
const SOURCES: &str = "../../packages/peristyle/src";

/// What is generated: builds of the core, of which the runtime has its own.
const LEFT_OUT: &str = "core/generated";

/// All TypeScript below a directory, by path.
fn collect(directory: &Path, prefix: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if name == LEFT_OUT {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), names)?;
        } else if name.ends_with(".ts") && !name.ends_with(".d.ts") {
            names.push(name);
        }
    }
    Ok(())
}
