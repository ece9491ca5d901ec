//! Components of single entities: get, get_mut, set, has, prepared.

mod common;

use common::*;
use peristyle_world::WorldError;

#[test]
fn values_are_read_replaced_and_written_in_place() {
    let mut world = world();
    let entity = world.spawn((pos(1), Name("a".into()), Health(3))).unwrap();
    world.set(entity, pos(2)).unwrap();
    assert_eq!(world.get::<Pos>(entity).unwrap(), pos(2));
    let row = world.get_mut::<Pos>(entity).unwrap();
    (*row.x, *row.y) = (5.0, 6.0);
    *world.get_mut::<Health>(entity).unwrap().0 += 1;
    world.get_mut::<Name>(entity).unwrap().0.push('b');
    assert_eq!(world.get::<Pos>(entity).unwrap(), Pos { x: 5.0, y: 6.0 });
    assert_eq!((world.get::<Health>(entity).unwrap(), &*world.get::<Name>(entity).unwrap().0), (Health(4), "ab"));
}

#[test]
fn a_component_that_is_not_there_is_named() {
    let mut world = world();
    let entity = world.spawn(pos(1)).unwrap();
    let prepared = world.prepare::<Health>();
    let missing = |result: Result<(), WorldError>| match result {
        Err(WorldError::Missing { entity: e, component }) => assert_eq!((e, &*component), (entity, "Health")),
        other => panic!("{other:?}"),
    };
    missing(world.get::<Health>(entity).map(drop));
    missing(world.set(entity, Health(1)));
    missing(world.remove::<Health>(entity));
    missing(prepared.get(&world, entity).map(drop));
    missing(prepared.get_mut(&mut world, entity).map(drop));
    missing(prepared.set(&mut world, entity, Health(1)));
    // Neither known to the world.
    assert!(matches!(world.get::<Vel>(entity), Err(WorldError::Missing { .. })) && !world.has::<Vel>(entity));
}

#[test]
fn what_is_prepared_follows_entities_through_moves_growth_and_new_tables() {
    let mut world = world();
    let position = world.prepare::<Pos>();
    let name = world.prepare::<Name>();
    let entities = spawn_positions(&mut world, 50_000);
    for (i, entity) in entities.iter().enumerate() {
        match i % 5 {
            0 => world.insert(*entity, Name(i.to_string())).unwrap(),
            1 => world.insert(*entity, Vel::default()).unwrap(),
            2 => world.despawn(*entity).unwrap(),
            _ => position.set(&mut world, *entity, pos(i + 1)).unwrap(),
        }
    }
    // Also one that is readied when everything is there.
    let late = world.prepare::<Pos>();
    for (i, entity) in entities.iter().enumerate() {
        let expected = match i % 5 {
            0 | 1 => Some(pos(i)),
            2 => None,
            _ => Some(pos(i + 1)),
        };
        assert_eq!(position.get(&world, *entity).ok(), expected);
        assert_eq!(late.get(&world, *entity).ok(), expected);
        assert_eq!(name.get(&world, *entity).ok().map(|name| name.0.clone()), (i % 5 == 0).then(|| i.to_string()));
    }
    // Chunks that went and came back for other tables.
    world.despawn_batch(entities).unwrap();
    world.spawn_batch((0..60_000).map(|i| Health(i as u32))).unwrap();
    let again = spawn_positions(&mut world, 20_000);
    assert!(again.iter().enumerate().all(|(i, entity)| late.get(&world, *entity).unwrap() == pos(i)));
    *late.get_mut(&mut world, again[7]).unwrap().x = 0.5;
    name.get(&world, again[7]).unwrap_err();
    assert_eq!(world.get::<Pos>(again[7]).unwrap().x, 0.5);
}

#[test]
fn many_are_reached_in_order_and_those_without_are_told() {
    let mut world = world();
    let entities = spawn_positions(&mut world, 1_000);
    world.despawn(entities[10]).unwrap();
    world.remove::<Pos>(entities[40]).unwrap();
    let position = world.prepare::<Pos>();
    let mut watch = world.query_filtered::<peristyle_world::Entity, peristyle_world::Changed<Pos>>();
    seen(&mut watch, &mut world);
    for count in [0, 1, 31, 32, 33, 64, 500] {
        let picked: Vec<_> = (0..count).map(|i| entities[i * 7 % 1_000]).collect();
        let mut numbers = Vec::new();
        position.get_each(&world, &picked, |number, found| {
            assert_eq!(found, world.get::<Pos>(picked[number]).ok());
            numbers.push(number);
        });
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    }
    let picked = [5, 10, 7, 40, 7].map(|i| entities[i]);
    let mut found = Vec::new();
    position.get_each_mut(&mut world, &picked, |_, row| {
        found.push(row.is_some());
        if let Some(row) = row {
            *row.x += 100.0;
        }
    });
    assert_eq!(found, [true, false, true, false, true]);
    assert_eq!([5, 7].map(|i| world.get::<Pos>(entities[i]).unwrap().x), [105.0, 207.0]);
    assert_eq!(seen(&mut watch, &mut world), [entities[5], entities[7]]);
}

#[test]
#[should_panic(expected = "on the world that made it")]
fn what_one_world_prepared_is_not_used_on_another() {
    let (mut one, mut other) = (world(), world());
    // The same number is another type there.
    let prepared = one.prepare::<Name>();
    let entity = other.spawn(pos(1)).unwrap();
    _ = prepared.get(&other, entity);
}

#[test]
#[should_panic(expected = "on the world that made it")]
fn a_query_of_one_world_is_not_used_on_another() {
    let (mut one, mut other) = (world(), world());
    let mut query = one.query::<&Name>();
    one.spawn(Name("a".into())).unwrap();
    query.for_each(&mut one, |_| {});
    other.spawn(pos(1)).unwrap();
    query.for_each(&mut other, |name| drop(name.0.clone()));
}

#[test]
fn inserting_adds_and_replaces_removing_takes() {
    let mut world = world();
    let entity = world.spawn(pos(1)).unwrap();
    world.insert(entity, (Vel { x: 1.0, y: 2.0 }, pos(2), Name("n".into()))).unwrap();
    assert_eq!((world.get::<Pos>(entity).unwrap(), world.get::<Vel>(entity).unwrap().y), (pos(2), 2.0));
    world.insert(entity, ()).unwrap();
    world.remove::<Pos>(entity).unwrap();
    assert!(!world.has::<Pos>(entity) && world.has::<Vel>(entity));
    assert_eq!(world.get::<Name>(entity).unwrap().0, "n");
    world.remove::<Vel>(entity).unwrap();
    world.remove::<Name>(entity).unwrap();
    assert!(world.is_alive(entity));
    world.insert(entity, Health(1)).unwrap();
    assert_eq!(world.get::<Health>(entity).unwrap(), Health(1));
}
