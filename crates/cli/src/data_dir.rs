//! Which directory holds the data of the demonstrations.
//!
//! The first of: `--data`, the variable `PERISTYLE_DATA`, `peristyle/data` in the user's cache directory, which is
//! `XDG_CACHE_HOME` if that is an absolute path and else `.cache` in the home directory. Whether anything lies there is
//! for its reader to find out.

use std::{ffi::OsString, path::PathBuf};

/// Neither an argument nor the environment names a directory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no data directory: neither `--data DIR` nor PERISTYLE_DATA, XDG_CACHE_HOME or HOME names one")]
pub(crate) struct NoDataDirectory;

/// The directory to read data from; `variable` looks up the environment.
pub(crate) fn resolve(
    argument: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, NoDataDirectory> {
    let directory = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(named) = argument.or_else(|| directory("PERISTYLE_DATA")) {
        return Ok(named);
    }
    let cache = directory("XDG_CACHE_HOME").filter(|cache| cache.is_absolute());
    let cache = cache.or_else(|| Some(directory("HOME")?.join(".cache"))).ok_or(NoDataDirectory)?;
    Ok(cache.join("peristyle").join("data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(argument: Option<&str>, environment: &[(&str, &str)]) -> Result<PathBuf, NoDataDirectory> {
        resolve(argument.map(PathBuf::from), |name| {
            environment.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_first_that_is_named_counts() {
        let all = [("HOME", "/home/a"), ("XDG_CACHE_HOME", "/cache"), ("PERISTYLE_DATA", "data")];
        assert_eq!(with(Some("there"), &all), Ok("there".into()));
        assert_eq!(with(None, &all), Ok("data".into()));
        assert_eq!(with(None, &all[..2]), Ok("/cache/peristyle/data".into()));
        assert_eq!(with(None, &all[..1]), Ok("/home/a/.cache/peristyle/data".into()));
        assert_eq!(with(None, &[]), Err(NoDataDirectory));
    }

    #[test]
    fn empty_and_relative_variables_name_nothing() {
        let variables = [("HOME", "/home/a"), ("XDG_CACHE_HOME", "cache"), ("PERISTYLE_DATA", "")];
        assert_eq!(with(None, &variables), Ok("/home/a/.cache/peristyle/data".into()));
        assert_eq!(with(None, &[("HOME", "")]), Err(NoDataDirectory));
    }
}
