//! Checks that every selection of packages builds SpiderMonkey in the same way.
//!
//! Cargo unites features over the packages that are built together, build scripts' included. If one package asks for a
//! feature of a crate below `mozjs_sys` that another does not ask for, then building them one after the other compiles
//! the engine twice, ten minutes each.

use std::{collections::BTreeSet, process::Command};

use crate::root;

/// The packages that somebody builds on their own and that contain the engine.
const SELECTIONS: [&[&str]; 9] = [
    &["--workspace"],
    &["-p", "peristyle-agents"],
    &["-p", "peristyle"],
    &["-p", "peristyle-runtime"],
    &["-p", "peristyle-sky"],
    &["-p", "peristyle-cli"],
    &["-p", "peristyle-bench"],
    &["-p", "peristyle-kernel-c"],
    &["-p", "peristyle-kernel-rust"],
];

/// Whether there is one engine; says what differs if not.
pub(crate) fn is_built_once() -> bool {
    let Some(expected) = below_engine(SELECTIONS[0]) else { return false };
    SELECTIONS[1..].iter().all(|selection| {
        let Some(found) = below_engine(selection) else { return false };
        for odd in found.symmetric_difference(&expected) {
            eprintln!("building {} and the workspace would compile SpiderMonkey twice: {odd}", selection.join(" "));
        }
        found == expected
    })
}

/// The packages below `mozjs_sys` with their features, as `cargo tree` prints them.
fn below_engine(selection: &[&str]) -> Option<BTreeSet<String>> {
    let output = Command::new("cargo")
        .arg("tree")
        .args(selection)
        .args(["--edges", "normal,build", "--prefix", "depth", "--no-dedupe", "--format", " {p} [{f}]"])
        .current_dir(root())
        .output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            eprintln!("cargo tree: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Err(error) => {
            eprintln!("cannot start cargo: {error}");
            return None;
        }
    };
    let (mut packages, mut engine_depth) = (BTreeSet::new(), None);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((depth, package)) = line.split_once(' ') else { continue };
        let Ok(depth) = depth.parse::<u32>() else { continue };
        if engine_depth.is_some_and(|engine| depth <= engine) {
            engine_depth = None;
        }
        if package.starts_with("mozjs_sys ") && engine_depth.is_none() {
            engine_depth = Some(depth);
        }
        if engine_depth.is_some() {
            packages.insert(package.to_owned());
        }
    }
    Some(packages)
}
