//! What a system declared, and nothing else, can be reached; panics leave scheduler and world usable.

mod support;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use peristyle_schedule::{Despawn, Mode, Res, ResMut, ScheduleError, Scheduler, System, SystemQuery};
use peristyle_world::{Changed, Entity, World, WorldError};
use support::{A, B, Log, scheduler, serial, toil, world_of};

fn panic_of(scheduler: &mut Scheduler) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| scheduler.run_frame(0.0, 0.0))).unwrap_err();
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap()
}

/// Lets one system's setup hand a token to another.
fn smuggle<T: Send + 'static>() -> (impl FnOnce(T) + 'static, impl FnMut() -> Option<T> + Send + 'static) {
    let put = Arc::new(Mutex::new(None));
    let taken = Arc::clone(&put);
    (move |token| *put.lock().unwrap() = Some(token), move || taken.lock().unwrap().take())
}

#[test]
fn tokens_and_queries_of_another_system_are_refused() {
    const REFUSED: &str = "a token or query of another system";

    let (put, mut get) = smuggle::<SystemQuery<&'static mut A>>();
    let mut of = serial(world_of(1));
    of.add(System::new("1").run(|setup| {
        put(setup.query());
        |_| ()
    }))
    .unwrap();
    of.add(System::new("2").run(|_| move |context| context.for_each(&mut get().unwrap(), |_| ()))).unwrap();
    assert_eq!(panic_of(&mut of), REFUSED);

    let (put, mut get) = smuggle::<ResMut<u32>>();
    let mut of = serial(world_of(1));
    of.world_mut().insert_resource(1_u32);
    of.add(System::new("1").run(|setup| {
        put(setup.writes());
        |_| ()
    }))
    .unwrap();
    of.add(System::new("2").run(|_| move |context| *context.resource_mut(&mut get().unwrap()) = 2)).unwrap();
    assert_eq!(panic_of(&mut of), REFUSED);

    let (put, get) = smuggle::<Despawn>();
    let get = Mutex::new(get);
    let mut of = serial(world_of(1));
    of.add(System::new("1").run(|setup| {
        put(setup.despawns());
        |_| ()
    }))
    .unwrap();
    let system = System::new("2").each::<&A>(move |range, _| {
        let token = get.lock().unwrap()().unwrap();
        range.despawn(&token, 0);
    });
    of.add(system).unwrap();
    assert_eq!(panic_of(&mut of), REFUSED);
    assert_eq!(of.world().len(), 1);
}

/// The first systems of two schedulers have the same consumer: that must not make their tokens alike.
#[test]
fn tokens_of_another_scheduler_are_refused() {
    let (put, mut get) = smuggle::<Res<u32>>();
    let mut first = serial(world_of(1));
    first
        .add(System::new("1").run(|setup| {
            put(setup.reads());
            |_| ()
        }))
        .unwrap();
    let mut second = serial(world_of(1));
    second.world_mut().insert_resource(1_u32);
    second.add(System::new("1").run(|_| move |context| _ = *context.resource(&get().unwrap()))).unwrap();
    assert_eq!(panic_of(&mut second), "a token or query of another system");
}

#[test]
fn declaring_a_write_twice_panics_and_leaves_the_scheduler_as_it_was() {
    let mut scheduler = serial(world_of(1));
    let twice = System::new("twice").run(|setup| {
        let (_read, _write) = (setup.reads::<u32>(), setup.writes::<u32>());
        |_| ()
    });
    assert!(catch_unwind(AssertUnwindSafe(|| scheduler.add(twice).map(|_| ()))).is_err());
    let aliases = System::new("aliases").each::<(&mut A, &A)>(|_, _| ());
    assert!(catch_unwind(AssertUnwindSafe(|| scheduler.add(aliases).map(|_| ()))).is_err());
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert!(scheduler.plan().unwrap().systems().is_empty());
}

#[test]
fn a_missing_resource_panics_with_its_name_and_can_come_back() {
    let mut scheduler = serial(world_of(1));
    let system = System::new("count").run(|setup| {
        let (text, mut count) = (setup.reads::<String>(), setup.writes::<usize>());
        move |context| {
            let (text, count) = (context.resource(&text), context.resource_mut(&mut count));
            *count += text.len();
        }
    });
    scheduler.add(system).unwrap();
    assert_eq!(panic_of(&mut scheduler), "the world has no resource `alloc::string::String`");
    scheduler.world_mut().insert_resource("four".to_owned());
    scheduler.world_mut().insert_resource(1_usize);
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(scheduler.world().resource::<usize>(), Some(&5));
}

