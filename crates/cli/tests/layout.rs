//! `peristyle layout`: what it prints, and what it refuses.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn layout(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peristyle"));
    command.arg("layout").args(arguments).output().expect("the binary can be started")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

fn document(name: &str, json: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}.layout.json", std::process::id()));
    fs::write(&path, json).expect("the directory is writable");
    path
}

fn path_of(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

const BODY: &str = r#"{"struct": {
    "on": "bool",
    "pos": {"struct": {"x": "f32", "y": "f64"}},
    "_": {"pad": 4},
    "vel": {"array": {"struct": {"x": "i16", "y": "u8"}, "packed": true}, "len": 2},
    "who": "entity"
}, "align": 16}"#;

#[test]
fn a_layout_is_a_table_with_totals() {
    let output = layout(&[path_of(&document("table", BODY))]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    let expected = [
        "path      type    offset  size  align  column",
        "on        bool         0     1      1  on",
        "pos.x     f32          8     4      4  pos_x",
        "pos.y     f64         16     8      8  pos_y",
        "vel[0].x  i16         28     2      2  vel_0_x",
        "vel[0].y  u8          30     1      1  vel_0_y",
        "vel[1].x  i16         31     2      2  vel_1_x",
        "vel[1].y  u8          33     1      1  vel_1_y",
        "who       entity      40     8      8  who",
    ];
    assert_eq!(lines[..9], expected);
    assert!(lines[9].starts_with("size 48, align 16, padding 21, columns 8, hash "), "{}", lines[9]);
    assert_eq!(lines.len(), 10);
}

#[test]
fn json_is_one_line_that_says_the_same() {
    let output = layout(&["--json", path_of(&document("json", BODY))]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 1);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the line is JSON");
    assert_eq!((&report["size"], &report["align"], &report["padding"]), (&48.into(), &16.into(), &21.into()));
    assert_eq!(report["hash"].as_str().map(str::len), Some(16));
    let columns = report["columns"].as_array().expect("a list");
    assert_eq!(columns.len(), 8);
    let expected = serde_json::json!({
        "path": "vel[1].x", "type": "i16", "scalar": "i16", "offset": 31, "size": 2, "align": 2, "column": "vel_1_x",
    });
    assert_eq!(columns[5], expected);
    assert_eq!((&columns[7]["type"], &columns[7]["scalar"]), (&"entity".into(), &"f64".into()));
}

#[test]
fn a_dash_is_standard_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_peristyle"))
        .args(["layout", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(br#"{"struct": {"x": "u8"}}"#).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && text(&output.stdout).contains("size 1, align 1, padding 0, columns 1"));
}

#[test]
fn what_is_no_schema_is_refused_with_file_and_reason() {
    let long = format!(r#"{{"struct": {{"x": "f32"}}}}{}"#, " ".repeat(1 << 20));
    let deep = format!("{}\"f32\"{}", r#"{"struct":{"a":"#.repeat(50_000), "}}".repeat(50_000));
    for (name, json, reason) in [
        ("empty", "", "is not a schema: EOF while parsing a value at line 1 column 0"),
        ("binary", "\u{0}\u{1}", "is not a schema: expected value at line 1 column 1"),
        ("key", "{\"struct\": {\"x\": \"f32\"},\n \"size\": 4}", "is not a schema: unknown field `size`, expected"),
        ("scalar", r#"{"struct": {"pos": {"struct": {"x": "f16"}}}}"#, "has no layout: `pos.x`: `f16` is no type"),
        ("ansi", r#"{"struct": {"\u001b[2J": "f32"}}"#, r"`\u{1b}[2J` is not a name for a field"),
        ("column", r#"{"struct": {"a_x": "f32", "a": {"struct": {"x": "u8"}}}}"#, "are both the column `a_x`"),
        ("overlap", r#"{"struct": {"a": "u64", "b": {"type": "u8", "at": 7}}}"#, "`b` at 7 overlaps `a`"),
        (
            "overflow",
            r#"{"struct": {"a": "u8", "_": {"pad": 18446744073709551615}}}"#,
            "is larger than 2147483647 bytes",
        ),
        ("columns", r#"{"struct": {"a": {"array": "u8", "len": 4294967296}}}"#, "`a` is more than 16384 columns"),
        ("none", r#"{"struct": {}}"#, "has no layout: the outermost struct has no fields"),
        ("deep", deep.as_str(), "types are nested deeper than 32 at line 1"),
        ("long", long.as_str(), "is longer than 1048576 bytes"),
    ] {
        let file = document(name, json);
        for arguments in [vec![path_of(&file)], vec!["--json", path_of(&file)]] {
            let output = layout(&arguments);
            let message = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{name}: {message}");
            assert!(output.stdout.is_empty(), "{name} printed to stdout");
            let start = format!("error: {} ", file.display());
            assert!(message.starts_with(&start) && message.contains(reason), "{name}: {message}");
            assert_eq!(message.lines().count(), 1, "{name}: {message}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_ends_in_failure() {
    for file in ["nowhere.json", env!("CARGO_TARGET_TMPDIR")] {
        let output = layout(&[file]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.starts_with(&format!("error: {file} cannot be read: ")), "{message}");
    }
}

#[test]
fn a_file_has_to_be_named() {
    assert_eq!(layout(&[]).status.code(), Some(2));
    assert_eq!(layout(&["a", "b"]).status.code(), Some(2));
}
