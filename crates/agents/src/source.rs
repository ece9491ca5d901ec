//! Sources: files read once per cluster, TypeScript stripped of its types.
//!
//! Stripping overwrites types by spaces, so every line and column of the stripped text is that of the file, and no source
//! map is needed. What cannot be overwritten (enums, namespaces, parameter properties) is refused.
//!
//! # Rules
//! - A file is read and stripped once; all agents of a cluster compile the same text, until it is [refreshed](Sources::refresh).
//! - Only relative and absolute paths are imported. Nothing is looked up in `node_modules`.
//!
//! # Not here
//! Compiling: `modules`.

use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use swc_common::errors::{DiagnosticBuilder, Emitter, Handler};
use swc_common::sync::Lrc;
use swc_common::{BytePos, SourceMap};
use swc_ts_fast_strip::{Mode, Options};

use crate::AgentError;

/// Extensions that a specifier may leave out.
pub(crate) const EXTENSIONS: [&str; 4] = ["ts", "js", "mts", "mjs"];
/// What TypeScript names by what it will be compiled to: the extension in the specifier, and that of the source.
pub(crate) const COMPILED: [(&str, &str); 2] = [("js", "ts"), ("mjs", "mts")];

/// The largest source in bytes. Parsers do not poll for interrupts, so their input is bounded.
const SOURCE_BYTES_MAX: u64 = 16 << 20;
/// Stack of the thread that strips, in bytes. The stripper recurses once and more per nesting level and has no limit of
/// its own; only pages that it touches are committed.
const STRIP_STACK_BYTES: usize = 512 << 20;
/// Nesting of brackets beyond which a source is refused before the stripper sees it.
const NESTING_MAX: usize = 1024;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Script,
    Json,
    /// A CommonJS module; spawned agents only.
    Common,
    /// Stands for a module of ours; spawned agents only.
    Builtin,
}

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    JavaScript,
    TypeScript,
    Json,
    Common,
}

/// A file as the engine compiles it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Canonical path.
    pub(crate) path: PathBuf,
    /// The path as errors and stacks show it.
    pub(crate) name: CString,
    /// `import.meta.url`.
    pub(crate) url: String,
    /// Text, without types.
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

/// The sources of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<HashMap<PathBuf, Known>>, Mutex<VecDeque<(String, Arc<Source>)>>);

/// A source, or that there is none yet: of a file that could not be read, or that an import asked for in vain.
#[derive(Debug)]
struct Known {
    source: Option<Arc<Source>>,
    /// What its file was like when that was last looked at; nothing of what is no file, or not there.
    seen: Option<Seen>,
    /// The file was written since.
    is_old: bool,
    /// The file was not there lately.
    is_away: bool,
}

impl Known {
    fn file(source: Option<Arc<Source>>, seen: Option<Seen>) -> Known {
        Known { source, seen, is_old: false, is_away: false }
    }

    fn text(source: Arc<Source>) -> Known {
        Known::file(Some(source), None)
    }

    fn is_text(&self) -> bool {
        self.source.is_some() && self.seen.is_none()
    }

    fn is_missing(&self) -> bool {
        self.source.is_none() && self.seen.is_none()
    }
}

/// By what a file is known to be as it was: when it was written, and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Of its text, while it was written so lately that it may be written again at the same time.
    hash: Option<u64>,
}

/// How far the times of two writes are apart at least, if they differ: more than file systems need.
const CLOCK_STEP: Duration = Duration::from_millis(50);

impl Seen {
    /// What a file is like now; nothing if there is none.
    fn of(path: &Path) -> Option<Seen> {
        let found = fs::metadata(path).ok().filter(|found| found.is_file())?;
        let modified = found.modified().ok();
        let is_new = modified.is_none_or(|time| time.elapsed().is_ok_and(|passed| passed < CLOCK_STEP));
        let hash = is_new.then(|| fs::read(path).ok().map(|bytes| hash(&bytes))).flatten();
        Some(Seen { modified, bytes: found.len(), hash })
    }

