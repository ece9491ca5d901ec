//! The airports of `airports.csv`, as columns.
//!
//! An airport is an index below 65 535 in the order of the file. Its place is kept as latitude and longitude in
//! degrees, as the unit vector from the middle of the earth in `f64` (routes are made from it), and as three `f32`
//! columns `x`, `y`, `z` of the same vector: these are the columnar resource `Airport` that the step reads.
//!
//! The axes: `x` points to latitude 0, longitude 0; `y` to latitude 0, longitude 90 east; `z` to the north pole.
//!
//! # Rules
//! - A code stands once in the file; codes are compared as they are written.
//! - Every number is finite and within its range, or the file is refused with the line.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The airports of the file, indexed by their order and by their code.
#[derive(Debug, Clone, Default)]
pub struct Airports {
    iata: Vec<Box<str>>,
    city: Vec<Box<str>>,
    latitude: Vec<f64>,
    longitude: Vec<f64>,
    unit: Vec<[f64; 3]>,
    x: Vec<f32>,
    y: Vec<f32>,
    z: Vec<f32>,
    by_iata: HashMap<Box<str>, u16>,
}

/// Why the airports could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AirportError {
    /// There is no such file.
    #[error("no airports: {} does not exist", path.display())]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// The file could not be opened or read.
    #[error("cannot read the airports in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not comma-separated values in UTF-8.
    #[error("{} is not a table of airports: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with the line.
        reason: String,
    },
    /// A column that is needed is not there.
    #[error("{} has no column `{column}`; it has {}", path.display(), list(have))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column that is not there.
        column: &'static str,
        /// The columns that are.
        have: Vec<String>,
    },
    /// A value cannot be used.
    #[error("{}, line {line}: `{column}` is {value:?}, expected {expected}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// The value as it stands there.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// There are more airports than an index can name.
    #[error("{} has more than {max} airports", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// The most that are accepted.
        max: usize,
    },
}

/// The most airports: an index is a `u16`, and its greatest value is left to mean "unknown".
const AIRPORTS_MAX: usize = u16::MAX as usize;

impl Airports {
    /// Reads the airports of a file of comma-separated values with the columns `iata`, `latitude` and `longitude`, and
    /// `city` if there is one.
    ///
    /// Other columns are ignored.
    ///
    /// # Errors
    /// See [`AirportError`].
    pub fn read(path: &Path) -> Result<Airports, AirportError> {
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => AirportError::Missing { path: path.to_owned() },
            _ => AirportError::Read { path: path.to_owned(), source },
        })?;
        Airports::from_csv(path, file)
    }

    /// Reads the airports from `text`; `path` is only named in errors.
    ///
    /// # Errors
    /// See [`AirportError`].
    pub fn from_csv(path: &Path, text: impl Read) -> Result<Airports, AirportError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
        let headers = reader.headers().map_err(|error| csv_error(path, error))?.clone();
        let find = |column: &'static str| {
            headers.iter().position(|header| header == column).ok_or_else(|| AirportError::MissingColumn {
                path: path.to_owned(),
                column,
                have: headers.iter().filter(|header| !header.is_empty()).map(str::to_owned).collect(),
            })
        };
        let (iata_column, latitude_column, longitude_column) = (find("iata")?, find("latitude")?, find("longitude")?);
        let city_column = headers.iter().position(|header| header == "city");

        let mut airports = Airports::default();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| csv_error(path, error))? {
            let line = record.position().map_or(0, csv::Position::line);
            let bad = |column, value: &str, expected| AirportError::BadValue {
                path: path.to_owned(),
                line,
                column,
                value: value.to_owned(),
                expected,
            };
            let degrees = |column, index, bound: f64, expected| {
                let text = record.get(index).unwrap_or_default();
                match text.parse::<f64>() {
                    Ok(value) if value.abs() <= bound => Ok(value),
                    _ => Err(bad(column, text, expected)),
                }
            };
            let iata = record.get(iata_column).unwrap_or_default();
            if iata.is_empty() {
                return Err(bad("iata", iata, "a code"));
            }
            if airports.by_iata.contains_key(iata) {
                return Err(bad("iata", iata, "a code that no earlier line has"));
            }
            let latitude = degrees("latitude", latitude_column, 90.0, "degrees from -90 to 90")?;
            let longitude = degrees("longitude", longitude_column, 180.0, "degrees from -180 to 180")?;
            if airports.len() == AIRPORTS_MAX {
                return Err(AirportError::TooMany { path: path.to_owned(), max: AIRPORTS_MAX });
            }
            let city = city_column.and_then(|column| record.get(column)).unwrap_or_default();
            airports.push(iata, city, latitude, longitude);
        }
        Ok(airports)
    }

    /// The number of airports.
    pub fn len(&self) -> usize {
        self.iata.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iata.is_empty()
    }

    /// The index of the airport with this code.
    pub fn find(&self, iata: &str) -> Option<u16> {
        self.by_iata.get(iata).copied()
    }

    /// The code of the airport at `index`, if there is one.
    pub fn iata(&self, index: u16) -> Option<&str> {
        self.iata.get(usize::from(index)).map(AsRef::as_ref)
    }

    /// The city of the airport at `index`, if there is such an airport; empty where the file says nothing.
    pub fn city(&self, index: u16) -> Option<&str> {
        self.city.get(usize::from(index)).map(AsRef::as_ref)
    }

    /// Latitudes in degrees, north positive, one for each airport.
    pub fn latitude(&self) -> &[f64] {
        &self.latitude
    }

    /// Longitudes in degrees, east positive, one for each airport.
    pub fn longitude(&self) -> &[f64] {
        &self.longitude
    }

    /// Unit vectors `[x, y, z]`, one for each airport.
    pub fn unit(&self) -> &[[f64; 3]] {
        &self.unit
    }

    /// The unit vectors' first coordinate, one for each airport.
    pub fn x(&self) -> &[f32] {
        &self.x
    }

    /// The unit vectors' second coordinate, one for each airport.
    pub fn y(&self) -> &[f32] {
        &self.y
    }

    /// The unit vectors' third coordinate, one for each airport.
    pub fn z(&self) -> &[f32] {
        &self.z
    }

    fn push(&mut self, iata: &str, city: &str, latitude: f64, longitude: f64) {
        let index = u16::try_from(self.len()).expect("the caller keeps below AIRPORTS_MAX");
        let unit = unit_vector(latitude, longitude);
        self.iata.push(iata.into());
        self.city.push(city.into());
        self.by_iata.insert(iata.into(), index);
        self.latitude.push(latitude);
        self.longitude.push(longitude);
        self.unit.push(unit);
        self.x.push(unit[0] as f32);
        self.y.push(unit[1] as f32);
        self.z.push(unit[2] as f32);
    }
}

