//! Every contestant comes to the same result as the first of its question: what would catch a contestant that does
//! less than the others, or nothing.

use peristyle_peers::{changed, iterate, iterate_parallel, measure, random_access, structural};

fn agree(questions: Vec<measure::Question>) {
    for question in questions {
        let (name, contestants) = (question.name.clone(), question.contestants.len());
        // One round beside the warm-up.
        let report = measure::measure(question, 0.0).unwrap_or_else(|mismatch| panic!("{mismatch}"));
        assert_eq!(report.lines.len(), contestants, "{name}");
        assert!(report.lines.iter().all(|line| line.min_s > 0.0), "{name}");
    }
}

#[test]
fn iterate() {
    agree(iterate::questions());
}

#[test]
fn iterate_parallel() {
    agree(iterate_parallel::questions());
}

#[test]
fn changed() {
    agree(changed::questions());
}

#[test]
fn structural() {
    agree(structural::questions());
}

#[test]
fn random_access() {
    agree(random_access::questions());
}