    /// Whether a file was written since this was seen.
    fn changed(self, path: &Path, now: Seen) -> bool {
        let is_same = (self.modified, self.bytes) == (now.modified, now.bytes);
        // The write that this saw may not have been the last one of its time.
        let again = || self.hash.is_some_and(|then| fs::read(path).is_ok_and(|bytes| hash(&bytes) != then));
        !is_same || again()
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// How many files that are not there are waited for.
const MISSING_MAX: usize = 256;

/// Texts that are no files whose stripped form is kept, and the longest of them, in bytes.
const KEPT_MAX: usize = 32;
const KEPT_BYTES_MAX: usize = 128 << 10;

impl Sources {
    /// As [`prepare`], which takes a thread and 0.2 ms to strip types: what was stripped lately is not stripped again.
    pub(crate) fn prepare(&self, path: &Path, text: String) -> Result<Arc<Source>, AgentError> {
        let typescript = path.extension().is_some_and(|extension| extension == "ts" || extension == "mts");
        if !typescript || text.len() > KEPT_BYTES_MAX {
            return prepare(path, text).map(Arc::new);
        }
        let kept = || self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept().iter().find(|(known, source)| *known == text && source.path == path).cloned();
        if let Some((_, source)) = known {
            return Ok(source);
        }
        let source = Arc::new(prepare(path, text.clone())?);
        let mut kept = kept();
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((text, source.clone()));
        Ok(source)
    }

    /// Reads the file at a canonical path, or returns what was read before.
    pub(crate) fn load(&self, path: &Path) -> Result<Arc<Source>, AgentError> {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.get(path).filter(|known| !known.is_old).and_then(|known| known.source.clone()) {
            return Ok(source);
        }
        // Before it is read: what is written meanwhile shows as a change.
        let seen = Seen::of(path);
        let source = read(path).map(Arc::new);
        // What could not be read is followed, too: whoever mends it wants it taken up.
        let mut known = Known::file(source.as_ref().ok().cloned(), seen);
        // Another agent may have failed with an earlier file, and is told by `refresh` that this is another.
        if let Some(before) = sources.get(path) {
            known.is_away = before.is_missing();
            known.seen = before.seen.or(known.seen);
        }
        sources.insert(path.to_owned(), known);
        source
    }

    /// Remembers files that an import asked for and that are not there: one that comes counts as written.
    pub(crate) fn miss(&self, paths: impl IntoIterator<Item = PathBuf>) {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MISSING_MAX.saturating_sub(sources.values().filter(|known| known.is_missing()).count());
        for path in paths.into_iter().take(room) {
            sources.entry(path).or_insert(Known::file(None, None));
        }
    }

    /// Lets files that were written since this was last asked be read again when they are loaded, and gives their paths in
    /// order. One that is away is left, as it may be about to be replaced, and counts as written when it is back.
    pub(crate) fn refresh(&self) -> Vec<PathBuf> {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::new();
        for (path, known) in sources.iter_mut().filter(|(_, known)| !known.is_text()) {
            let Some(now) = Seen::of(path) else {
                known.is_away = true;
                continue;
            };
            if known.is_away || known.seen.is_none_or(|then| then.changed(path, now)) {
                changed.push(path.clone());
                (known.is_old, known.is_away) = (true, false);
            }
            known.seen = Some(now);
        }
        changed.sort();
        changed
    }

    /// The files that were read so far, in order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files: Vec<_> =
            sources.iter().filter(|(_, known)| known.seen.is_some()).map(|(path, _)| path.clone()).collect();
        files.sort();
        files
    }

    /// Takes in a source that is no file, under the name that errors are to show.
    pub(crate) fn insert(&self, name: &Path, text: &str) -> Result<(), AgentError> {
        let source = Arc::new(prepare(name, text.to_owned())?);
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Agents may have compiled what is there.
        match &sources.entry(name.to_owned()).or_insert(Known::text(source.clone())).source {
            Some(known) if known.text == source.text => Ok(()),
            _ => Err(unreadable(name, "the cluster has another source of that name".into())),
        }
    }
}

/// Finds the file of a job.
pub(crate) fn locate(path: &Path) -> Result<PathBuf, AgentError> {
    fs::canonicalize(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => AgentError::Missing { path: path.to_owned() },
        _ => AgentError::Unreadable { path: path.to_owned(), reason: error.to_string() },
    })
}

/// The last part of a job's path, for messages.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Finds the file that `specifier` names in `importer`; `Err` says why there is none.
pub(crate) fn resolve(importer: &Path, specifier: &str) -> Result<PathBuf, String> {
    let relative = specifier.starts_with("./") || specifier.starts_with("../");
    if !relative && !specifier.starts_with('/') {
        return Err("only relative paths (\"./…\", \"../…\") and absolute paths are imported, not packages".into());
    }
    let found = candidates(importer, specifier).into_iter().find(|path| path.is_file());
    found.map_or_else(|| Err("no such file".into()), |path| fs::canonicalize(&path).map_err(|error| error.to_string()))
}

