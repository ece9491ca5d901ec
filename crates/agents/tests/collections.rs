//! Garbage collections are recorded where they happen.

mod support;

use peristyle_jobs::{Pool, PoolOptions};
use peristyle_timeline::{Kind, Timeline, clock};
use support::{World, job_of};

/// Fills the nursery many times over, and keeps so much alive that the old heap is collected too.
const LITTER: &str = "
let kept = [];
export function handle() {
  for (let round = 0; round < 40; round++) {
    kept = [];
    for (let i = 0; i < 50000; i++) kept.push({ round, i, text: `${round} of ${i}` });
  }
}";

#[test]
fn collections_are_spans_on_the_lane_of_the_call_that_they_interrupt() {
    let timeline = Timeline::new(1, 1 << 12);
    let mut pool = Pool::with_options(PoolOptions { timeline: timeline.clone(), ..PoolOptions::new(0) }).unwrap();
    let (_files, _cluster, job) = job_of(LITTER);
    let (job, mut world) = (job.unwrap(), World::new(512));
    let mut call = || pool.scope(|scope| scope.with_lane(|lane| world.run(lane, &job))).unwrap();

    call();
    assert!(timeline.read().iter().all(|lane| lane.spans.is_empty()), "off records nothing");

    timeline.set_enabled(true);
    let begun = clock::now();
    call();
    let ended = clock::now();
    let spans = timeline.read().remove(0).spans;
    let names: Vec<_> = spans.iter().map(|span| timeline.name_text(span.name).unwrap()).collect();
    for name in ["gc", "nursery gc"] {
        assert!(names.iter().any(|known| &**known == name), "no {name} among {names:?}");
    }
    for span in &spans {
        assert_eq!(span.kind, Kind::Collection);
        assert!(begun <= span.start && span.start <= span.end && span.end <= ended, "{span:?}");
    }
    // Recorded as they end, so each begins after the one before ended, or before that began: it encloses it.
    for pair in spans.windows(2) {
        assert!(pair[1].start >= pair[0].end || pair[1].start <= pair[0].start, "{pair:?} overlap");
    }
}
