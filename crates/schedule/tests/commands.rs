//! Structural changes by systems: handles across systems, despawn bits, and the same world on any number of lanes.

mod support;

use peristyle_schedule::{Mode, Stage, System};
use peristyle_world::{Component, Entity, World};
use support::{A, B, C, scheduler, toil, world_of};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Target {
    entity: Option<Entity>,
}

#[test]
fn a_provisional_handle_can_be_used_by_later_systems_of_the_stage() {
    for mode in [Mode::Serial, Mode::Parallel] {
        let mut scheduler = scheduler(World::new().unwrap(), mode, 1);
        scheduler.world_mut().insert_resource(None::<Entity>);
        let spawn = System::new("1 spawn").run(|setup| {
            let mut shared = setup.writes::<Option<Entity>>();
            move |context| {
                let entity = context.commands().spawn(A { x: 1.0 });
                assert!(entity.is_provisional());
                *context.resource_mut(&mut shared) = Some(entity);
            }
        });
        let follow = System::new("2 follow").run(|setup| {
            let shared = setup.reads::<Option<Entity>>();
            move |context| {
                let entity = *context.resource(&shared);
                context.commands().insert(entity.unwrap(), B { x: 2.0, y: 3.0 });
                context.commands().spawn(Target { entity });
            }
        });
        scheduler.add(follow).unwrap().add(spawn.before("2 follow")).unwrap();
        let report = scheduler.run_frame(0.0, 0.0).unwrap();
        assert_eq!(report.stale_commands, 0);
        let world = scheduler.world_mut();
        let mut query = world.query::<&Target>();
        let target = query.iter(world).next().unwrap().entity.unwrap();
        assert!(!target.is_provisional());
        assert_eq!(world.get::<B>(target).unwrap(), B { x: 2.0, y: 3.0 });
        assert_eq!(world.get::<A>(target).unwrap(), A { x: 1.0 });
    }
}

#[test]
fn commands_on_entities_that_went_are_counted() {
    let mut scheduler = scheduler(world_of(3), Mode::Serial, 0);
    for name in ["1", "2"] {
        scheduler.add(System::new(name).each::<Entity>(|range, entity| range.commands().despawn(entity))).unwrap();
    }
    let report = scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!((report.stale_commands, scheduler.world().len()), (3, 0));
}

#[test]
fn despawn_bits_take_rows_of_the_right_entities() {
    const ROWS: usize = 50_000;
    for (mode, workers) in [(Mode::Serial, 0), (Mode::Parallel, 2)] {
        let mut scheduler = scheduler(world_of(ROWS), mode, workers);
        let system = System::new("odd").each_chunk_with::<&A, (), _>(|setup| {
            let despawn = setup.despawns();
            move |range, a| {
                toil(20_000);
                for (row, x) in a.x.iter().enumerate() {
                    if *x as u64 % 10 == range.tick().number {
                        range.despawn(&despawn, row);
                    }
                }
            }
        });
        scheduler.add(system).unwrap();
        for tick in 1..=9 {
            let report = scheduler.run_frame(0.0, 0.0).unwrap();
            assert_eq!((report.despawned, scheduler.world().len()), (5_000, ROWS - tick * 5_000));
        }
        let mut query = scheduler.world_mut().query::<&A>();
        let mut left: Vec<u32> = query.iter(scheduler.world()).map(|a| a.x as u32).collect();
        left.sort_unstable();
        assert_eq!(left, (0..ROWS as u32).step_by(10).collect::<Vec<_>>());
    }
}

/// A family that goes with one entity moves rows of other tables, whose bits have to be read before.
#[test]
fn despawn_bits_of_families_over_several_tables() {
    let mut world = World::new().unwrap();
    let parents: Vec<Entity> = (0..8).map(|i| world.spawn(A { x: i as f32 }).unwrap()).collect();
    for i in 0..64 {
        let child = world.spawn((A { x: 100.0 + i as f32 }, C { n: i })).unwrap();
        world.set_parent(child, Some(parents[i as usize % 8])).unwrap();
    }
    let mut scheduler = scheduler(world, Mode::Serial, 0);
    // The first parent goes, with eight children, and of the others each child whose number is 60 or more.
    let system = System::new("despawn").each_chunk_with::<&A, (), _>(|setup| {
        let despawn = setup.despawns();
        move |range, a| {
            for (row, x) in a.x.iter().enumerate() {
                if *x == 0.0 || *x >= 160.0 {
                    range.despawn(&despawn, row);
                }
            }
        }
    });
    scheduler.add(system).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    let mut query = scheduler.world_mut().query::<&A>();
    let mut left: Vec<u32> = query.iter(scheduler.world()).map(|a| a.x as u32).collect();
    left.sort_unstable();
    let stays = |i: &u32| !i.is_multiple_of(8) && *i < 60;
    let expected: Vec<u32> = (1..8).chain((0..64).filter(stays).map(|i| 100 + i)).collect();
    assert_eq!(left, expected);
}

#[derive(Debug, PartialEq, Clone, Default)]
struct Seen(Vec<(u64, Entity)>);

