//! The C header has the layout of the Rust descriptor: a C compiler compares every size, offset and constant.

use std::mem::{offset_of, size_of};
use std::path::Path;
use std::process::Command;

use peristyle_layout::Scalar;
use peristyle_layout::descriptor::{ACCESS_READ, ACCESS_WRITE, Column, Descriptor, Group, VERSION};

/// Assertions about a struct and the fields that both sides name alike.
macro_rules! assertions {
    ($($of:ident as $c:literal { $($field:ident)* })*) => {{
        let mut asserted = Vec::new();
        $(
            asserted.push((format!("sizeof(struct {})", $c), size_of::<$of>()));
            $(asserted.push((format!("offsetof(struct {}, {})", $c, stringify!($field)), offset_of!($of, $field)));)*
            let _exhaustive = |of: $of| { let $of { $($field: _),* } = of; };
        )*
        asserted
    }};
}

fn clang() -> Command {
    let known = "/usr/lib/llvm-19/bin/clang";
    Command::new(if Path::new(known).exists() { known } else { "clang" })
}

fn compiles(assertions: &[(String, usize)]) -> Result<(), String> {
    let mut text = String::from("#include <peristyle_kernel.h>\n");
    for (what, is) in assertions {
        text += &format!("_Static_assert({what} == {is}, \"{what}\");\n");
    }
    let file = format!("header-{}-{}.c", assertions.len(), std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    std::fs::write(&file, text).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let output = clang()
        .args(["--target=wasm32", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"])
        .args([&include, &file])
        .output()
        .expect("clang can be started");
    std::fs::remove_file(&file).unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn the_header_has_the_layout_of_the_descriptor() {
    let mut assertions = assertions! {
        Descriptor as "peristyle_descriptor" {
            version rows dt time eids despawn groups components resources extra extra_bytes extra_version
        }
        Group as "peristyle_group" { id access changed columns column_count reserved }
        Column as "peristyle_column" { offset len scalar reserved }
    };
    assertions.push(("PERISTYLE_VERSION".into(), VERSION as usize));
    assertions.push(("PERISTYLE_READ".into(), ACCESS_READ as usize));
    assertions.push(("PERISTYLE_WRITE".into(), ACCESS_WRITE as usize));
    for scalar in Scalar::ALL {
        assertions.push((format!("PERISTYLE_{}", scalar.name().to_uppercase()), scalar as usize));
    }
    compiles(&assertions).unwrap();
    // The check itself finds what differs.
    let error = compiles(&[("offsetof(struct peristyle_descriptor, dt)".into(), 16)]).unwrap_err();
    assert!(error.contains("peristyle_descriptor, dt"), "{error}");
}
