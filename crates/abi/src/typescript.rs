//! The table as TypeScript.

use std::fmt::Write;

use crate::{
    blocks::Word,
    frames::NEXT,
    status::Status,
    table::{FUNCTIONS, HASH},
};

/// The module `core/abi.ts` of the npm package: the functions' types, and names for what they give.
pub fn typescript() -> String {
    let mut out = String::from(
        "// Made from the table in crates/abi by `cargo run -p peristyle-abi --example typescript`. Do not edit.\n",
    );
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "\n/** The hash of the table that these types were made from. */\nexport const ABI_HASH = {HASH};\n\n\
         /** What a negative result means, by its absolute value. */\nexport const STATUS = [\n  \"ok\","
    );
    for status in Status::ALL {
        let _ = writeln!(out, "  \"{}\",", status.name());
    }
    out.push_str(
        "] as const;\n\n/** What can go wrong in a call. */\nexport type Status = (typeof STATUS)[number];\n\n\
         /** The words of the header, by which the core tells what it does not return: `u32` each. */\n\
         export const HEADER = {\n",
    );
    for (at, (_, name, doc)) in Word::ALL.into_iter().enumerate() {
        let _ = writeln!(out, "  /** {doc} */\n  {name}: {at},");
    }
    out.push_str("} as const;\n\n/** What {@link Abi.next} says. */\nexport const NEXT = {\n");
    for (at, (name, doc)) in NEXT.into_iter().enumerate() {
        let _ = writeln!(out, "  /** {doc} */\n  {name}: {at},");
    }
    out.push_str(
        "} as const;\n\n/**\n * The functions of the core.\n *\n \
         * Texts and lists lie in the scratch block, from its start: what a function takes is written there before the call, \
         what it\n * gives is there after it, until the next call. A negative result is a status; the header says where its \
         message is.\n * `entity` is a handle, a safe integer; a place is `chunk * 16384 + row`.\n */\n\
         export interface Abi {\n",
    );
    for function in FUNCTIONS {
        let arguments: Vec<String> = function.arguments.iter().map(|(name, _)| format!("{name}: number")).collect();
        let _ =
            writeln!(out, "  /** {} */\n  {}({}): number;", function.doc.trim(), function.name, arguments.join(", "));
    }
    out.push_str(
        "}\n\n/**\n * The same functions, behind which `broken` is given what a core throws that breaks off. Each is written out, so \
         that engines\n * compile the way into each for itself.\n */\n\
         export function guarded(raw: Abi, broken: (cause: unknown) => never): Abi {\n  return {\n",
    );
    for function in FUNCTIONS {
        let arguments: Vec<&str> = function.arguments.iter().map(|(name, _)| *name).collect();
        let (name, arguments) = (function.name, arguments.join(", "));
        let _ = writeln!(
            out,
            "    {name}({arguments}) {{\n      try {{\n        return raw.{name}({arguments});\n      }} catch (cause) {{\n        \
             broken(cause);\n      }}\n    }},"
        );
    }
    out.push_str("  };\n}\n");
    out
}
