//! Where systems run: pins are kept, and many small systems go to workers in few dispatches.

mod support;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread::{self, ThreadId},
};

use peristyle_jobs::{RustCall, RustJob};
use peristyle_schedule::{ByType, Job, Mode, Scheduler, System, Where};
use support::{A, Log, scheduler, toil, world_of};

type Threads = Arc<Mutex<BTreeSet<String>>>;

fn name(thread: ThreadId) -> String {
    format!("{thread:?}")
}

/// Notes the thread it runs on.
fn note(threads: &Threads) {
    threads.lock().unwrap().insert(name(thread::current().id()));
}

/// One system of each kind of body, with the threads that it ran on.
fn bodies(place: Where) -> Vec<(&'static str, System, Threads)> {
    let threads: Vec<Threads> = (0..6).map(|_| Threads::default()).collect();
    let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|at| Arc::clone(&threads[at]));
    let wide = |threads: Threads| {
        move |call: &mut RustCall<'_>| {
            note(&threads);
            toil(call.rows() as u32);
            Ok(())
        }
    };
    let systems = [
        ("once", System::new("once").run(move |_| move |_| note(&a))),
        ("each", System::new("each").each::<&A>(move |_, _| note(&b))),
        (
            "chunks",
            System::new("chunks").each_chunk::<&mut A>(move |range, _| {
                note(&c);
                toil(range.rows() as u32);
            }),
        ),
        ("job", System::new("job").job(Job::new(RustJob::new("job", wide(d))).reads::<A>())),
        ("whole", System::new("whole").job(Job::new(RustJob::new("whole", wide(e))).reads::<A>().whole())),
        (
            "parts",
            System::new("parts").job(
                Job::new(RustJob::parts("parts", move |_| {
                    note(&f);
                    Ok(())
                }))
                .reads::<A>()
                .parts(),
            ),
        ),
    ];
    systems.into_iter().zip(threads).map(|((name, system), threads)| (name, system.run_in(place), threads)).collect()
}

/// Runs each body by itself and all together; gives the threads of each.
fn threads_of(place: Where, mode: Mode, workers: usize) -> Vec<(&'static str, BTreeSet<String>)> {
    let mut seen = Vec::new();
    for only in [None, Some("once"), Some("each"), Some("chunks"), Some("job"), Some("whole"), Some("parts")] {
        let mut scheduler = scheduler(world_of(40_000), mode, workers);
        let mut all = Vec::new();
        for (name, system, threads) in bodies(place) {
            if only.is_none_or(|only| only == name) {
                scheduler.add(system).unwrap();
                all.push((name, threads));
            }
        }
        (0..30).for_each(|_| _ = scheduler.run_frame(0.0, 0.0).unwrap());
        seen.extend(all.into_iter().map(|(name, threads)| (name, std::mem::take(&mut *threads.lock().unwrap()))));
    }
    seen
}

#[test]
fn what_is_pinned_in_place_never_leaves_the_frames_thread() {
    for (what, threads) in threads_of(Where::InPlace, Mode::Parallel, 2) {
        assert_eq!(threads, BTreeSet::from([name(thread::current().id())]), "{what}");
    }
}

#[test]
fn what_is_pinned_to_a_worker_never_runs_on_the_frames_thread() {
    let here = name(thread::current().id());
    for workers in [1, 2] {
        for (what, threads) in threads_of(Where::Worker, Mode::Parallel, workers) {
            assert!(!threads.is_empty() && !threads.contains(&here), "{what}: {threads:?}, here is {here}");
        }
    }
}

#[test]
fn without_workers_and_in_serial_mode_everything_runs_in_place() {
    let here = BTreeSet::from([name(thread::current().id())]);
    for place in [Where::Auto, Where::InPlace, Where::Worker, Where::Split] {
        for (mode, workers) in [(Mode::Serial, 2), (Mode::Parallel, 0)] {
            for (what, threads) in threads_of(place, mode, workers) {
                assert_eq!(threads, here, "{what}, {place:?}, {mode:?}");
            }
        }
    }
}

/// On all lanes: each range waits until another lane has one too.
#[test]
fn what_is_pinned_to_be_split_runs_on_several_lanes_from_the_first_frame() {
    let running = Arc::new(AtomicU32::new(0));
    let most = Arc::new(AtomicU32::new(0));
    let mut scheduler = scheduler(world_of(2_000), Mode::Parallel, 1);
    let (now, high) = (Arc::clone(&running), Arc::clone(&most));
    let system = System::new("split").each_chunk::<&mut A>(move |range, _| {
        assert!(range.rows() < 2_000);
        high.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        while high.load(SeqCst) < 2 {
            thread::yield_now();
        }
        now.fetch_sub(1, SeqCst);
    });
    scheduler.add(system.run_in(Where::Split)).unwrap();
    assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().dispatches, 1);
    assert_eq!(most.load(SeqCst), 2);
}

