//! `peristyle layout`: prints where everything in a struct lies.
//!
//! The document is JSON, in the form that [`Type`] describes. A document that cannot be read as a schema was the wrong
//! thing to ask for and ends in exit code 2, a file that cannot be read in exit code 1.

use std::{
    fmt::{self, Display},
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use peristyle_layout::schema::{Column, SchemaError, StructLayout, Type};

/// The longest document that is read: a thousand times what a struct of many fields needs.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// Which struct, and how to print it.
#[derive(Debug, Args)]
pub(crate) struct Layout {
    /// The schema as JSON, such as {"struct": {"pos": {"struct": {"x": "f32", "y": "f32"}}}}; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print the layout as one line of JSON, and nothing else on stdout.
    #[arg(long)]
    json: bool,
}

/// Why there is nothing to print.
#[derive(Debug, thiserror::Error)]
enum LayoutError {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("is longer than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong,
    #[error("is not a schema: {0}")]
    Document(#[from] serde_json::Error),
    #[error("has no layout: {0}")]
    Schema(#[from] SchemaError),
}

impl Layout {
    /// Reads, lays out and prints.
    pub(crate) fn run(self) -> ExitCode {
        let layout = match read(&self.file).and_then(|document| compile(&document)) {
            Ok(layout) => layout,
            Err(error) => {
                let code = if matches!(error, LayoutError::Unreadable(_)) { 1 } else { 2 };
                return failed(format_args!("{} {error}", self.file.display()), code);
            }
        };
        let text = if self.json { format!("{}\n", report(&layout)) } else { Table(&layout).to_string() };
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(format_args!("cannot print the layout: {error}"), 1),
        }
    }
}

fn failed(error: impl Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::from(code)
}

fn read(file: &Path) -> Result<Vec<u8>, LayoutError> {
    let mut document = Vec::new();
    let source: &mut dyn Read = if file == Path::new("-") { &mut io::stdin().lock() } else { &mut File::open(file)? };
    source.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut document)?;
    if document.len() as u64 > DOCUMENT_BYTES_MAX { Err(LayoutError::TooLong) } else { Ok(document) }
}

fn compile(document: &[u8]) -> Result<StructLayout, LayoutError> {
    let schema: Type = serde_json::from_slice(document)?;
    Ok(StructLayout::compile(&schema)?)
}

/// What the type of a column is called in a schema.
fn type_name(column: &Column) -> &'static str {
    if column.is_entity() { "entity" } else { column.scalar().name() }
}

fn report(layout: &StructLayout) -> serde_json::Value {
    let columns: Vec<_> = layout
        .columns()
        .iter()
        .map(|column| {
            json!({
                "path": column.path(),
                "type": type_name(column),
                "scalar": column.scalar().name(),
                "offset": column.offset(),
                "size": column.scalar().size(),
                "align": column.scalar().size(),
                "column": column.name(),
            })
        })
        .collect();
    json!({
        "size": layout.size(),
        "align": layout.align(),
        "padding": layout.padding(),
        // As text: a JSON number has 53 bits in many readers.
        "hash": format!("{:016x}", layout.hash()),
        "columns": columns,
    })
}

/// One line a column, and the totals.
struct Table<'a>(&'a StructLayout);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table(layout) = self;
        let path_width = layout.columns().iter().map(|column| column.path().len()).max().unwrap_or(0).max("path".len());
        let offset_width = layout.size().to_string().len().max("offset".len());
        writeln!(f, "{:<path_width$}  type    {:>offset_width$}  size  align  column", "path", "offset")?;
        for column in layout.columns() {
            writeln!(
                f,
                "{:<path_width$}  {:<6}  {:>offset_width$}  {:>4}  {:>5}  {}",
                column.path(),
                type_name(column),
                column.offset(),
                column.scalar().size(),
                // A scalar is as large as its alignment.
                column.scalar().size(),
                column.name()
            )?;
        }
        let (size, align, padding) = (layout.size(), layout.align(), layout.padding());
        let columns = layout.columns().len();
        writeln!(f, "size {size}, align {align}, padding {padding}, columns {columns}, hash {:016x}", layout.hash())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_ends_with_the_totals() {
        let document =
            br#"{"struct": {"on": "bool", "vel": {"array": {"struct": {"x": "f64"}}, "len": 2}, "who": "entity"}}"#;
        let layout = compile(document).expect("the document is sound");
        let expected = "\
path      type    offset  size  align  column
on        bool         0     1      1  on
vel[0].x  f64          8     8      8  vel_0_x
vel[1].x  f64         16     8      8  vel_1_x
who       entity      24     8      8  who
size 32, align 8, padding 7, columns 4, hash ";
        let text = Table(&layout).to_string();
        assert_eq!(text, format!("{expected}{:016x}\n", layout.hash()));
    }
}
