//! Schedulers that run ahead of who observes them.

mod support;

use std::{sync::mpsc, thread, time::Duration};

use peristyle_memory::{
    Memory,
    mailbox::{RecvError, SendError, Wait, layout},
};
use peristyle_schedule::{
    Mode, ObserveError, Observer, RunAhead, RunAheadError, RunAheadOptions, RunEnd, ScheduleError, Scheduler, System,
    TickFailure, WhenFull,
};
use peristyle_world::{Component, Entity, World, WorldError};
use support::{A, B, C, scheduler, serial, world_of};

/// Long enough that no test gets there unless something is wrong.
const LONG: Wait = Wait::AtMost(Duration::from_secs(60));

#[derive(Component, Clone, Copy, Debug, PartialEq)]
#[component(opaque)]
struct Hidden(u8);

/// A scheduler whose ticks add 1 to each `A`.
fn adding(rows: usize, mode: Mode, workers: usize) -> Scheduler {
    let mut scheduler = scheduler(world_of(rows), mode, workers);
    let add = System::new("add").each_chunk::<&mut A>(|_, a| a.x.iter_mut().for_each(|x| *x += 1.0));
    scheduler.add(add).unwrap();
    scheduler
}

fn start(scheduler: Scheduler, options: RunAheadOptions) -> (RunAhead, Observer) {
    let (ahead, mut observers) = RunAhead::start(scheduler, options).unwrap();
    assert_eq!(observers.len(), 1);
    (ahead, observers.remove(0))
}

/// Checks the copy of a tick of `adding`.
fn assert_added(observer: &Observer, tick: u64, rows: usize) {
    let copy = observer.tick(tick).unwrap();
    assert_eq!((copy.tick().number, copy.rows()), (tick, rows));
    assert_eq!(copy.outcome().unwrap().tick, tick);
    let x = copy.column::<f32>("A", "x").unwrap();
    assert_eq!(x.len(), rows);
    assert!(x.iter().enumerate().all(|(row, x)| *x == (row as u64 + tick) as f32), "tick {tick}");
}

#[test]
fn any_of_the_last_ticks_can_be_observed() {
    let rows = 20_000;
    let (mut ahead, mut observer) = start(adding(rows, Mode::Parallel, 1), RunAheadOptions::new(3).observe::<A>());
    ahead.run(40, 0.5, 10.0).unwrap();
    for oldest in 1..=37 {
        // The runner fills the ring, and no more.
        assert_eq!(observer.wait(4, LONG), Ok(4));
        for offset in [2, 0, 3, 1, 0] {
            assert_added(&observer, oldest + offset, rows);
            assert_eq!(observer.get(offset as u32).unwrap().tick().time, 10.0 + 0.5 * (oldest + offset - 1) as f64);
        }
        assert!(observer.tick(oldest - 1).is_none() && observer.tick(oldest + 4).is_none());
        assert_eq!(observer.latest().unwrap().tick().number, oldest + 3);
        assert_eq!(observer.release_before(oldest + 1), 1);
    }
    let report = ahead.wait(LONG).unwrap().unwrap();
    assert_eq!((report.ticks, report.tick, report.end), (40, 40, RunEnd::Done));
    let scheduler = ahead.into_scheduler().unwrap();
    assert_eq!(scheduler.world().tick(), 40);
    // The last ones are still there, though the runner is not.
    assert_eq!(observer.held(), 3);
    assert_added(&observer, 40, rows);
    assert_eq!(observer.release(9), 3);
    assert_eq!(observer.wait(1, Wait::Forever), Err(RecvError::Closed));
}