#[test]
fn another_world_is_refused() {
    let mut scheduler = serial(world_of(1));
    scheduler
        .add(System::new("a").run(|setup| {
            setup.writes::<u32>();
            |_| ()
        }))
        .unwrap();
    let other = std::mem::replace(scheduler.world_mut(), World::new().unwrap());
    assert!(panic_of(&mut scheduler).contains("on the world that made it"));
    *scheduler.world_mut() = other;
    scheduler.run_frame(0.0, 0.0).unwrap();
}

#[test]
fn a_tick_in_a_tick_is_an_error() {
    let mut scheduler = serial(world_of(1));
    let log = Log::default();
    let told = log.clone();
    let system = System::new("nested").exclusive(move |world, _| {
        told.push(format!("{:?}", world.begin_tick()));
    });
    scheduler.add(system).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), [format!("{:?}", Err::<u64, _>(WorldError::NestedTick))]);
    scheduler.world_mut().begin_tick().unwrap();
    assert!(matches!(scheduler.run_frame(0.0, 0.0), Err(ScheduleError::World(WorldError::NestedTick))));
    scheduler.world_mut().end_tick().unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
}

#[test]
fn a_panic_in_a_system_ends_the_frame_and_no_more() {
    for mode in [Mode::Serial, Mode::Parallel] {
        let log = Log::default();
        let mut scheduler = scheduler(world_of(2), mode, 1);
        scheduler
            .add(System::new("1 spawn").run(|_| |context| _ = context.commands().spawn(B { x: 1.0, y: 2.0 })))
            .unwrap();
        let panics = System::new("2 panics").run(|_| {
            |context| {
                context.commands().spawn(A { x: 7.0 });
                assert!(context.tick().number != 1, "the first tick");
            }
        });
        scheduler.add(panics.after("1 spawn")).unwrap();
        scheduler.add(log.system("3 after").after("2 panics")).unwrap();
        assert_eq!(panic_of(&mut scheduler), "the first tick");
        assert!(log.take().is_empty());
        // What was recorded until then is there, and is not merged again.
        assert_eq!(scheduler.world().len(), 4);
        scheduler.run_frame(0.0, 0.0).unwrap();
        assert_eq!(log.take(), ["3 after"]);
        assert_eq!(scheduler.world().len(), 6);
    }
}

#[test]
fn a_panic_in_a_range_leaves_marks_bits_and_the_scheduler_right() {
    const ROWS: usize = 20_000;
    for mode in [Mode::Serial, Mode::Parallel] {
        let log = Log::default();
        let mut scheduler = scheduler(world_of(ROWS), mode, 2);
        let panics = System::new("panics").each_with::<(&mut A, Entity), (), _>(|setup| {
            let despawn = setup.despawns();
            move |range, (row, entity)| {
                *row.x = toil(4);
                if range.tick().number == 8 && entity.index() == 10_000 {
                    range.despawn(&despawn, 0);
                    panic!("row 10 000");
                }
            }
        });
        let saw = log.clone();
        let watch = System::new("watch").each_with::<Entity, Changed<A>, _>(move |_| {
            move |_, entity| {
                if entity.index() == 10_000 {
                    saw.push("changed");
                }
            }
        });
        scheduler.add(panics).unwrap();
        scheduler.add(watch.after("panics")).unwrap();
        for _ in 0..7 {
            scheduler.run_frame(0.0, 0.0).unwrap();
        }
        assert_eq!(log.take().len(), 7);
        assert_eq!(panic_of(&mut scheduler), "row 10 000");
        assert_eq!(scheduler.world().len(), ROWS - 1, "the bit was honoured at once");
        let first = {
            let mut query = scheduler.world_mut().query::<Entity>();
            query.iter(scheduler.world()).next().unwrap()
        };
        scheduler.world_mut().despawn(first).unwrap();
        assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().despawned, 0, "and only once");
        assert_eq!(log.take(), ["changed"]);
        assert_eq!(scheduler.world().len(), ROWS - 2);
    }
}

#[test]
fn a_scheduler_can_move_to_another_thread() {
    let mut scheduler = scheduler(world_of(10), Mode::Parallel, 1);
    scheduler.add(System::new("a").each::<&mut A>(|_, row| *row.x += 1.0)).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    let scheduler = std::thread::spawn(move || {
        scheduler.run_frame(0.0, 0.0).unwrap();
        scheduler
    });
    let mut world = scheduler.join().unwrap().into_world();
    let mut query = world.query::<&A>();
    assert_eq!(query.iter(&world).next().unwrap().x, 2.0);
}
