//! What Node's modules can ask the system for, over plain values: no engine here.
//!
//! # Rules
//! - Reading is checked against what is allowed on canonical paths, so no link and no `..` leads out of it.
//! - Nothing is written but to the standard streams.

use std::fs::{self, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::loader;
use super::super::realm::Realm;
use super::super::value::Value;
use super::{Allowed, MODULES, NodeOptions, Origin, Stream, is_within, lock};
use crate::source::Kind;

/// The largest file that is read, in bytes.
const READ_BYTES_MAX: u64 = 1 << 30;

/// Why an operation failed, as Node's system errors have it.
pub(super) struct Failed {
    code: String,
    errno: i32,
    syscall: &'static str,
    path: String,
    message: String,
}

type Answer = Result<Value, Failed>;

impl Failed {
    fn new(code: &str, message: impl Into<String>) -> Failed {
        Failed { code: code.into(), errno: 0, syscall: "", path: String::new(), message: message.into() }
    }

    fn system(error: &io::Error, syscall: &'static str, path: &Path) -> Failed {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let (code, what) = match errno {
            libc::ENOENT => ("ENOENT", "no such file or directory".into()),
            libc::EACCES => ("EACCES", "permission denied".into()),
            libc::EPERM => ("EPERM", "operation not permitted".into()),
            libc::EISDIR => ("EISDIR", "illegal operation on a directory".into()),
            libc::ENOTDIR => ("ENOTDIR", "not a directory".into()),
            libc::ELOOP => ("ELOOP", "too many symbolic links encountered".into()),
            libc::ENAMETOOLONG => ("ENAMETOOLONG", "name too long".into()),
            _ => ("EIO", error.to_string()),
        };
        let path = path.display().to_string();
        let at = if path.is_empty() { String::new() } else { format!(" '{path}'") };
        let message = format!("{code}: {what}, {syscall}{at}");
        Failed { code: code.into(), errno: -errno, syscall, path, message }
    }

    /// As an object that `boot.js` throws as an error.
    pub(super) fn into_value(self) -> Value {
        record([
            ("code", text(self.code)),
            ("errno", Value::Signed(self.errno.into())),
            ("syscall", text(self.syscall)),
            ("path", text(self.path)),
            ("message", text(self.message)),
        ])
    }
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn list<T: Into<String>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::List(items.into_iter().map(text).collect())
}

/// Performs an operation of `boot.js`; those that do not exist give null.
pub(super) fn perform(realm: &Realm, operation: &str, arguments: Vec<Value>) -> Answer {
    let mut arguments = arguments.into_iter();
    let mut next = || match arguments.next() {
        Some(Value::Text(text)) => text,
        _ => String::new(),
    };
    match operation {
        "seat" => Ok(seat(realm)),
        "env.get" => Ok(lock(&realm.node.seat.env).get(&next()).map_or(Value::Null, text)),
        "env.set" => {
            let (name, value) = (next(), next());
            lock(&realm.node.seat.env).insert(name, value);
            Ok(Value::Null)
        }
        "env.delete" => {
            lock(&realm.node.seat.env).remove(&next());
            Ok(Value::Null)
        }
        "env.keys" => Ok(list(lock(&realm.node.seat.env).keys())),
        "write" => write(realm, &next(), &next()),
        "memory" => Ok(record([("rss", number(resident_bytes()))])),
        "os" => Ok(os()),
        "cpus" => Ok(cpus()),
        "require" => require(realm, Path::new(&next()), &next()),
        "read" => read(realm, Path::new(&next())),
        "stat" => {
            let path = allowed(realm, "stat", Path::new(&next()))?;
            fs::metadata(&path).map(|found| stat(&found)).map_err(|error| Failed::system(&error, "stat", &path))
        }
        "lstat" => {
            let path = allowed_link(realm, "lstat", Path::new(&next()))?;
            fs::symlink_metadata(&path)
                .map(|found| stat(&found))
                .map_err(|error| Failed::system(&error, "lstat", &path))
        }
        "access" => {
            let path = allowed(realm, "access", Path::new(&next()))?;
            fs::metadata(&path).map(|found| stat(&found)).map_err(|error| Failed::system(&error, "access", &path))
        }
        "list" => list_directory(realm, Path::new(&next())),
        "realpath" => allowed(realm, "realpath", Path::new(&next())).map(|path| text(path.display().to_string())),
        _ => Ok(Value::Null),
    }
}

fn number(value: u64) -> Value {
    Value::Number(value as f64)
}