#[test]
fn a_run_stops_at_the_exact_boundary() {
    let (mut ahead, mut observer) = start(adding(64, Mode::Serial, 0), RunAheadOptions::new(4).observe::<A>());
    ahead.run(u64::MAX, 1.0, 0.0).unwrap();
    ahead.run(5, 1.0, 0.0).unwrap();
    observer.wait(5, LONG).unwrap();
    // Ticks 1 to 5 ran; 6 to 9 will.
    ahead.stop_at(9);
    for tick in 1..=9 {
        observer.wait(1, LONG).unwrap();
        assert_added(&observer, tick, 64);
        observer.release(1);
    }
    let report = ahead.wait(LONG).unwrap().unwrap();
    assert_eq!((report.ticks, report.tick, report.end), (9, 9, RunEnd::Stopped));
    // The run that waited behind it was begun too, and ends there as well.
    let report = ahead.wait(LONG).unwrap().unwrap();
    assert_eq!((report.ticks, report.tick, report.end), (0, 9, RunEnd::Stopped));
    assert_eq!(ahead.wait(Wait::Forever).unwrap(), None);
    assert_eq!(observer.held(), 0);
    // The next one is not bound by it.
    ahead.run(2, 1.0, 0.0).unwrap();
    assert_eq!(ahead.wait(LONG).unwrap().unwrap().end, RunEnd::Done);
    assert_added(&observer, 11, 64);
}

#[test]
fn a_runner_that_waits_for_room_can_be_stopped_and_go_on() {
    let (mut ahead, mut observer) = start(adding(64, Mode::Serial, 0), RunAheadOptions::new(1).observe::<A>());
    for round in 0..20 {
        ahead.run(1_000, 1.0, 0.0).unwrap();
        assert_eq!(observer.wait(2, LONG), Ok(2));
        let report = ahead.stop().unwrap().unwrap();
        assert_eq!((report.ticks, report.tick, report.end), (2, 2 * round + 2, RunEnd::Stopped));
        assert_added(&observer, 2 * round + 1, 64);
        assert_added(&observer, 2 * round + 2, 64);
        observer.release(2);
    }
    assert_eq!(ahead.stop().unwrap(), None);
}

#[test]
fn a_full_ring_ends_the_run_if_so_asked() {
    let options = RunAheadOptions::new(2).observe::<A>().when_full(WhenFull::Refuse);
    let (mut ahead, mut observer) = start(adding(64, Mode::Serial, 0), options);
    ahead.run(10, 1.0, 0.0).unwrap();
    let report = ahead.wait(LONG).unwrap().unwrap();
    let full = RunEnd::Ring(SendError::Full { receiver: 0, capacity: 3 });
    assert_eq!((report.ticks, report.tick, report.end), (3, 3, full));
    assert_eq!(observer.release(2), 2);
    ahead.run(2, 1.0, 0.0).unwrap();
    assert_eq!(ahead.wait(LONG).unwrap().unwrap().end, RunEnd::Done);
    (3..=5).for_each(|tick| assert_added(&observer, tick, 64));
}

#[test]
fn the_slowest_observer_decides_until_it_leaves_or_dies() {
    let options = RunAheadOptions::new(1).observe::<A>().observers(3);
    let (mut ahead, mut observers) = RunAhead::start(adding(64, Mode::Serial, 0), options).unwrap();
    let (dying, leaving) = (observers.pop().unwrap(), observers.pop().unwrap());
    let mut quick = observers.pop().unwrap();
    ahead.run(100, 1.0, 0.0).unwrap();
    let mut see = |tick: u64| {
        quick.wait(1, LONG).unwrap();
        assert_added(&quick, tick, 64);
        quick.release(1);
    };
    (1..=2).for_each(&mut see);
    assert_eq!(ahead.wait(Wait::AtMost(Duration::from_millis(5))).unwrap_err().to_string(), "the run is not over yet");
    let died = thread::spawn(move || {
        let _dying = dying;
        panic!("an observer dies, as the test wants");
    });
    assert!(died.join().is_err());
    // A death ends the run at the boundary, told by name; the next run goes on without it.
    let report = ahead.wait(LONG).unwrap().unwrap();
    assert_eq!((report.tick, report.end), (2, RunEnd::Ring(SendError::Died { receiver: 2 })));
    ahead.run(10, 1.0, 0.0).unwrap();
    assert_eq!(leaving.held(), 2);
    assert_added(&leaving, 1, 64);
    drop(leaving);
    (3..=12).for_each(&mut see);
    assert_eq!(ahead.wait(LONG).unwrap().unwrap().end, RunEnd::Done);
    drop(quick);
    ahead.run(1, 1.0, 0.0).unwrap();
    assert_eq!(ahead.wait(LONG).unwrap().unwrap().end, RunEnd::Ring(SendError::Closed));
}

