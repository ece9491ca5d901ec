//! What is no checkout, and what in one cannot be understood.

use std::fs;
use std::path::{Path, PathBuf};

use peristyle_test262::{Checkout, SuiteError};

/// A checkout of these files, beside the three that each has; removed when it is dropped.
struct Files(PathBuf);

impl Files {
    fn with(name: &str, files: &[(&str, &str)]) -> Files {
        let root = std::env::temp_dir().join(format!("peristyle-test262-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let harness = ["harness/assert.js", "harness/sta.js", "harness/doneprintHandle.js"].map(|path| (path, ""));
        for (path, text) in harness.iter().chain(files) {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Files(root)
    }

    #[track_caller]
    fn refused(&self, filters: &[&str]) -> String {
        let filters: Vec<_> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        Checkout::open(&self.0).unwrap().tests(&filters).unwrap_err().to_string()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const FINE: &str = "/*---\ndescription: fine\n---*/\n";

#[test]
fn a_directory_without_harness_or_tests_is_no_checkout() {
    let error = Checkout::open(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(matches!(&error, SuiteError::NoCheckout { lacks, .. } if lacks == "harness/assert.js"), "{error}");
    assert_eq!(error.to_string(), "/nowhere/at/all is no checkout of test262: it lacks harness/assert.js");
    let empty = Files::with("empty", &[]);
    let error = Checkout::open(&empty.0).unwrap_err().to_string();
    assert!(error.ends_with("it lacks test/"), "{error}");
}

#[test]
fn filters_are_beginnings_of_paths() {
    let names =
        ["test/a/one.js", "test/a/two.js", "test/ab/one.js", "test/a/x_FIXTURE.js", "test/a/b.json", "test/c.js"];
    let files = Files::with("filters", &names.map(|name| (name, FINE)));
    let checkout = Checkout::open(&files.0).unwrap();
    let paths = |filters: &[&str]| {
        let filters: Vec<_> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        checkout.tests(&filters).unwrap().into_iter().map(|file| file.path).collect::<Vec<_>>()
    };
    assert_eq!(paths(&[]), ["a/one.js", "a/two.js", "ab/one.js", "c.js"]);
    assert_eq!(paths(&["a"]), ["a/one.js", "a/two.js", "ab/one.js"]);
    assert_eq!(paths(&["a/"]), ["a/one.js", "a/two.js"]);
    assert_eq!(paths(&["test/a/o", "c"]), ["a/one.js", "c.js"]);
    assert_eq!(files.refused(&["a", "d"]), "no test's path starts with \"d\"");
}

#[test]
fn what_cannot_be_understood_names_file_and_line() {
    for (name, text, error) in [
        ("no-matter", "code();", "test/x.js:1: no front matter (/*--- … ---*/)"),
        ("no-end", "// one\n/*---\nflags: [raw]", "test/x.js:2: the front matter has no end (---*/)"),
        ("flag", "/*---\nflags: [quick]\n---*/", "test/x.js:2: unknown flag \"quick\""),
        ("include", "/*---\nincludes: [no.js]\n---*/", "test/x.js includes \"no.js\", which harness/ lacks"),
    ] {
        let files = Files::with(name, &[("test/x.js", text), ("test/y.js", FINE)]);
        assert_eq!(files.refused(&[]), error);
        assert_eq!(Checkout::open(&files.0).unwrap().tests(&["y".into()]).unwrap().len(), 1);
    }
    let files = Files::with("none", &[("test/readme.md", "")]);
    assert_eq!(files.refused(&[]), "the checkout has no tests");
}