/// The files that a path may name in `importer`, the first that there is.
pub(crate) fn candidates(importer: &Path, specifier: &str) -> Vec<PathBuf> {
    let wanted = importer.parent().unwrap_or(Path::new("/")).join(specifier);
    let with = |extension: &str| {
        let mut candidate = wanted.clone().into_os_string();
        candidate.push(".");
        candidate.push(extension);
        PathBuf::from(candidate)
    };
    let extended = EXTENSIONS.map(with);
    // TypeScript names what it will be compiled to.
    let typed = COMPILED
        .into_iter()
        .filter(|(compiled, _)| wanted.extension().is_some_and(|extension| extension == *compiled))
        .map(|(_, written)| wanted.with_extension(written));
    [wanted.clone()].into_iter().chain(extended).chain(typed).collect()
}

fn unreadable(path: &Path, reason: String) -> AgentError {
    AgentError::Unreadable { path: path.to_owned(), reason }
}

fn read(path: &Path) -> Result<Source, AgentError> {
    prepare(path, read_text(path)?)
}

/// Reads a file as it is.
pub(crate) fn read_text(path: &Path) -> Result<String, AgentError> {
    let unreadable = |reason: String| unreadable(path, reason);
    let size = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if !size.is_file() {
        return Err(unreadable("not a file".into()));
    }
    if size.len() > SOURCE_BYTES_MAX {
        return Err(unreadable(too_long(size.len())));
    }
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => AgentError::Missing { path: path.to_owned() },
        _ => unreadable(error.to_string()),
    })?;
    String::from_utf8(bytes)
        .map_err(|error| unreadable(format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to())))
}

fn too_long(bytes: u64) -> String {
    format!("{bytes} bytes, the limit is {SOURCE_BYTES_MAX}")
}

/// Makes a source of a text: its kind follows from the path's extension.
pub(crate) fn prepare(path: &Path, text: String) -> Result<Source, AgentError> {
    let format = match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "js" | "mjs" => Format::JavaScript,
        "ts" | "mts" => Format::TypeScript,
        "json" => Format::Json,
        "cjs" => Format::Common,
        _ => {
            let reason = "not a module: its name ends in none of .js, .mjs, .cjs, .ts, .mts and .json";
            return Err(unreadable(path, reason.into()));
        }
    };
    prepare_as(path, text, format)
}

/// Makes a source of a text of a known format.
pub(crate) fn prepare_as(path: &Path, mut text: String, format: Format) -> Result<Source, AgentError> {
    // A file may have grown since its size was read, and a text need not come from one.
    if text.len() as u64 > SOURCE_BYTES_MAX {
        return Err(unreadable(path, too_long(text.len() as u64)));
    }
    let kind = match format {
        Format::JavaScript | Format::TypeScript => Kind::Script,
        Format::Json => Kind::Json,
        Format::Common => Kind::Common,
    };
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    if format == Format::TypeScript {
        text = strip_apart(path, text)?;
    }
    let shown = path.to_string_lossy();
    let name = CString::new(shown.as_bytes()).map_err(|_| unreadable(path, "its path holds a NUL".into()))?;
    Ok(Source { path: path.to_owned(), name, url: file_url(path), text, kind })
}

/// Strips on a thread of its own: import hooks may run at the end of a job's stack.
fn strip_apart(path: &Path, text: String) -> Result<String, AgentError> {
    if let Some((line, column)) = too_deep(&text) {
        let message = format!("brackets nest more than {NESTING_MAX} deep");
        return Err(AgentError::Syntax { path: path.to_owned(), line, column, message });
    }
    let unreadable = |reason: String| AgentError::Unreadable { path: path.to_owned(), reason };
    let owned = path.to_owned();
    std::thread::Builder::new()
        .name("peristyle-strip".into())
        .stack_size(STRIP_STACK_BYTES)
        .spawn(move || strip(&owned, text))
        .map_err(|error| unreadable(format!("no thread to strip its types: {error}")))?
        .join()
        .unwrap_or_else(|_| Err(unreadable("the type stripper gave up on it".into())))
}

/// Removes the types of `text`; every line and column stays.
fn strip(path: &Path, text: String) -> Result<String, AgentError> {
    let map = Lrc::new(SourceMap::default());
    let first = First::default();
    let handler = Handler::with_emitter(false, false, Box::new(first.clone()));
    let options = Options {
        module: Some(true),
        filename: Some(path.to_string_lossy().into_owned()),
        mode: Mode::StripOnly,
        deprecated_ts_module_as_error: Some(true),
        ..Options::default()
    };
    swc_ts_fast_strip::operate(&map, &handler, text, options).map(|output| output.code).map_err(|error| {
        let found = first.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (message, at) = found.unwrap_or((error.message, None));
        let (line, column) = at.map_or((1, 1), |at| position(&map, at));
        AgentError::Syntax { path: path.to_owned(), line, column, message }
    })
}

/// Line and UTF-16 column, both from 1.
fn position(map: &SourceMap, at: BytePos) -> (u32, u32) {
    let file = map.lookup_source_file(at);
    let offset = (at.0.saturating_sub(file.start_pos.0) as usize).min(file.src.len());
    line_and_column(&file.src, offset)
}

