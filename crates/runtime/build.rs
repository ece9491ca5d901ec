//! Writes a table of the npm package's sources, which the runtime holds as they are.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = manifest.join("../../packages/peristyle/src").canonicalize()?;
    println!("cargo::rerun-if-changed={}", root.display());
    let mut names = Vec::new();
    collect(&root, "", &mut names)?;
    names.sort();
    let entry = |name: &String| format!("    ({name:?}, include_str!({:?})),\n", root.join(name));
    let table: String = names.iter().map(entry).collect();
    let out = Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("sources.rs");
    fs::write(out, format!("&[\n{table}]\n"))
}

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
