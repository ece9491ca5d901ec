//! What a view shows, as declarations for clients in TypeScript.

use std::fmt::Write;

use peristyle_layout::Scalar;

use crate::schema::Schema;

impl Schema {
    /// A TypeScript module that declares each component of the view, so that `view.get(Position).latitude` has a type.
    ///
    /// A name that is no identifier of TypeScript has `_` where it must not have what it has, and a number if two would
    /// then be the same; what the host calls it stays.
    pub fn to_typescript(&self) -> String {
        let mut out =
            String::from("// Written by `peristyle types`.\nimport { component } from \"peristyle/client\";\n");
        let mut taken: Vec<String> = vec!["component".to_owned()];
        for component in self.components() {
            let wanted = identifier(&component.name);
            let numbered = (2..).map(|number| format!("{wanted}{number}"));
            let name = std::iter::once(wanted.clone()).chain(numbered).find(|name| !taken.contains(name));
            let name = name.unwrap_or(wanted);
            // Writing to a string cannot fail.
            let _ = write!(out, "\nexport const {name} = component({}, {{", text(&component.name));
            for field in &component.fields {
                let key = if is_identifier(&field.name) { field.name.clone() } else { text(&field.name) };
                let _ = write!(out, "\n  {key}: \"{}\",", scalar(field.scalar));
            }
            out.push_str(if component.fields.is_empty() { "});\n" } else { "\n});\n" });
            taken.push(name);
        }
        out
    }
}

fn scalar(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::F32 => "f32",
        Scalar::F64 => "f64",
        Scalar::I8 => "i8",
        Scalar::U8 => "u8",
        Scalar::I16 => "i16",
        Scalar::U16 => "u16",
        Scalar::I32 => "i32",
        Scalar::U32 => "u32",
        Scalar::I64 => "i64",
        Scalar::U64 => "u64",
        Scalar::Bool => "bool",
    }
}

fn is_identifier(name: &str) -> bool {
    let is_start = |char: char| char.is_ascii_alphabetic() || matches!(char, '_' | '$');
    name.starts_with(is_start) && name.chars().all(|char| is_start(char) || char.is_ascii_digit())
}

/// Words that name nothing in a module.
const RESERVED: [&str; 47] = [
    "arguments",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "yield",
];

fn identifier(name: &str) -> String {
    let mut made: String =
        name.chars().map(|char| if char.is_ascii_alphanumeric() || char == '$' { char } else { '_' }).collect();
    if !is_identifier(&made) || RESERVED.contains(&made.as_str()) {
        made.insert(0, '_');
    }
    made
}

/// A text as JavaScript has it.
fn text(name: &str) -> String {
    let mut out = String::from('"');
    for char in name.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            char if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Coding, ComponentSchema, FieldSchema, Predictor};

    #[test]
    fn components_become_declarations() {
        let field = |name: &str, scalar| FieldSchema {
            name: name.into(),
            scalar,
            coding: Coding::Exact,
            predictor: Predictor::Hold,
        };
        let component =
            |name: &str, fields| ComponentSchema { name: name.into(), layout_hash: 0, required: true, fields };
        let schema = Schema::new(vec![
            component("Position", vec![field("latitude", Scalar::F32), field("is_up", Scalar::Bool)]),
            component("sky::Position", vec![field("a.b", Scalar::U64)]),
            component("sky__Position", vec![]),
            component("new", vec![]),
            component("a\"b\n", vec![]),
        ]);
        let text = schema.to_typescript();
        for part in [
            "import { component } from \"peristyle/client\";\n",
            "export const Position = component(\"Position\", {\n  latitude: \"f32\",\n  is_up: \"bool\",\n});\n",
            "export const sky__Position = component(\"sky::Position\", {\n  \"a.b\": \"u64\",\n});\n",
            "export const sky__Position2 = component(\"sky__Position\", {});\n",
            "export const _new = component(\"new\", {});\n",
            "export const a_b_ = component(\"a\\\"b\\u{a}\", {});\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