#[test]
fn each_of_several_observers_sees_every_tick() {
    let options = RunAheadOptions::new(2).observe::<A>().observers(2);
    let (mut ahead, observers) = RunAhead::start(adding(1_000, Mode::Serial, 0), options).unwrap();
    ahead.run(300, 1.0, 0.0).unwrap();
    thread::scope(|scope| {
        for mut observer in observers {
            scope.spawn(move || {
                for tick in 1..=300 {
                    observer.wait(1, LONG).unwrap();
                    assert_eq!(observer.get(0).unwrap().tick().number, tick);
                    assert_added(&observer, tick, 1_000);
                    observer.release(1);
                }
            });
        }
    });
    assert_eq!(ahead.wait(LONG).unwrap().unwrap().ticks, 300);
}

#[test]
fn a_panic_is_observed_with_its_tick_and_the_world_comes_back() {
    let mut scheduler = adding(64, Mode::Parallel, 1);
    let fails = System::new("fails").after("add").exclusive(|_, tick| {
        assert!(tick.number != 3, "tick {} is bad", tick.number);
    });
    scheduler.add(fails).unwrap();
    let (mut ahead, observer) = start(scheduler, RunAheadOptions::new(7).observe::<A>());
    ahead.run(10, 1.0, 0.0).unwrap();
    let report = ahead.wait(LONG).unwrap().unwrap();
    assert_eq!((report.ticks, report.tick, report.end), (3, 3, RunEnd::Failed));
    assert_added(&observer, 2, 64);
    let copy = observer.tick(3).unwrap();
    let failure = copy.outcome().unwrap_err();
    assert!(matches!(failure, TickFailure::Panic(text) if text == "tick 3 is bad"), "{failure}");
    // What ran before the panic is there to be seen.
    assert_eq!(copy.column::<f32>("A", "x").unwrap()[5], 8.0);
    // The runner lives, and so does the world.
    ahead.run(1, 1.0, 0.0).unwrap();
    assert_eq!(ahead.wait(LONG).unwrap().unwrap().end, RunEnd::Done);
    assert_added(&observer, 4, 64);
    let mut scheduler = ahead.into_scheduler().unwrap();
    assert_eq!(scheduler.run_frame(1.0, 0.0).unwrap().tick, 5);
    let mut world = scheduler.into_world();
    assert!(world.spawn(A { x: 0.0 }).is_ok());
}

#[test]
fn an_error_is_observed_with_its_tick() {
    let mut scheduler = adding(64, Mode::Serial, 0);
    let meddles = System::new("meddles").exclusive(|world, tick| {
        if tick.number == 2 {
            world.end_tick().unwrap();
        }
    });
    scheduler.add(meddles).unwrap();
    let (mut ahead, observer) = start(scheduler, RunAheadOptions::new(3).observe::<A>());
    ahead.run(9, 1.0, 0.0).unwrap();
    let report = ahead.wait(LONG).unwrap().unwrap();
    assert_eq!((report.ticks, report.tick, report.end), (2, 2, RunEnd::Failed));
    let failure = observer.tick(2).unwrap().outcome().unwrap_err();
    assert!(matches!(failure, TickFailure::Error(ScheduleError::World(WorldError::NoTick))), "{failure}");
    assert_eq!(observer.tick(2).unwrap().rows(), 64);
    ahead.run(1, 1.0, 0.0).unwrap();
    assert_eq!(ahead.wait(LONG).unwrap().unwrap().end, RunEnd::Done);
}

