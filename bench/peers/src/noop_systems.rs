//! What does a system that does nothing cost, among a hundred?

use std::hint::black_box;

use bevy_ecs::schedule::{MultiThreadedExecutor, Schedule, SingleThreadedExecutor};
use flecs_ecs::prelude::*;

use crate::iterate_parallel::bevy_pool;
use crate::measure::{Contestant, Question, Role, seconds_each};

const SYSTEMS: usize = 100;
const FRAMES: u32 = 50;

/// One thread, and with workers.
pub fn questions() -> Vec<Question> {
    vec![
        Question {
            name: "100 no-op systems, one thread".to_owned(),
            item: "system",
            items: SYSTEMS,
            rounds: 60,
            contestants: vec![
                Contestant::new(
                    Role::Limit,
                    "limit: Vec<Box<dyn FnMut()>>",
                    || (0..SYSTEMS).map(|_| Box::new(|| black_box(())) as Box<dyn FnMut()>).collect::<Vec<_>>(),
                    |systems| seconds_each(FRAMES, || black_box(&mut *systems).iter_mut().for_each(|system| system())),
                    |_| None,
                ),
                bevy("bevy: SingleThreadedExecutor", |schedule| {
                    schedule.set_executor(SingleThreadedExecutor::new());
                }),
                flecs("flecs: progress, no threads", |_| {}),
            ],
        },
        Question {
            name: "100 no-op systems, with workers".to_owned(),
            item: "system",
            items: SYSTEMS,
            rounds: 60,
            contestants: vec![
                bevy("bevy: MultiThreadedExecutor", |schedule| {
                    bevy_pool();
                    schedule.set_executor(MultiThreadedExecutor::new());
                }),
                flecs("flecs: progress, 2 threads (main one runs all)", |world| world.set_threads(2)),
            ],
        },
    ]
}

fn bevy(name: &str, executor: impl FnOnce(&mut Schedule) + 'static) -> Contestant {
    Contestant::new(
        Role::Peer,
        name,
        || bevy_frame(executor, || black_box(())),
        |(world, schedule)| seconds_each(FRAMES, || schedule.run(world)),
        |_| None,
    )
}

fn bevy_frame(
    executor: impl FnOnce(&mut Schedule),
    system: impl Fn() + Copy + Send + Sync + 'static,
) -> (bevy_ecs::world::World, Schedule) {
    let mut schedule = Schedule::default();
    executor(&mut schedule);
    for _ in 0..SYSTEMS {
        schedule.add_systems(system);
    }
    (bevy_ecs::world::World::new(), schedule)
}

/// A tag of the systems that the pipeline runs: nothing else is in the frame.
#[derive(flecs_ecs::macros::Component)]
struct InFrame;

fn flecs(name: &str, threads: impl FnOnce(&World) + 'static) -> Contestant {
    Contestant::new(
        Role::Peer,
        name,
        || flecs_frame(threads, || black_box(())),
        |world| {
            seconds_each(FRAMES, || {
                black_box(world.progress_time(0.01));
            })
        },
        |_| None,
    )
}

fn flecs_frame(threads: impl FnOnce(&World), system: impl Fn() + Copy + Send + Sync + 'static) -> World {
    let world = World::new();
    threads(&world);
    for _ in 0..SYSTEMS {
        world.system::<()>().run(move |_| system()).add(InFrame);
    }
    let pipeline = world.pipeline().with(flecs::system::System::id()).with(InFrame).build();
    world.set_pipeline(pipeline.entity());
    world
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// What would catch a frame that leaves systems out.
    #[test]
    fn every_system_runs_once_a_frame() {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let count = || _ = RUNS.fetch_add(1, Ordering::Relaxed);
        fn runs(frame: impl FnOnce()) -> usize {
            RUNS.store(0, Ordering::Relaxed);
            frame();
            RUNS.load(Ordering::Relaxed)
        }

        let (mut world, mut schedule) = bevy_frame(|s| _ = s.set_executor(SingleThreadedExecutor::new()), count);
        assert_eq!(runs(|| schedule.run(&mut world)), SYSTEMS);
        bevy_pool();
        let (mut world, mut schedule) = bevy_frame(|s| _ = s.set_executor(MultiThreadedExecutor::new()), count);
        assert_eq!(runs(|| schedule.run(&mut world)), SYSTEMS);
        for threads in [0, 2] {
            let world = flecs_frame(|world| world.set_threads(threads), count);
            assert_eq!(runs(|| _ = world.progress_time(0.01)), SYSTEMS, "{threads} threads");
        }
    }
}