/// The unit vector of a place given in degrees.
pub(crate) fn unit_vector(latitude: f64, longitude: f64) -> [f64; 3] {
    let (sin_lat, cos_lat) = latitude.to_radians().sin_cos();
    let (sin_lon, cos_lon) = longitude.to_radians().sin_cos();
    [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
}

/// The names in a sentence: "`a`, `b`", or "none".
pub(crate) fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn csv_error(path: &Path, error: csv::Error) -> AirportError {
    let reason = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => AirportError::Read { path: path.to_owned(), source },
        _ => AirportError::Malformed { path: path.to_owned(), reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Airports, AirportError> {
        Airports::from_csv(Path::new("airports.csv"), text.as_bytes())
    }

    fn message(text: &str) -> String {
        parse(text).expect_err("the text is wrong").to_string()
    }

    #[test]
    fn reads_codes_and_places_in_the_order_of_the_file() {
        let airports =
            parse("iata,name,latitude,longitude\nEQ,Gulf,0,0\nNP,\"Pole, North\",90,0\nE90,Sea,0, 90\n").unwrap();
        assert_eq!(airports.len(), 3);
        assert_eq!((airports.find("EQ"), airports.find("E90"), airports.find("XXX")), (Some(0), Some(2), None));
        assert_eq!((airports.iata(1), airports.iata(3)), (Some("NP"), None));
        assert_eq!(airports.longitude(), [0.0, 0.0, 90.0]);
        assert_eq!(airports.x()[0], 1.0);
        assert_eq!(airports.z()[1], 1.0);
        assert!((airports.unit()[2][1] - 1.0).abs() < 1e-15);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Airports::read(Path::new("nowhere/airports.csv")).unwrap_err();
        assert!(matches!(error, AirportError::Missing { .. }));
        assert_eq!(error.to_string(), "no airports: nowhere/airports.csv does not exist");
    }

    #[test]
    fn a_missing_column_is_named_beside_those_that_are_there() {
        assert_eq!(message("iata,lat\nA,1\n"), "airports.csv has no column `latitude`; it has `iata`, `lat`");
        assert_eq!(message(""), "airports.csv has no column `iata`; it has none");
    }

    #[test]
    fn a_bad_number_is_named_with_its_line() {
        for (value, quoted) in
            [("north", "\"north\""), ("", "\"\""), ("nan", "\"nan\""), ("90.5", "\"90.5\""), ("inf", "\"inf\"")]
        {
            assert_eq!(
                message(&format!("iata,latitude,longitude\nA,1,2\nB,{value},2\n")),
                format!("airports.csv, line 3: `latitude` is {quoted}, expected degrees from -90 to 90")
            );
        }
    }

    #[test]
    fn ambiguous_and_empty_codes_are_refused() {
        assert!(message("iata,latitude,longitude\nA,1,2\nA,1,2\n").contains("line 3: `iata` is \"A\""));
        assert!(message("iata,latitude,longitude\n,1,2\n").contains("line 2: `iata` is \"\""));
    }

    #[test]
    fn a_short_line_and_text_that_is_not_utf8_are_malformed() {
        assert!(matches!(parse("iata,latitude,longitude\nA,1\n"), Err(AirportError::Malformed { .. })));
        let bytes: &[u8] = b"iata,latitude,longitude\nA\xff,1,2\n";
        let error = Airports::from_csv(Path::new("airports.csv"), bytes).unwrap_err();
        assert!(error.to_string().contains("line"), "{error}");
    }

    #[test]
    fn too_many_airports_are_refused() {
        let mut text = String::from("iata,latitude,longitude\n");
        for index in 0..=AIRPORTS_MAX {
            text.push_str(&format!("{index},1,2\n"));
        }
        assert!(matches!(parse(&text), Err(AirportError::TooMany { max: AIRPORTS_MAX, .. })));
    }
}
