//! Commands: recorded anywhere, merged in a fixed order.

mod common;

use common::*;
use peristyle_world::{CommandBuffer, Component, Entity, Memory, World, WorldError};

#[derive(Component, Clone, Copy, PartialEq, Debug)]
struct Link(Option<Entity>);

#[derive(Component, Clone, Copy, PartialEq, Debug)]
struct Links {
    all: [Option<Entity>; 2],
}

#[test]
fn a_spawn_gives_a_provisional_handle_that_further_commands_take() {
    let mut world = world();
    let old = world.spawn(Health(1)).unwrap();
    let mut buffer = CommandBuffer::new(3);
    let new = buffer.spawn((pos(1), Name("new".into())));
    assert!(new.is_provisional() && !world.is_alive(new));
    assert!(matches!(world.get::<Pos>(new), Err(WorldError::Provisional(_))));
    buffer.insert(new, Vel { x: 2.0, y: 0.0 });
    buffer.remove::<Pos>(new);
    buffer.set_parent(new, Some(old));
    let short_lived = buffer.spawn(pos(2));
    buffer.despawn(short_lived);
    buffer.run(|world| {
        world.insert_resource(world.len());
    });
    assert_eq!((buffer.len(), world.len()), (7, 1));
    let merged = world.merge([&mut buffer]);
    assert_eq!((merged.applied, merged.stale, merged.errors.len(), buffer.is_empty()), (7, 0, 0, true));
    assert_eq!((world.len(), *world.resource::<usize>().unwrap()), (2, 2));
    let child = world.children(old)[0];
    assert_eq!((world.get::<Vel>(child).unwrap().x, world.has::<Pos>(child)), (2.0, false));
    assert_eq!(world.get::<Name>(child).unwrap().0, "new");
}

#[test]
fn provisional_handles_inside_values_are_rewritten_also_across_buffers() {
    let mut world = world();
    let known = world.spawn(Health(0)).unwrap();
    let (mut a, mut b) = (CommandBuffer::new(0), CommandBuffer::new(1));
    let a0 = a.spawn(Health(10));
    let b0 = b.spawn((Health(20), Link(Some(a0))));
    let a1 = a.spawn((Health(11), Links { all: [Some(b0), None] }));
    a.spawn((Health(12), Links { all: [Some(known), Some(a1)] }));
    b.insert(known, Link(Some(b0)));
    world.merge([&mut a, &mut b]);
    let mut by_health = std::collections::BTreeMap::new();
    world.query::<(Entity, &Health)>().for_each(&mut world, |(entity, health)| {
        by_health.insert(health.0, entity);
    });
    let e = |health| by_health[&health];
    assert_eq!(world.get::<Link>(e(20)).unwrap(), Link(Some(e(10))));
    assert_eq!(world.get::<Links>(e(11)).unwrap().all, [Some(e(20)), None]);
    assert_eq!(world.get::<Links>(e(12)).unwrap().all, [Some(known), Some(e(11))]);
    assert_eq!(world.get::<Link>(known).unwrap(), Link(Some(e(20))));
}

#[test]
fn commands_on_entities_that_have_gone_are_counted() {
    let mut world = world();
    let entities = spawn_positions(&mut world, 4);
    let mut buffer = CommandBuffer::new(0);
    buffer.despawn(entities[0]);
    buffer.despawn(entities[0]);
    buffer.insert(entities[0], Health(1));
    buffer.remove::<Pos>(entities[1]);
    buffer.remove::<Pos>(entities[1]);
    buffer.set_parent(entities[0], Some(entities[1]));
    buffer.set_parent(entities[2], Some(entities[0]));
    buffer.set_parent(entities[2], Some(entities[2]));
    let merged = world.merge([&mut buffer]);
    assert_eq!((merged.applied, merged.stale), (2, 5));
    assert!(matches!(merged.errors[..], [WorldError::Cycle { .. }]));
    assert_eq!(world.len(), 3);
}