#[test]
fn a_plan_that_cannot_be_made_is_an_error_of_the_tick() {
    let mut scheduler = serial(world_of(1));
    scheduler.add(System::new("a").after("nobody").exclusive(|_, _| ())).unwrap();
    let (mut ahead, observer) = start(scheduler, RunAheadOptions::new(3).observe::<A>());
    ahead.run(9, 1.0, 0.0).unwrap();
    let report = ahead.wait(LONG).unwrap().unwrap();
    assert_eq!((report.ticks, report.tick, report.end), (1, 0, RunEnd::Failed));
    let failure = observer.get(0).unwrap().outcome().unwrap_err();
    assert!(failure.to_string().contains("nobody"), "{failure}");
}

#[test]
fn rows_come_and_go_with_their_entities() {
    let mut world = World::new().unwrap();
    let first = world.spawn((A { x: 0.0 }, C { n: 0 })).unwrap();
    let mut scheduler = scheduler(world, Mode::Serial, 0);
    // Tick t has t * 1000 entities with A and C, and some with A alone; the oldest goes in each.
    let grow = System::new("grow").exclusive(|world, tick| {
        let number = tick.number as u32;
        world.spawn_batch((0..1_000).map(|i| (A { x: i as f32 }, C { n: number * 10_000 + i }))).unwrap();
        world.spawn_batch((0..10).map(|_| A { x: -1.0 })).unwrap();
    });
    scheduler.add(grow).unwrap();
    scheduler
        .add(System::new("shrink").after("grow").exclusive(move |world, tick| {
            if tick.number == 2 {
                world.despawn(first).unwrap();
            }
        }))
        .unwrap();
    let options = RunAheadOptions::new(9).observe_fields("A", &[]).observe::<C>();
    scheduler.world_mut().register::<A>();
    let (mut ahead, observer) = start(scheduler, options);
    ahead.run(10, 1.0, 0.0).unwrap();
    ahead.wait(LONG).unwrap();
    let counts: Vec<usize> = (1..=10).map(|tick| observer.tick(tick).unwrap().rows()).collect();
    assert_eq!(counts, [1001, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000]);
    let scheduler = ahead.into_scheduler().unwrap();
    let copy = observer.latest().unwrap();
    for (row, n) in copy.column::<u32>("C", "n").unwrap().iter().enumerate() {
        let entity = copy.entity(row).unwrap();
        assert_eq!(scheduler.world().get::<C>(entity).unwrap().n, *n);
    }
    assert_eq!(copy.entity(copy.rows()), None);
    // An older copy names who was there then.
    let old = observer.tick(1).unwrap();
    let is_first = |handle: &f64| Entity::from_f64(*handle) == Ok(first);
    assert!(old.handles().iter().any(is_first) && !copy.handles().iter().any(is_first));
}

#[test]
fn only_chosen_columns_are_observed_and_as_what_they_are() {
    let mut world = World::new().unwrap();
    world.spawn_batch((0..100).map(|i| B { x: i as f32, y: -(i as f32) })).unwrap();
    let (mut ahead, mut observer) = start(serial(world), RunAheadOptions::new(0).observe_fields("B", &["y"]));
    ahead.run(1, 1.0, 0.0).unwrap();
    observer.wait(1, LONG).unwrap();
    let copy = observer.get(0).unwrap();
    assert_eq!(copy.column::<f32>("B", "y").unwrap()[7], -7.0);
    let absent =
        |component: &str, field: &str| ObserveError::NoColumn { component: component.into(), field: field.into() };
    assert_eq!(copy.column::<f32>("B", "x").unwrap_err(), absent("B", "x"));
    assert_eq!(copy.column::<f32>("A", "y").unwrap_err(), absent("A", "y"));
    let error = copy.column::<u32>("B", "y").unwrap_err().to_string();
    assert_eq!(error, "column `y` of component `B` holds f32, not u32");
    assert_eq!(observer.wait(2, Wait::Forever), Err(RecvError::Beyond { asked: 2, capacity: 1 }));
}