/// What an agent is, for `process` and `node:worker_threads`.
fn seat(realm: &Realm) -> Value {
    let seat = &realm.node.seat;
    let node = realm.options.node.as_ref();
    let origin = match seat.origin {
        Origin::Rust => "rust",
        Origin::WebWorker => "web",
        Origin::NodeWorker => "node",
    };
    let current = |found: io::Result<PathBuf>| found.map_or_else(|_| String::new(), |path| path.display().to_string());
    record([
        ("origin", text(origin)),
        ("thread", number(seat.thread)),
        ("manners", Value::Bool(node.is_some())),
        ("arguments", list(node.map_or(&[][..], |node| &node.arguments))),
        ("modules", list(MODULES.iter().map(|(name, ..)| *name))),
        ("main", text(realm.library.main.path.display().to_string())),
        ("cwd", text(current(std::env::current_dir()))),
        ("program", text(current(std::env::current_exe()))),
        ("pid", number(std::process::id().into())),
        ("ppid", number(std::os::unix::process::parent_id().into())),
        (
            "platform",
            text(match std::env::consts::OS {
                "macos" => "darwin",
                "windows" => "win32",
                other => other,
            }),
        ),
        (
            "arch",
            text(match std::env::consts::ARCH {
                "x86_64" => "x64",
                "aarch64" => "arm64",
                other => other,
            }),
        ),
        ("version", text(env!("CARGO_PKG_VERSION"))),
        ("heapMb", number(realm.options.heap_bytes >> 20)),
        ("stackMb", number((realm.options.stack_bytes >> 20) as u64)),
    ])
}

fn write(realm: &Realm, stream: &str, written: &str) -> Answer {
    let stream = if stream == "stderr" { Stream::Stderr } else { Stream::Stdout };
    if let Some(output) = realm.options.node.as_ref().and_then(|node| node.output.as_ref()) {
        output(stream, written);
        return Ok(Value::Null);
    }
    let result = match stream {
        Stream::Stdout => io::stdout().lock().write_all(written.as_bytes()),
        Stream::Stderr => io::stderr().lock().write_all(written.as_bytes()),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failed { code: "EPIPE".into(), ..Failed::new("EPIPE", "EPIPE: broken pipe, write") })
        }
        result => result.map(|()| Value::Null).map_err(|error| Failed::system(&error, "write", Path::new(""))),
    }
}

/// Bytes of the process that are in memory; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    // SAFETY: no arguments but a constant; it reads a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.unwrap_or(0) * u64::try_from(page).unwrap_or(4096)
}

fn file_text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn os() -> Value {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |key: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number(kib.unwrap_or(0) << 10)
    };
    let loads = file_text("/proc/loadavg");
    let loads = loads.split_whitespace().take(3).filter_map(|load| load.parse().ok()).map(Value::Number).collect();
    let uptime = file_text("/proc/uptime");
    let uptime = uptime.split_whitespace().next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0.0);
    record([
        ("hostname", text(file_text("/proc/sys/kernel/hostname"))),
        ("release", text(file_text("/proc/sys/kernel/osrelease"))),
        ("version", text(file_text("/proc/sys/kernel/version"))),
        ("totalmem", bytes("MemTotal:")),
        ("freemem", bytes("MemAvailable:")),
        ("loadavg", Value::List(loads)),
        ("uptime", Value::Number(uptime)),
        ("parallelism", number(std::thread::available_parallelism().map_or(1, |count| count.get() as u64))),
    ])
}

/// Processors: model and MHz of each.
fn cpus() -> Value {
    let text_of = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default();
    let models = text_of.lines().filter(|line| line.starts_with("model name")).map(value);
    let speeds = text_of.lines().filter(|line| line.starts_with("cpu MHz")).map(value);
    let both = models.zip(speeds.chain(std::iter::repeat(String::new())));
    let cpu = |(model, speed): (String, String)| {
        record([("model", text(model)), ("speed", Value::Number(speed.parse::<f64>().unwrap_or(0.0).trunc()))])
    };
    Value::List(both.map(cpu).collect())
}

/// What CommonJS's `require` names: found and read as an import is, so no permission is asked.
fn require(realm: &Realm, importer: &Path, specifier: &str) -> Answer {
    let failed = |why: String| Failed::new("MODULE_NOT_FOUND", format!("Cannot find module '{specifier}': {why}"));
    let source = loader::named(realm, importer, specifier).map_err(failed)?;
    let kind = match source.kind {
        Kind::Json => "json",
        Kind::Common => "common",
        Kind::Script | Kind::Builtin => "module",
    };
    Ok(record([
        ("path", text(source.path.display().to_string())),
        ("kind", text(kind)),
        ("text", text(source.text.clone())),
    ]))
}

