//! Finding and loading the input: what is looked at first, and what is said when it is not there.

use std::{fs, path::PathBuf};

use peristyle_sky::{AIRPORTS_FILE, DataFiles, FLIGHTS_FILE, Quiet, SkyConfig, SkyError, VEGA_DATASETS_DIR, load};

fn directory(name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{}-{name}", std::process::id()));
    // A process id comes again.
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("the directory is writable");
    directory
}

fn message(config: &SkyConfig) -> String {
    load(config, &mut Quiet).expect_err("there is nothing to load").to_string()
}

#[test]
fn the_configuration_is_checked_before_any_file() {
    let config = SkyConfig { speed: 0.0, ..SkyConfig::new("nowhere") };
    assert!(matches!(load(&config, &mut Quiet), Err(SkyError::Config(_))));
}

#[test]
fn a_missing_directory_and_missing_files_say_what_to_do() {
    let expected =
        "no data: the directory nowhere does not exist (`./x setup` fetches the data, `--data DIR` names another)";
    assert_eq!(message(&SkyConfig::new("nowhere")), expected);

    let directory = directory("missing");
    assert!(message(&SkyConfig::new(&directory)).contains("has no flights-3m.parquet"));
    fs::write(directory.join(FLIGHTS_FILE), "").unwrap();
    assert!(message(&SkyConfig::new(&directory)).contains("has no airports.csv"));
    fs::write(directory.join(AIRPORTS_FILE), "iata,latitude,longitude\n").unwrap();
    assert!(message(&SkyConfig::new(&directory)).contains("is not a Parquet file"));
}

#[test]
fn files_are_found_in_the_directory_or_in_the_package_below_it() {
    let directory = directory("found");
    let package = directory.join(VEGA_DATASETS_DIR);
    fs::create_dir_all(&package).unwrap();
    fs::write(package.join(FLIGHTS_FILE), "").unwrap();
    fs::write(package.join(AIRPORTS_FILE), "").unwrap();
    let found = DataFiles::find(&directory).unwrap();
    assert_eq!(found, DataFiles { flights: package.join(FLIGHTS_FILE), airports: package.join(AIRPORTS_FILE) });

    fs::write(directory.join(AIRPORTS_FILE), "").unwrap();
    assert_eq!(DataFiles::find(&directory).unwrap().airports, directory.join(AIRPORTS_FILE));
}