#[test]
fn a_provisional_handle_that_was_kept_over_a_merge_names_nothing() {
    let mut world = world();
    let mut buffer = CommandBuffer::new(0);
    let kept = buffer.spawn(Health(1));
    world.merge([&mut buffer]);
    let new = buffer.spawn(Health(2));
    assert_ne!(kept, new);
    buffer.insert(kept, Name("wrong".into()));
    buffer.spawn(Link(Some(kept)));
    let merged = world.merge([&mut buffer]);
    assert_eq!((merged.applied, merged.stale, merged.errors.len()), (2, 1, 0));
    assert_eq!(count(&mut world.query::<&Name>(), &mut world), 0);
}

/// The same ids, rows and values whatever order the buffers were filled in.
#[test]
fn the_order_of_merging_decides_not_the_order_of_recording() {
    let run = |record: [usize; 3]| -> Vec<(Entity, u32, Option<Entity>)> {
        let mut world = world();
        let mut buffers: Vec<_> = (0..3).map(CommandBuffer::new).collect();
        for who in record {
            for i in 0..50 {
                let entity = buffers[who].spawn((Health((who * 100 + i) as u32), Link(None)));
                buffers[who].insert(entity, Link(Some(entity)));
                if i % 7 == 0 {
                    buffers[who].despawn(entity);
                }
            }
        }
        world.merge(&mut buffers);
        let mut rows = Vec::new();
        world.query::<(Entity, &Health, &Link)>().for_each(&mut world, |(entity, health, link)| {
            assert_eq!(link.0, Some(entity));
            rows.push((entity, health.0, link.0));
        });
        rows
    };
    let first = run([0, 1, 2]);
    assert_eq!(first.len(), 150 - 24);
    assert_eq!(run([2, 0, 1]), first);
    assert_eq!(run([1, 2, 0]), first);
}

#[test]
fn values_of_commands_that_are_not_carried_out_are_dropped() {
    let mut world = world();
    let value = std::sync::Arc::new(());
    #[derive(Component)]
    #[component(opaque)]
    struct Held(#[expect(dead_code, reason = "held to be counted")] std::sync::Arc<()>);
    let gone = world.spawn(()).unwrap();
    world.despawn(gone).unwrap();
    let mut buffer = CommandBuffer::new(0);
    buffer.insert(gone, Held(value.clone()));
    buffer.spawn(Held(value.clone()));
    assert_eq!(world.merge([&mut buffer]).stale, 1);
    assert_eq!(std::sync::Arc::strong_count(&value), 2);
    buffer.spawn(Held(value.clone()));
    drop(buffer);
    assert_eq!(std::sync::Arc::strong_count(&value), 2);
    drop(world);
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}

#[test]
fn spawns_that_find_no_room_are_errors_and_leave_nobody_behind() {
    let mut world = World::on(Memory::reserve(2 << 20).unwrap());
    let mut buffer = CommandBuffer::new(0);
    let entities: Vec<Entity> = (0..300_000).map(|i| buffer.spawn(pos(i))).collect();
    buffer.insert(entities[299_999], Health(1));
    let merged = world.merge([&mut buffer]);
    assert!(merged.errors.iter().all(|error| matches!(error, WorldError::OutOfMemory(_))));
    assert_eq!((merged.applied + merged.errors.len(), merged.stale), (300_000, 1));
    assert!(merged.applied >= 16_384 && world.len() == merged.applied);
    assert_eq!(count(&mut world.query::<&Pos>(), &mut world), world.len());
}

#[test]
#[should_panic(expected = "have the number 4")]
fn two_buffers_of_one_number_are_a_mistake() {
    let (mut a, mut b) = (CommandBuffer::new(4), CommandBuffer::new(4));
    a.spawn(Health(1));
    b.spawn(Health(1));
    world().merge([&mut a, &mut b]);
}

#[test]
fn buffers_are_filled_on_other_threads() {
    let mut world = world();
    let mut buffers: Vec<_> = (0..4).map(CommandBuffer::new).collect();
    std::thread::scope(|scope| {
        for (who, buffer) in buffers.iter_mut().enumerate() {
            scope.spawn(move || {
                for i in 0..1000 {
                    buffer.spawn((Health(who as u32), Name(i.to_string())));
                }
            });
        }
    });
    world.merge(&mut buffers);
    let mut healths = Vec::new();
    world.query::<&Health>().for_each(&mut world, |health| healths.push(health.0));
    assert!(healths.len() == 4000 && healths.is_sorted());
}