/// Everything in a world, row by row: handles, values, and what a system saw.
fn contents(world: &mut World) -> String {
    let mut text = String::new();
    let mut query = world.query::<(Entity, Option<&A>, Option<&B>, Option<&C>, Option<&Target>)>();
    query.for_each(world, |(entity, a, b, c, target)| {
        let (a, b, c) = (a.map(|a| a.x.to_bits()), b.map(|b| (b.x.to_bits(), b.y.to_bits())), c.map(|c| c.n));
        text += &format!("{entity:?} {a:?} {b:?} {c:?} {:?}\n", target.and_then(|target| target.entity));
    });
    text
}

fn random(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// What an entity does in a tick: a number that depends on nothing else.
fn dice(seed: u64, entity: Entity, tick: u64) -> u64 {
    random(seed ^ u64::from(entity.index()) << 20 ^ tick)
}

/// Runs a world in which entities are born, marry, change components and die, by systems of all kinds.
fn history(seed: u64, mode: Mode, workers: usize) -> Vec<String> {
    let mut world = world_of(3_000);
    world.insert_resource(Seen::default());
    let mut scheduler = scheduler(world, mode, workers);
    let live = System::new("live").each::<(Entity, &mut A)>(move |range, (entity, row)| {
        *row.x += toil(30) * 1e-3;
        match dice(seed, entity, range.tick().number) % 100 {
            0 => {
                let child = range.commands().spawn((A { x: *row.x }, Target { entity: Some(entity) }));
                let cousin = range.commands().spawn(A { x: -*row.x });
                range.commands().insert(child, Target { entity: Some(cousin) });
            }
            1 => range.commands().insert(entity, B { x: *row.x, y: 0.0 }),
            2 => range.commands().remove::<B>(entity),
            3 => {
                let n = range.tick().number as u32;
                range.commands().insert(entity, C { n });
            }
            4 => range.commands().despawn(entity),
            _ => {}
        }
    });
    let rest = System::new("rest").each::<(Entity, &mut B)>(move |range, (entity, b)| {
        *b.y += toil(30) * 1e-3;
        if dice(!seed, entity, range.tick().number).is_multiple_of(50) {
            range.commands().remove::<B>(entity);
        }
    });
    let age = System::new("age").each_chunk_with::<(&mut C, &A), (), _>(|setup| {
        let despawn = setup.despawns();
        move |range, (c, a)| {
            for row in 0..range.rows() {
                c.n[row] += a.x[row].to_bits() & 1;
                if c.n[row] % 16 == 15 {
                    range.despawn(&despawn, row);
                }
            }
        }
    });
    let parents = System::new("parents").stage(Stage::Late).run(move |setup| {
        let mut query = setup.query::<(Entity, &Target)>();
        let mut seen = setup.writes::<Seen>();
        move |context| {
            let mut pairs = Vec::new();
            context.for_each(&mut query, |(entity, target)| pairs.push((entity, target.entity.unwrap())));
            let number = context.tick().number;
            for (entity, target) in pairs {
                if dice(seed, entity, number).is_multiple_of(8) && entity.index() > target.index() {
                    context.commands().set_parent(entity, Some(target));
                }
                context.resource_mut(&mut seen).0.push((number, target));
            }
        }
    });
    let born = System::new("born").stage(Stage::Cleanup).exclusive(move |world, tick| {
        for _ in 0..20 + random(seed ^ tick.number) % 20 {
            world.spawn(A { x: tick.number as f32 }).unwrap();
        }
    });
    for system in [rest, live, age, parents, born] {
        scheduler.add(system).unwrap();
    }
    let mut history = Vec::new();
    for frame in 0..60 {
        let mut report = scheduler.run_frame(0.1, f64::from(frame) * 0.1).unwrap();
        (report.frame_ns, report.jobs_ns, report.structural_ns, report.dispatches) = (0, 0, 0, 0);
        history.push(format!("{report:?}\n{}", contents(scheduler.world_mut())));
    }
    history.push(format!("{:?}", scheduler.world().resource::<Seen>()));
    history
}

#[test]
fn serial_and_any_number_of_workers_give_the_same_ids_and_the_same_world() {
    for seed in [1, 2, 3] {
        let serial = history(seed, Mode::Serial, 2);
        assert!(serial[59].lines().count() > 1_000);
        for workers in [0, 1, 2, 4] {
            let parallel = history(seed, Mode::Parallel, workers);
            for (frame, (a, b)) in serial.iter().zip(&parallel).enumerate() {
                let differ = a.lines().zip(b.lines()).find(|(a, b)| a != b);
                assert!(a == b, "seed {seed}, {workers} workers, frame {frame}: {differ:?}");
            }
        }
    }
}

#[test]
fn commands_of_many_lanes_are_merged_in_order_of_rows() {
    const ROWS: usize = 40_000;
    let mut scheduler = scheduler(world_of(ROWS), Mode::Parallel, 3);
    let system = System::new("spawn").each::<&A>(move |range, row| {
        toil(20);
        if range.tick().number > 8 {
            range.commands().spawn(C { n: row.x as u32 });
        }
    });
    scheduler.add(system.run_if(|tick| tick.number <= 9)).unwrap();
    for _ in 0..9 {
        scheduler.run_frame(0.0, 0.0).unwrap();
    }
    let mut query = scheduler.world_mut().query::<&C>();
    let spawned: Vec<u32> = query.iter(scheduler.world()).map(|c| c.n).collect();
    assert_eq!(spawned, (0..ROWS as u32).collect::<Vec<_>>());
}
