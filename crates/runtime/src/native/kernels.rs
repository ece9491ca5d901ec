//! WebAssembly files that an app names as kernels, as modules of text.
//!
//! Code is loaded without being asked for leave to read files, and a kernel is code: so what an app names is read here, if it
//! begins as WebAssembly does, and given to the app as a module whose default export has a character for each byte.
//!
//! # Not here
//! Whether it may be a kernel (`workers/kernel.ts`), and whether it is valid (the engine).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use peristyle_agents::LoadError;
use url::Url;

/// How every module of WebAssembly begins.
const MAGIC: &[u8] = b"\0asm";
/// Bytes of the largest kernel.
const BYTES_MAX: u64 = 4 << 20;

/// By what a file is known to be as it was: when it was written, and its bytes.
type Stamp = (Option<SystemTime>, u64);

/// The kernels that an app has named so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kernels(Arc<Mutex<BTreeMap<PathBuf, Option<Stamp>>>>);

impl Kernels {
    /// The text of the module for the file at a URL.
    pub(crate) fn module(&self, url: &str) -> Result<String, LoadError> {
        let path = Url::parse(url).ok().and_then(|url| url.to_file_path().ok());
        let path = path.ok_or_else(|| LoadError(format!("{url:?} names no file")))?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Before it is read: what is written meanwhile shows as a change.
        known.insert(path.clone(), stamp(&path));
        read(&path).map_err(|why| LoadError(format!("{}: {why}", path.display())))
    }

    /// How many of them were written since they were read or this was last asked. One that is away may be about to be replaced.
    pub(crate) fn refresh(&self) -> usize {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = 0;
        for (path, then) in &mut *known {
            let now = stamp(path);
            written += usize::from(now.is_some() && now != *then);
            *then = now;
        }
        written
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().filter(|found| found.is_file()).map(|found| (found.modified().ok(), found.len()))
}

fn read(path: &Path) -> Result<String, String> {
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("not a file".into());
    }
    if found.len() > BYTES_MAX {
        return Err(format!("{} bytes, the limit of a kernel is {BYTES_MAX}", found.len()));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    if !bytes.starts_with(MAGIC) {
        return Err("it is not WebAssembly".into());
    }
    let text: String = bytes.into_iter().map(char::from).collect();
    let literal = serde_json::to_string(&text).map_err(|error| error.to_string())?;
    Ok(format!("export default {literal};"))
}