/// Line and UTF-16 column of a byte offset, both from 1, by the line ends of ECMAScript.
fn line_and_column(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let (mut line, mut start) = (1, 0);
    let mut characters = before.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let ends = match character {
            '\n' | '\u{2028}' | '\u{2029}' => true,
            '\r' => characters.peek().is_none_or(|&(_, next)| next != '\n'),
            _ => false,
        };
        if ends {
            line += 1;
            start = at + character.len_utf8();
        }
    }
    (line, before[start..].encode_utf16().count() as u32 + 1)
}

/// Where brackets nest too deep to be parsed by recursion. Counts those in strings and comments too: it is a guard.
fn too_deep(text: &str) -> Option<(u32, u32)> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Some(line_and_column(text, at));
        }
    }
    None
}

/// Keeps the first error that the stripper reports: what and where.
#[derive(Clone, Default)]
struct First(Lrc<Mutex<Option<Report>>>);

type Report = (String, Option<BytePos>);

impl Emitter for First {
    fn emit(&mut self, diagnostic: &mut DiagnosticBuilder<'_>) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some((diagnostic.message(), diagnostic.span.primary_span().map(|span| span.lo)));
        }
    }
}

/// The `file:` URL of an absolute path, or a `source:` URL, with every byte outside the path characters of a URL escaped.
pub(crate) fn file_url(path: &Path) -> String {
    let mut url = String::from(if path.is_absolute() { "file://" } else { "source:///" });
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            url.push(byte as char);
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip_text(text: &str) -> Result<String, AgentError> {
        strip_apart(Path::new("/t.ts"), text.into())
    }

    #[test]
    fn stripping_moves_nothing() {
        let text = "type Wide = '🦀';\nconst 名: number = 1;\r\nlet 🦀x = <any>2 as Wide;\nthrow new Error('here');\n";
        let plain = "const a /* 🦀 */: Map<string, '名🦀'> = b; mark();\nclass A { private x: number = 1; }\n  f<string>(1); mark();";
        let stripped = strip_text(plain).unwrap();
        for (before, after) in plain.lines().zip(stripped.lines()) {
            assert_eq!(before.encode_utf16().count(), after.encode_utf16().count(), "{after}");
            let at = |line: &str| line.find("mark").map(|byte| line[..byte].encode_utf16().count());
            assert_eq!(at(before), at(after));
        }
        assert!(strip_text(text).is_err(), "an emoji is no identifier");
    }

    #[test]
    fn what_cannot_be_erased_is_refused_where_it_stands() {
        for (text, line, column) in [
            ("const 🦀 = 1;", 1, 7),
            ("let x = 1;\r\n/* 🦀 */ enum E { A }", 2, 10),
            ("\n\nnamespace N { export const x = 1; }", 3, 1),
            ("class A {\n  constructor(private x: number) {}\n}", 2, 23),
            ("let x: = 1;", 1, 8),
        ] {
            match strip_text(text) {
                Err(AgentError::Syntax { line: l, column: c, message, .. }) => {
                    assert_eq!((l, c), (line, column), "{text:?}: {message}");
                    assert!(!message.is_empty());
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn hostile_sources_do_not_overflow_the_stack() {
        assert!(strip_text(&"(".repeat(1_000_000)).is_err());
        assert!(strip_text(&"[".repeat(NESTING_MAX)).is_err());
        for text in [
            format!("export default {}1", "!".repeat(20_000)),
            format!("export default 1{}", "+1".repeat(20_000)),
            format!("let a; a{};", "=a".repeat(20_000)),
            format!("export default {}1", "1?1:".repeat(20_000)),
            format!("{};", "if(1)".repeat(20_000)),
            format!("let x: {}a", "keyof ".repeat(20_000)),
            format!("let x = a{}", " as T".repeat(20_000)),
            format!("let x = {}1", "<T>".repeat(16)),
            format!("let x = {}`", "`${".repeat(16)),
        ] {
            let _ = strip_text(&text);
        }
    }

    #[test]
    fn urls_are_escaped() {
        assert_eq!(file_url(Path::new("/a b/ü#?.ts")), "file:///a%20b/%C3%BC%23%3F.ts");
    }

    #[test]
    fn packages_are_refused_by_name() {
        assert!(resolve(Path::new("/a.ts"), "lodash").unwrap_err().contains("packages"));
        assert!(resolve(Path::new("/a.ts"), "node:fs").unwrap_err().contains("packages"));
        assert_eq!(resolve(Path::new("/a.ts"), "./nowhere").unwrap_err(), "no such file");
    }
}