#[test]
fn bad_options_are_named_and_give_the_scheduler_back() {
    let mut world = world_of(10);
    world.spawn(Hidden(1)).unwrap();
    let mut scheduler = serial(world);
    let cases = [
        (RunAheadOptions::new(1).observe_fields("Ghost", &["x"]), "no component `Ghost`"),
        (RunAheadOptions::new(1).observe_fields("A", &["z"]), "`A` has no column `z`"),
        (RunAheadOptions::new(1).observe_fields("Hidden", &[]), "`Hidden` is opaque"),
        (RunAheadOptions::new(1).observe::<A>().observe_fields("A", &["x"]), "`x` of component `A` is observed twice"),
        (RunAheadOptions::new(1).observers(0), "1 to 32 receivers, not 0"),
        (RunAheadOptions::new(1).observers(33), "1 to 32 receivers, not 33"),
        (RunAheadOptions::new(u32::MAX), "not 4294967295"),
    ];
    for (options, what) in cases {
        let error = RunAhead::start(scheduler, options).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        scheduler = *error.scheduler;
    }
    assert_eq!(scheduler.run_frame(1.0, 0.0).unwrap().tick, 1);
}

#[test]
fn no_room_for_a_copy_ends_the_run_and_leaves_the_world() {
    let mut world = World::on(Memory::reserve(2 << 20).unwrap());
    let kept = world.spawn(A { x: 1.0 }).unwrap();
    let mut scheduler = serial(world);
    scheduler
        .add(System::new("grow").exclusive(|world, _| {
            world.spawn_batch((0..20_000).map(|i| A { x: i as f32 })).unwrap();
        }))
        .unwrap();
    let (mut ahead, observer) = start(scheduler, RunAheadOptions::new(20).observe::<A>());
    ahead.run(20, 1.0, 0.0).unwrap();
    let report = ahead.wait(LONG).unwrap().unwrap();
    assert_eq!(report.end, RunEnd::Failed);
    let last = observer.latest().unwrap();
    let failure = last.outcome().unwrap_err();
    // The world may be the first to need room; the copy is in this case.
    assert!(matches!(failure, TickFailure::Copy(_)), "{failure}");
    assert_eq!((last.rows(), last.handles().len()), (0, 0));
    assert_eq!(last.column::<f32>("A", "x").unwrap(), [0.0_f32; 0]);
    let scheduler = ahead.into_scheduler().unwrap();
    assert_eq!(scheduler.world().get::<A>(kept).unwrap().x, 1.0);
}

#[test]
fn a_copy_that_found_no_room_finds_it_again() {
    let mut scheduler = serial(World::on(Memory::reserve(2 << 20).unwrap()));
    let crowd = System::new("crowd").exclusive(|world, tick| match tick.number {
        1 => world.spawn_batch((0..10).map(|_| A { x: 1.0 })).map(drop).unwrap(),
        2 => world.spawn_batch((0..100_000).map(|_| A { x: 2.0 })).map(drop).unwrap(),
        _ => {
            let mut query = world.query::<(Entity, &A)>();
            let crowd: Vec<_> = query.iter(world).filter(|(_, a)| a.x == 2.0).map(|(entity, _)| entity).collect();
            world.despawn_batch(crowd).map(drop).unwrap();
        }
    });
    scheduler.add(crowd).unwrap();
    let (mut ahead, mut observer) = start(scheduler, RunAheadOptions::new(0).observe::<A>());
    let mut run = || {
        ahead.run(1, 1.0, 0.0).unwrap();
        ahead.wait(LONG).unwrap();
        let copy = observer.get(0).unwrap();
        let seen = (copy.outcome().is_ok(), copy.column::<f32>("A", "x").unwrap().len());
        observer.release(1);
        seen
    };
    assert_eq!([run(), run(), run()], [(true, 10), (false, 0), (true, 10)]);
}

