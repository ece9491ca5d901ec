//! What runs beside what, on which lane; nothing here looks at a clock.

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc::channel,
    },
    thread::{ThreadId, current},
    time::Duration,
};

use peristyle_schedule::{Mode, System};
use support::{A, B, scheduler, toil, world_of};

/// So long a test waits for what has to come before it fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// A frame by which the executor knows what a system costs.
const LEARNING: u64 = 20;

/// A long system is given to another lane, and what does not wait for it goes on: `long` waits for word from a system that
/// can only be started when another is done.
#[test]
fn a_system_starts_when_what_it_waits_for_is_done_not_later() {
    let mut scheduler = scheduler(world_of(1), Mode::Parallel, 1);
    let (tell, told) = channel::<()>();
    scheduler
        .add(System::new("a long").run(|_| {
            move |context| {
                if context.tick().number != LEARNING {
                    toil(200_000);
                } else {
                    told.recv_timeout(PATIENCE).expect("`d next` runs beside this");
                }
            }
        }))
        .unwrap();
    scheduler.add(System::new("b short").run(|_| |_| ())).unwrap();
    scheduler
        .add(System::new("d next").after("b short").run(|_| {
            move |context| {
                if context.tick().number == LEARNING {
                    tell.send(()).unwrap();
                }
            }
        }))
        .unwrap();
    let after = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&after);
    scheduler.add(System::new("e last").after("a long").run(|_| move |_| _ = count.fetch_add(1, SeqCst))).unwrap();
    for _ in 0..LEARNING + 5 {
        scheduler.run_frame(0.0, 0.0).unwrap();
    }
    assert_eq!(after.load(SeqCst), LEARNING as u32 + 5);
}

/// As above, where both are on the board: `c next` starts when `a first` is done, though `b waits` still runs.
#[test]
fn a_done_task_lets_others_start_while_tasks_are_open() {
    let mut scheduler = scheduler(world_of(1), Mode::Parallel, 1);
    let frame = current().id();
    let (tell, told) = channel::<()>();
    scheduler.add(System::new("a first").run(|_| |_| _ = toil(200_000))).unwrap();
    let waits = System::new("b waits").run(move |_| {
        move |context| {
            // The frame's thread, should it help with this, has to go on itself.
            if context.tick().number == LEARNING && current().id() != frame {
                told.recv_timeout(PATIENCE).expect("`c next` runs beside this");
            } else {
                toil(200_000);
            }
        }
    });
    scheduler.add(waits).unwrap();
    let next = System::new("c next").after("a first").run(move |_| {
        move |context| {
            if context.tick().number == LEARNING {
                tell.send(()).unwrap();
            }
        }
    });
    scheduler.add(next).unwrap();
    // Something to do at once, else `b waits` would run in place.
    scheduler.add(System::new("d other").run(|_| |_| ())).unwrap();
    for _ in 0..LEARNING + 1 {
        scheduler.run_frame(0.0, 0.0).unwrap();
    }
}

/// Whoever waits takes back what nobody has started: with workers that never get a core, as with none, frames end.
#[test]
fn frames_end_without_workers() {
    let mut scheduler = scheduler(world_of(50_000), Mode::Parallel, 0);
    let frame = current().id();
    let others: Arc<Mutex<Vec<ThreadId>>> = Arc::default();
    for name in ["1", "2", "3"] {
        let others = Arc::clone(&others);
        let system = System::new(name).each_chunk::<&A>(move |range, _| {
            toil(range.rows() as u32);
            if current().id() != frame {
                others.lock().unwrap().push(current().id());
            }
        });
        scheduler.add(system).unwrap();
    }
    (0..30).for_each(|_| assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().rows, 150_000));
    assert!(others.lock().unwrap().is_empty());
}

