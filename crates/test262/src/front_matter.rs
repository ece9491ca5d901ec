//! What a test says of itself: YAML between `/*---` and `---*/`, of which the suite uses little.
//!
//! Keys stand at the line's start. The values that decide how a test is run are lists, in brackets or one item a line, and
//! `negative`, a mapping of two words. All else (descriptions, notes) is passed over by its indentation.
//!
//! # Rules
//! - Total: any text gives a value or an error that names a line of the file.
//! - What would change how a test is run, and is not known, is an error: an unknown flag, an unknown phase.

use std::fmt;

/// How a test is to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrontMatter {
    /// Files of `harness/` that are evaluated first.
    pub includes: Vec<String>,
    /// What it needs of the engine.
    pub features: Vec<String>,
    /// What it must throw.
    pub negative: Option<Negative>,
    /// It runs in strict mode only.
    pub only_strict: bool,
    /// It runs in sloppy mode only.
    pub no_strict: bool,
    /// It is a module.
    pub module: bool,
    /// It runs as it is, without harness.
    pub raw: bool,
    /// It prints when it is done.
    pub is_async: bool,
    /// Whether its agent may block, if it says so.
    pub can_block: Option<bool>,
}

/// What a test must throw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negative {
    /// When.
    pub phase: Phase,
    /// The name of the error's constructor.
    pub name: String,
}

/// When a test throws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// While it is parsed, early errors included.
    Parse,
    /// While its imports are loaded and linked.
    Resolution,
    /// While it runs.
    Runtime,
}

/// What is wrong with a test's front matter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {reason}")]
pub struct FrontMatterError {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong with a line of front matter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// There is none.
    #[error("no front matter (/*--- … ---*/)")]
    Absent,
    /// It has no end.
    #[error("the front matter has no end (---*/)")]
    Open,
    /// Neither a key nor what belongs to one.
    #[error("expected `key:`, found {0:?}")]
    NoKey(String),
    /// The key was there before.
    #[error("{0:?} is there twice")]
    Twice(String),
    /// The value is no list.
    #[error("{0:?} is no list")]
    NoList(String),
    /// No flag of that name is known.
    #[error("unknown flag {0:?}")]
    Flag(String),
    /// Two flags that exclude each other.
    #[error("the flags {0} and {1} exclude each other")]
    Flags(&'static str, &'static str),
    /// `negative` lacks a key.
    #[error("`negative` has no {0:?}")]
    Negative(&'static str),
    /// No phase of that name is known.
    #[error("unknown phase {0:?}: expected parse, resolution or runtime")]
    Phase(String),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Parse => "parse",
            Phase::Resolution => "resolution",
            Phase::Runtime => "runtime",
        })
    }
}

/// A key, its value's lines, and where it stands.
struct Entry<'t> {
    line: usize,
    key: &'t str,
    value: Vec<&'t str>,
}

impl FrontMatter {
    /// Reads the front matter in a test's text.
    ///
    /// # Errors
    /// [`FrontMatterError`].
    pub fn parse(text: &str) -> Result<FrontMatter, FrontMatterError> {
        let at = |line, reason| FrontMatterError { line, reason };
        let (before, rest) = text.split_once("/*---").ok_or_else(|| at(1, Reason::Absent))?;
        let first = lines(before).count().max(1);
        let (body, _) = rest.split_once("---*/").ok_or_else(|| at(first, Reason::Open))?;
        let mut matter = FrontMatter::default();
        let mut seen: Vec<&str> = Vec::new();
        for Entry { line, key, value } in entries(body, first)? {
            if seen.contains(&key) {
                return Err(at(line, Reason::Twice(key.to_owned())));
            }
            seen.push(key);
            let items = || list(&value).ok_or_else(|| at(line, Reason::NoList(key.to_owned())));
            match key {
                "includes" => matter.includes = items()?,
                "features" => matter.features = items()?,
                "flags" => {
                    for flag in items()? {
                        matter.set(&flag).map_err(|reason| at(line, reason))?;
                    }
                }
                "negative" => matter.negative = Some(negative(&value).map_err(|reason| at(line, reason))?),
                _ => {}
            }
        }
        Ok(matter)
    }

    fn set(&mut self, flag: &str) -> Result<(), Reason> {
        match flag {
            "onlyStrict" => self.only_strict = true,
            "noStrict" => self.no_strict = true,
            "module" => self.module = true,
            "raw" => self.raw = true,
            "async" => self.is_async = true,
            "CanBlockIsFalse" | "CanBlockIsTrue" => {
                let can = flag == "CanBlockIsTrue";
                if self.can_block.is_some_and(|known| known != can) {
                    return Err(Reason::Flags("CanBlockIsFalse", "CanBlockIsTrue"));
                }
                self.can_block = Some(can);
            }
            "generated" | "non-deterministic" => {}
            other => return Err(Reason::Flag(other.to_owned())),
        }
        for (one, other, both) in [
            ("onlyStrict", "noStrict", self.only_strict && self.no_strict),
            ("onlyStrict", "raw", self.only_strict && self.raw),
            ("raw", "async", self.raw && self.is_async),
        ] {
            if both {
                return Err(Reason::Flags(one, other));
            }
        }
        Ok(())
    }
}