#[test]
fn a_split_of_what_cannot_be_cut_runs_in_place() {
    let mut scheduler = scheduler(world_of(300), Mode::Parallel, 1);
    let threads = Threads::default();
    for at in 0..2 {
        let noted = Arc::clone(&threads);
        let job = move |_: &mut RustCall<'_>| {
            note(&noted);
            Ok(())
        };
        let job = Job::new(RustJob::new("x", job)).reads::<A>();
        let job = if at == 0 { job } else { job.whole() };
        scheduler.add(System::new(format!("{at}")).job(job).run_in(Where::Split)).unwrap();
    }
    for _ in 0..20 {
        assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().dispatches, 0);
    }
    assert_eq!(*threads.lock().unwrap(), BTreeSet::from([name(thread::current().id())]));
}

/// 64 systems that each take some microseconds.
fn small(rows: usize, workers: usize, rounds: u32, over_rows: bool, place: Where) -> (Scheduler, Log) {
    let (mut scheduler, log) = (scheduler(world_of(rows), Mode::Parallel, workers), Log::default());
    for at in 0..64 {
        let system = System::new(format!("small {at:02}")).run_in(place);
        let noted = log.clone();
        scheduler
            .add(if over_rows {
                system.each_chunk::<&A>(move |_, _| {
                    toil(rounds);
                    noted.push(format!("{at:02}"));
                })
            } else {
                system.run(move |_| {
                    move |_| {
                        toil(rounds);
                        noted.push(format!("{at:02}"));
                    }
                })
            })
            .unwrap();
    }
    (scheduler, log)
}

#[test]
fn sixty_four_small_systems_make_at_most_two_dispatches_a_frame() {
    for (over_rows, rounds) in [(false, 50), (false, 2_000), (false, 20_000), (true, 50), (true, 3_000)] {
        let (mut scheduler, log) = small(500, 1, rounds, over_rows, Where::Auto);
        // What systems cost is not known at once.
        (0..40).for_each(|_| _ = scheduler.run_frame(0.0, 0.0).unwrap());
        log.take();
        let mut most = 0;
        for _ in 0..60 {
            most = most.max(scheduler.run_frame(0.0, 0.0).unwrap().dispatches);
            let mut ran = log.take();
            ran.sort();
            assert_eq!(ran, (0..64).map(|at| format!("{at:02}")).collect::<Vec<_>>(), "each ran once");
        }
        assert!(most <= 2, "{most} dispatches, over rows: {over_rows}, {rounds} rounds");
    }
}

#[test]
fn systems_for_workers_go_to_them_in_one_dispatch() {
    let (mut scheduler, log) = small(10, 2, 10, false, Where::Worker);
    scheduler.run_frame(0.0, 0.0).unwrap();
    for _ in 0..20 {
        assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().dispatches, 1);
    }
    assert_eq!(log.take().len(), 21 * 64);
}

/// Chains of systems that wait for each other, some of them in groups, some not: the order of the plan holds.
#[test]
fn groups_keep_the_order_of_the_plan_and_the_world() {
    let outcome = |mode: Mode, workers: usize| {
        let mut scheduler = scheduler(world_of(3_000), mode, workers);
        for at in 0..24_u32 {
            let system = System::new(format!("system {at:02}"));
            let place = [Where::Auto, Where::Auto, Where::Worker, Where::InPlace, Where::Split][at as usize % 5];
            let system = match at % 4 {
                0 => system.each_chunk::<&mut A>(move |range, a| {
                    toil(range.rows() as u32);
                    a.x.iter_mut().for_each(|x| *x = *x * 0.9 + at as f32);
                }),
                1 => system.run(move |setup| {
                    let mut query = setup.query::<&A>();
                    move |context| {
                        let mut sum = 0.0;
                        context.for_each(&mut query, |a| sum += a.x);
                        toil(3_000);
                        context.commands().spawn(A { x: sum });
                    }
                }),
                2 => system.run(|_| |_| _ = toil(5_000)),
                _ => system.job(
                    Job::new(RustJob::new("job", move |call| {
                        call.get_mut::<A>()?.x.iter_mut().for_each(|x| *x += at as f32);
                        Ok(())
                    }))
                    .writes::<A>()
                    .whole(),
                ),
            };
            scheduler.add(system.run_in(place)).unwrap();
        }
        (0..30).for_each(|_| _ = scheduler.run_frame(0.0, 0.0).unwrap());
        let mut rows = Vec::new();
        let mut query = scheduler.world_mut().query::<(peristyle_world::Entity, &A)>();
        query.for_each(scheduler.world_mut(), |(entity, a)| rows.push((entity, a.x.to_bits())));
        rows
    };
    let expected = outcome(Mode::Serial, 0);
    assert_eq!(outcome(Mode::Parallel, 1), expected);
    assert_eq!(outcome(Mode::Parallel, 3), expected);
}

#[test]
fn a_panic_in_a_group_ends_the_frame_and_no_more() {
    let armed = Arc::new(AtomicU32::new(0));
    let (mut scheduler, log) = small(10, 1, 4_000, false, Where::Auto);
    let fuse = Arc::clone(&armed);
    let system = System::new("small 99").run(move |_| {
        move |_| {
            toil(4_000);
            assert!(fuse.load(SeqCst) == 0, "it blew");
        }
    });
    scheduler.add(system).unwrap();
    (0..40).for_each(|_| _ = scheduler.run_frame(0.0, 0.0).unwrap());
    armed.store(1, SeqCst);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scheduler.run_frame(0.0, 0.0)));
    let panic = caught.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"it blew"));
    armed.store(0, SeqCst);
    log.take();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take().len(), 64);
}