#[test]
fn runs_wait_for_their_turn_up_to_a_bound() {
    let (mut ahead, observer) = start(adding(64, Mode::Serial, 0), RunAheadOptions::new(0).observe::<A>());
    // The first run waits for room after its first tick, and the others behind it.
    for run in 0..8 {
        ahead.run(2, 1.0, f64::from(run)).unwrap();
    }
    assert!(matches!(ahead.run(1, 1.0, 0.0), Err(RunAheadError::Busy { runs: 8 })));
    let watcher = thread::spawn(move || {
        let mut observer = observer;
        let mut times = Vec::new();
        while observer.wait(1, LONG).is_ok() {
            times.push(observer.get(0).unwrap().tick().time);
            observer.release(1);
        }
        times
    });
    for _ in 0..8 {
        let report = ahead.wait(LONG).unwrap().unwrap();
        assert_eq!((report.ticks, report.end), (2, RunEnd::Done));
    }
    assert_eq!(ahead.runs(), 0);
    drop(ahead);
    assert_eq!(watcher.join().unwrap(), [0., 1., 1., 2., 2., 3., 3., 4., 4., 5., 5., 6., 6., 7., 7., 8.]);
}

#[test]
fn dropping_it_stops_the_runner_and_drops_the_world() {
    let mut scheduler = adding(64, Mode::Serial, 0);
    let (alive, gone) = mpsc::channel::<()>();
    scheduler.world_mut().insert_resource(std::sync::Mutex::new(alive));
    let (mut ahead, mut observer) = start(scheduler, RunAheadOptions::new(1).observe::<A>());
    ahead.run(u64::MAX, 1.0, 0.0).unwrap();
    observer.wait(2, LONG).unwrap();
    drop(ahead);
    assert_eq!(gone.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    assert_added(&observer, 2, 64);
}

#[test]
fn a_scheduler_runs_the_same_ahead_as_in_place() {
    let run = |is_ahead: bool| {
        let mut scheduler = adding(30_000, Mode::Parallel, 1);
        if is_ahead {
            let (mut ahead, observer) = start(scheduler, RunAheadOptions::new(60));
            ahead.run(50, 0.1, 0.0).unwrap();
            assert_eq!(ahead.wait(LONG).unwrap().unwrap().end, RunEnd::Done);
            // Nothing was chosen, so there are ticks and no rows.
            assert_eq!((observer.held(), observer.latest().unwrap().rows()), (50, 0));
            scheduler = ahead.into_scheduler().unwrap();
        } else {
            (0..50).for_each(|tick| _ = scheduler.run_frame(0.1, 0.1 * f64::from(tick)).unwrap());
        }
        let mut world = scheduler.into_world();
        let mut query = world.query::<&A>();
        query.iter(&world).map(|a| a.x).collect::<Vec<_>>()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn a_slot_says_where_its_columns_are() {
    let scheduler = adding(100, Mode::Serial, 0);
    let memory = scheduler.world().memory().clone();
    let (mut ahead, mut observer) = start(scheduler, RunAheadOptions::new(2).observe::<A>());
    ahead.run(2, 0.25, 3.0).unwrap();
    observer.wait(2, LONG).unwrap();
    let base = memory.base().as_ptr();
    // SAFETY: the observer holds the message, which lies in the memory, as do the columns that it names.
    let bytes = |offset: usize, len: usize| unsafe { std::slice::from_raw_parts(base.add(offset), len) };
    let slot = bytes(observer.block().offset() as usize + layout::first_slot_at(1) + 64, 48);
    let u64_at = |at: usize| u64::from_le_bytes(slot[at..at + 8].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(slot[at..at + 4].try_into().unwrap());
    assert_eq!((u64_at(0), f64::from_bits(u64_at(8)), f64::from_bits(u64_at(16))), (2, 0.25, 3.25));
    assert_eq!([32, 36, 40, 44].map(u32_at), [100, 128, 2, 0]);
    let x = u64_at(24) as usize + peristyle_layout::chunk::column_offset(128, 8, 1);
    assert_eq!(bytes(x + 4 * 7, 4), 9.0_f32.to_le_bytes());
}
