//! Prints one table per question: `peristyle-peers [--effort X] [WORD…]`.
//!
//! Only questions whose name contains one of the words run, all if there is none. `--effort` multiplies
//! the number of rounds.

use std::process::ExitCode;

use peristyle_peers::{changed, iterate, iterate_parallel, measure, noop_systems, random_access, structural};

fn main() -> ExitCode {
    let mut effort = 1.0;
    let mut words = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--effort" {
            match args.next().and_then(|value| value.parse().ok()) {
                Some(value) => effort = value,
                None => {
                    eprintln!("--effort needs a number");
                    return ExitCode::from(2);
                }
            }
        } else {
            words.push(arg);
        }
    }
    let modules = [
        iterate::questions,
        iterate_parallel::questions,
        changed::questions,
        structural::questions,
        random_access::questions,
        noop_systems::questions,
    ];
    for question in modules.iter().flat_map(|questions| questions()) {
        if !words.is_empty() && !words.iter().any(|word| question.name.contains(word.as_str())) {
            continue;
        }
        match measure::measure(question, effort) {
            Ok(report) => println!("{report}"),
            Err(mismatch) => {
                eprintln!("{mismatch}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