/// Lines by any of the line ends that editors and ECMAScript's tests have.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    // A carriage return alone ends a line, too: some tests are about it.
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn entries(body: &str, first: usize) -> Result<Vec<Entry<'_>>, FrontMatterError> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    // All of it may be indented.
    let blank = |c: char| c == ' ' || c == '\t';
    let indented = lines(body).find(|line| !line.trim().is_empty()).unwrap_or_default();
    let indentation = &indented[..indented.len() - indented.trim_start_matches(blank).len()];
    for (at, line) in lines(body).enumerate() {
        let number = first + at;
        let line = line.strip_prefix(indentation).unwrap_or(line);
        let is_value = line.trim().is_empty() || line.starts_with([' ', '\t', '-', '#']);
        match (is_value, entries.last_mut()) {
            (true, Some(entry)) => entry.value.push(line),
            (true, None) if line.trim().is_empty() || line.starts_with('#') => {}
            // A list in brackets may go on, and end, at the line's start.
            (false, Some(entry)) if is_open(&entry.value) => entry.value.push(line),
            _ => match line.split_once(':') {
                Some((key, value)) if is_key(key) => entries.push(Entry { line: number, key, value: vec![value] }),
                _ => {
                    let found = line.trim().chars().take(60).collect();
                    return Err(FrontMatterError { line: number, reason: Reason::NoKey(found) });
                }
            },
        }
    }
    Ok(entries)
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Whether a value is a list in brackets without its end.
fn is_open(value: &[&str]) -> bool {
    value.first().is_some_and(|first| first.trim_start().starts_with('['))
        && !value.iter().any(|line| line.contains(']'))
}

/// The items of a list; nothing if it is none.
fn list(value: &[&str]) -> Option<Vec<String>> {
    let lines = value.iter().map(|line| line.split_once(" #").map_or(*line, |(before, _)| before).trim());
    let lines: Vec<_> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let unquoted = |item: &str| item.trim().trim_matches(['"', '\'']).to_owned();
    match lines.first() {
        None => Some(Vec::new()),
        Some(first) if first.starts_with('[') => {
            let joined = lines.join(" ");
            let inner = joined.strip_prefix('[')?.strip_suffix(']')?;
            Some(inner.split(',').map(unquoted).filter(|item| !item.is_empty()).collect())
        }
        Some(_) => lines.iter().map(|line| line.strip_prefix('-').map(unquoted)).collect(),
    }
}

fn negative(value: &[&str]) -> Result<Negative, Reason> {
    // A mapping in braces on one line is the same with other marks.
    let joined = value.join("\n").replace(['{', '}'], " ").replace(',', "\n");
    let get = |key: &'static str| {
        let found = joined.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':')).next();
        found.map(str::trim).filter(|word| !word.is_empty()).ok_or(Reason::Negative(key))
    };
    let phase = match get("phase")? {
        "parse" => Phase::Parse,
        "resolution" => Phase::Resolution,
        "runtime" => Phase::Runtime,
        other => return Err(Reason::Phase(other.to_owned())),
    };
    Ok(Negative { phase, name: get("type")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str) -> Result<FrontMatter, String> {
        FrontMatter::parse(&format!("// A comment\n/*---\n{body}\n---*/\ncode();")).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_stand_in_brackets_or_one_item_a_line() {
        for features in
            ["features: [a, b.c]", "features: [a,\n  b.c]", "features:\n  - a\n  - b.c", "features:\n- a\n- b.c"]
        {
            assert_eq!(parsed(features).unwrap().features, ["a", "b.c"], "{features}");
        }
        assert_eq!(parsed("features: []").unwrap().features, [""; 0]);
        assert_eq!(parsed("includes: [one.js] # why").unwrap().includes, ["one.js"]);
    }

    #[test]
    fn flags_say_how_it_is_run() {
        let matter = parsed("flags: [async, module, CanBlockIsFalse, generated]").unwrap();
        assert!(matter.is_async && matter.module && !matter.raw && matter.can_block == Some(false));
        assert!(parsed("flags: [onlyStrict]").unwrap().only_strict);
    }

    #[test]
    fn descriptions_are_passed_over() {
        let matter = parsed(
            "description: >\n  flags: [raw]\n\n  more: text\ninfo: |\n  [a, b\nnegative:\n  phase: parse\n  type: SyntaxError",
        );
        let negative = Negative { phase: Phase::Parse, name: "SyntaxError".into() };
        assert_eq!(matter.unwrap(), FrontMatter { negative: Some(negative), ..FrontMatter::default() });
    }

    #[test]
    fn what_is_malformed_names_its_line() {
        for (body, error) in [
            ("flags: [fast]", "3: unknown flag \"fast\""),
            ("description: a\nflags: async", "4: \"flags\" is no list"),
            ("flags: [async", "3: \"flags\" is no list"),
            (
                "negative:\n  phase: late\n  type: Error",
                "3: unknown phase \"late\": expected parse, resolution or runtime",
            ),
            ("negative:\n  phase: parse", "3: `negative` has no \"type\""),
            ("a line", "3: expected `key:`, found \"a line\""),
            ("features: [a]\nfeatures: [b]", "4: \"features\" is there twice"),
            ("flags: [noStrict, onlyStrict]", "3: the flags onlyStrict and noStrict exclude each other"),
            (
                "flags: [CanBlockIsTrue, CanBlockIsFalse]",
                "3: the flags CanBlockIsFalse and CanBlockIsTrue exclude each other",
            ),
        ] {
            assert_eq!(parsed(body).unwrap_err(), error, "{body}");
        }
        assert_eq!(FrontMatter::parse("code();").unwrap_err().to_string(), "1: no front matter (/*--- … ---*/)");
        let open = FrontMatter::parse("\n\n/*---\nflags: [raw]\n");
        assert_eq!(open.unwrap_err().to_string(), "3: the front matter has no end (---*/)");
    }

    #[test]
    fn lines_may_end_in_carriage_returns() {
        let matter = FrontMatter::parse("/*---\r\nflags: [raw]\r\nfeatures: [a]\r\n---*/\r\n").unwrap();
        assert!(matter.raw && matter.features == ["a"]);
        assert!(FrontMatter::parse("/*---\rflags: [raw]\r---*/\r").unwrap().raw);
    }
}