/// The canonical path, if reading there is allowed.
fn allowed(realm: &Realm, syscall: &'static str, path: &Path) -> Result<PathBuf, Failed> {
    let denied = |option: &str, path: &Path| {
        let path = path.display().to_string();
        let what = format!("permission denied (reading files is allowed by {option})");
        let message = format!("EACCES: {what}, {syscall} '{path}'");
        Err(Failed { code: "EACCES".into(), errno: -libc::EACCES, syscall, path, message })
    };
    let none = NodeOptions::default();
    let node = realm.options.node.as_ref().unwrap_or(&none);
    let option = if node.read_option.is_empty() { "NodeOptions::read" } else { &node.read_option };
    match &node.read {
        Allowed::Nothing => denied(option, path),
        Allowed::Everything => fs::canonicalize(path).map_err(|error| Failed::system(&error, syscall, path)),
        Allowed::These(roots) => match fs::canonicalize(path) {
            Ok(found) if is_within(roots, &found) => Ok(found),
            // Whether there is something outside is not told.
            Ok(_) => denied(option, path),
            Err(error) => {
                let parent = path.ancestors().skip(1).find_map(|parent| fs::canonicalize(parent).ok());
                match parent {
                    Some(parent) if is_within(roots, &parent) => Err(Failed::system(&error, syscall, path)),
                    _ => denied(option, path),
                }
            }
        },
    }
}

/// As [`allowed`], without following the last link.
fn allowed_link(realm: &Realm, syscall: &'static str, path: &Path) -> Result<PathBuf, Failed> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            allowed(realm, syscall, parent).map(|parent| parent.join(name))
        }
        _ => allowed(realm, syscall, path),
    }
}

fn read(realm: &Realm, path: &Path) -> Answer {
    let found = allowed(realm, "open", path)?;
    let failed = |error: io::Error| Failed::system(&error, "open", path);
    let file = fs::File::open(&found).map_err(failed)?;
    let size = file.metadata().map_err(failed)?;
    if size.is_dir() {
        // Reading, not opening, is what fails; the error has no path, as in Node.
        return Err(Failed::system(&io::Error::from_raw_os_error(libc::EISDIR), "read", Path::new("")));
    }
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > READ_BYTES_MAX {
        let message = format!("File size of '{}' is greater than {READ_BYTES_MAX} bytes", path.display());
        return Err(Failed::new("ERR_FS_FILE_TOO_LARGE", message));
    }
    Ok(Value::Bytes(bytes))
}

fn kind_of(kind: fs::FileType) -> &'static str {
    if kind.is_dir() {
        "directory"
    } else if kind.is_symlink() {
        "link"
    } else if kind.is_file() {
        "file"
    } else {
        "other"
    }
}

fn stat(found: &Metadata) -> Value {
    let ms = |time: io::Result<SystemTime>| {
        let since = time.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Value::Number(since.map_or(0.0, |since| since.as_nanos() as f64 / 1e6))
    };
    record([
        ("kind", text(kind_of(found.file_type()))),
        ("size", number(found.len())),
        ("mode", number(found.mode().into())),
        ("ino", number(found.ino())),
        ("dev", number(found.dev())),
        ("nlink", number(found.nlink())),
        ("uid", number(found.uid().into())),
        ("gid", number(found.gid().into())),
        ("blksize", number(found.blksize())),
        ("blocks", number(found.blocks())),
        ("mtimeMs", ms(found.modified())),
        ("atimeMs", ms(found.accessed())),
        ("birthtimeMs", ms(found.created())),
        ("ctimeMs", Value::Number(found.ctime() as f64 * 1e3 + found.ctime_nsec() as f64 / 1e6)),
    ])
}

/// Names and kinds in a directory, sorted.
fn list_directory(realm: &Realm, path: &Path) -> Answer {
    let found = allowed(realm, "scandir", path)?;
    let failed = |error: io::Error| Failed::system(&error, "scandir", path);
    let mut entries = Vec::new();
    for entry in fs::read_dir(found).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map(kind_of).unwrap_or("other");
        entries.push((entry.file_name().to_string_lossy().into_owned(), kind));
    }
    entries.sort();
    Ok(Value::List(entries.into_iter().map(|(name, kind)| list([name.as_str(), kind])).collect()))
}
