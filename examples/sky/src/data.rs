//! Where Sky's input files lie.
//!
//! A data directory holds them itself, or holds the npm package `vega-datasets` installed into it, as `./x setup`
//! leaves it. This module looks; it fetches nothing.

use std::path::{Path, PathBuf};

/// The timetable: a Parquet file with the columns `date`, `delay`, `distance`, `origin` and `destination`.
pub const FLIGHTS_FILE: &str = "flights-3m.parquet";

/// The airports: comma-separated values with the columns `iata`, `latitude` and `longitude`.
pub const AIRPORTS_FILE: &str = "airports.csv";

/// Where the files lie below a directory into which `vega-datasets` was installed.
pub const VEGA_DATASETS_DIR: &str = "node_modules/vega-datasets/data";

/// The two files that Sky reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFiles {
    /// The timetable.
    pub flights: PathBuf,
    /// The airports.
    pub airports: PathBuf,
}

/// Why the input files could not be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The directory itself is not there.
    #[error("no data: the directory {} does not exist (`./x setup` fetches the data, `--data DIR` names another)", dir.display())]
    NoDirectory {
        /// The directory that was looked for.
        dir: PathBuf,
    },
    /// A file is in neither of the places where it may lie.
    #[error(
        "no data: {} has no {file}, nor has {VEGA_DATASETS_DIR} below it (`./x setup` fetches the data, `--data DIR` names another)",
        dir.display()
    )]
    NoFile {
        /// The directory that was looked in.
        dir: PathBuf,
        /// The file that is not there.
        file: &'static str,
    },
}

impl DataFiles {
    /// Finds both files in `dir` or in the npm package installed there.
    ///
    /// # Errors
    /// [`DataError`] names the directory or the first file that is not there.
    pub fn find(dir: &Path) -> Result<DataFiles, DataError> {
        if !dir.is_dir() {
            return Err(DataError::NoDirectory { dir: dir.to_owned() });
        }
        let find = |file: &'static str| {
            [dir.join(file), dir.join(VEGA_DATASETS_DIR).join(file)]
                .into_iter()
                .find(|path| path.exists())
                .ok_or_else(|| DataError::NoFile { dir: dir.to_owned(), file })
        };
        Ok(DataFiles { flights: find(FLIGHTS_FILE)?, airports: find(AIRPORTS_FILE)? })
    }
}