#[test]
fn serial_mode_stays_on_the_frames_thread() {
    let mut scheduler = scheduler(world_of(50_000), Mode::Serial, 2);
    let frame = current().id();
    let system = System::new("1").each_chunk::<&A>(move |range, _| {
        toil(range.rows() as u32);
        assert_eq!(current().id(), frame);
    });
    scheduler.add(system).unwrap();
    scheduler
        .add(System::new("2").run(move |_| {
            move |_| {
                toil(100_000);
                assert_eq!(current().id(), frame);
            }
        }))
        .unwrap();
    (0..30).for_each(|_| assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().rows, 50_000));
    assert_eq!((scheduler.pool().ranges_run(1), scheduler.pool().ranges_run(2)), (0, 0));
}

/// Rows are cut once they are worth it, and every lane may take some; each row is visited once.
#[test]
fn large_work_is_opened_to_all_lanes() {
    let mut scheduler = scheduler(world_of(50_000), Mode::Parallel, 1);
    let system = System::new("work").each::<&mut A>(|_, row| *row.x += toil(50) * 0.0 + 1.0);
    scheduler.add(system).unwrap();
    for _ in 0..30 {
        scheduler.run_frame(0.0, 0.0).unwrap();
    }
    let ran = scheduler.pool().ranges_run(0) + scheduler.pool().ranges_run(1);
    assert!(ran > 0, "nothing was opened");
    let mut query = scheduler.world_mut().query::<&A>();
    assert!(query.iter(scheduler.world()).enumerate().all(|(i, a)| a.x == i as f32 + 30.0));
}

/// More tasks than the board has room for are run all the same, each once.
#[test]
fn more_systems_than_fit_on_the_board() {
    const SYSTEMS: u32 = 80;
    let mut scheduler = scheduler(world_of(20_000), Mode::Parallel, 1);
    let ran = Arc::new(AtomicU32::new(0));
    for index in 0..SYSTEMS {
        let count = Arc::clone(&ran);
        let system = System::new(format!("{index:03}"));
        let system = if index % 2 == 0 {
            system.run(|_| {
                move |_| {
                    toil(30_000);
                    count.fetch_add(1, SeqCst);
                }
            })
        } else {
            system.each_chunk::<&A>(move |range, _| {
                toil(range.rows() as u32 * 4);
                if range.rows() > 0 {
                    count.fetch_add(1, SeqCst);
                }
            })
        };
        scheduler.add(system).unwrap();
    }
    for _ in 0..LEARNING {
        ran.store(0, SeqCst);
        let report = scheduler.run_frame(0.0, 0.0).unwrap();
        assert_eq!(report.rows, 20_000 * u64::from(SYSTEMS / 2));
        assert!(ran.load(SeqCst) >= SYSTEMS);
    }
}

/// Systems that conflict never overlap, whatever runs where: each writer leaves its number for the next.
#[test]
fn conflicting_systems_follow_each_other() {
    let mut world = world_of(30_000);
    world.insert_resource(0_u32);
    let mut scheduler = scheduler(world, Mode::Parallel, 3);
    for index in 0..6_u32 {
        let rows = System::new(format!("{index} rows")).each::<&mut A>(move |range, row| {
            toil(4);
            let expected = if index == 0 { (range.tick().number - 1) as f32 * 6.0 } else { *row.x };
            assert!(*row.x == expected || range.tick().number == 1);
            *row.x = (range.tick().number - 1) as f32 * 6.0 + index as f32 + 1.0;
        });
        let once = System::new(format!("{index} once")).run(move |setup| {
            let mut count = setup.writes::<u32>();
            move |context| {
                toil(40_000);
                let count = context.resource_mut(&mut count);
                assert_eq!(*count % 6, index);
                *count += 1;
            }
        });
        scheduler.add(rows).unwrap().add(once).unwrap();
    }
    scheduler.add(System::new("beside").each::<&mut B>(|_, _| ())).unwrap();
    for _ in 0..30 {
        scheduler.run_frame(0.0, 0.0).unwrap();
    }
    assert_eq!(scheduler.world().resource::<u32>(), Some(&180));
    let mut query = scheduler.world_mut().query::<&A>();
    assert!(query.iter(scheduler.world()).all(|a| a.x == 180.0));
}
