//! Spawning: one, a batch, in place, and by a recipe.

mod common;

use common::*;
use peristyle_world::{Entity, Prefab, World};

#[test]
fn entities_of_a_batch_are_consecutive_and_in_the_order_of_their_values() {
    let mut world = world();
    world.spawn_batch((0..100).map(|i| (pos(i), Vel::default()))).unwrap();
    let spawned = world.spawn_batch((0..50_000).map(|i| (pos(i), Vel::default()))).unwrap();
    assert_eq!((spawned.len(), spawned.is_empty(), spawned.iter().len()), (50_000, false, 50_000));
    let entities: Vec<Entity> = spawned.iter().collect();
    assert!(entities.iter().enumerate().all(|(i, entity)| world.get::<Pos>(*entity).unwrap() == pos(i)));
    assert!(world.spawn_batch(std::iter::empty::<Pos>()).unwrap().is_empty());
}

#[test]
fn a_batch_may_not_know_its_length_nor_end_twice() {
    struct Odd(usize);
    impl Iterator for Odd {
        type Item = Pos;
        /// Ends, and if asked again would go on.
        fn next(&mut self) -> Option<Pos> {
            self.0 += 1;
            (!self.0.is_multiple_of(20_000)).then(|| pos(self.0))
        }
    }
    let mut world = world();
    assert_eq!(world.spawn_batch(Odd(0)).unwrap().len(), 19_999);
    assert_eq!(world.len(), 19_999);
}

#[test]
fn a_batch_whose_iterator_panics_leaves_a_world_that_goes_on() {
    let mut world = world();
    let batch = (0..1000).map(|i| if i == 700 { panic!("no more") } else { (pos(i), Name(i.to_string())) });
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(world.spawn_batch(batch))));
    assert!(result.is_err());
    assert_eq!(count(&mut world.query::<&Name>(), &mut world), world.len());
    let entities: Vec<Entity> =
        world.spawn_batch((0..10).map(|i| (pos(i), Name(i.to_string())))).unwrap().iter().collect();
    assert!(entities.iter().enumerate().all(|(i, e)| world.get::<Name>(*e).unwrap().0 == i.to_string()));
}

#[test]
fn filling_in_place_covers_every_row_once() {
    let mut world = world();
    spawn_positions(&mut world, 10_000);
    let mut runs = Vec::new();
    let spawned = world.spawn_fill::<(Pos, (Health, Tag))>(60_000, |(p, (h, _)), first| {
        runs.push((first, p.x.len()));
        for (i, ((x, y), health)) in p.x.iter_mut().zip(p.y).zip(h.0).enumerate() {
            (*x, *y, *health) = (pos(first + i).x, pos(first + i).y, (first + i) as u32);
        }
    });
    let entities: Vec<Entity> = spawned.unwrap().iter().collect();
    assert_eq!(runs, [(0, 16_384), (16_384, 16_384), (32_768, 16_384), (49_152, 10_848)]);
    assert!(entities.iter().enumerate().all(|(i, e)| {
        world.get::<Pos>(*e).unwrap() == pos(i)
            && world.get::<Health>(*e).unwrap() == Health(i as u32)
            && world.has::<Tag>(*e)
    }));
    assert!(world.spawn_fill::<Pos>(0, |_, _| unreachable!("there is nothing to fill")).unwrap().is_empty());
}

#[test]
fn filling_goes_on_where_the_last_chunk_ended() {
    let mut world = world();
    let fill = |world: &mut World, count| -> Vec<usize> {
        let mut runs = Vec::new();
        world
            .spawn_fill::<Health>(count, |h, first| {
                runs.push(h.0.len());
                h.0.iter_mut().enumerate().for_each(|(i, value)| *value = (first + i) as u32);
            })
            .unwrap();
        runs
    };
    assert_eq!(fill(&mut world, 16_000), [16_000]);
    assert_eq!(fill(&mut world, 1_000), [384, 616]);
    assert_eq!(count(&mut world.query::<&Health>(), &mut world), 17_000);
}

#[test]
fn reserved_room_is_used() {
    let mut world = world();
    world.reserve::<(Pos, Vel)>(100_000).unwrap();
    let used = world.memory().used_bytes();
    world.spawn_batch((0..100_000).map(|i| (Vel::default(), pos(i)))).unwrap();
    assert_eq!(world.memory().used_bytes(), used);
}

#[test]
fn bundles_nest_and_hold_more_than_a_few_components() {
    macro_rules! numbered { ($($name:ident)*) => {$(
        #[derive(peristyle_world::Component, Clone, Copy, PartialEq, Debug)]
        struct $name(u8);
    )*}}
    numbered!(A B C D E F G H I J K L M N O P Q R);
    let mut world = world();
    let entity = world
        .spawn((
            (A(1), B(2), C(3), (D(4), E(5), F(6))),
            (G(7), H(8), I(9), J(10), K(11)),
            (L(12), M(13), N(14), (O(15), P(16), Q(17), R(18))),
        ))
        .unwrap();
    assert_eq!((world.get::<A>(entity).unwrap(), world.get::<R>(entity).unwrap()), (A(1), R(18)));
    assert_eq!((world.get::<K>(entity).unwrap(), world.get::<P>(entity).unwrap()), (K(11), P(16)));
    world
        .insert(
            entity,
            (
                (A(21), B(22), C(23), (D(24), E(25), F(26))),
                (G(27), H(28), I(29), J(30), K(31)),
                (L(32), M(33), N(34), (O(35), P(36), Q(37), R(38))),
            ),
        )
        .unwrap();
    assert_eq!((world.get::<Q>(entity).unwrap(), world.get::<R>(entity).unwrap()), (Q(37), R(38)));
}

#[test]
fn a_prefab_gives_fixed_values_values_by_index_and_overrides() {
    let unit = Prefab::new("unit").with((Health(10), Tag)).with_each(|i| (pos(i), Vel { x: i as f32, y: 0.0 }));
    let boss = Prefab::new("boss").with(Health(500)).based_on(&unit);
    assert_eq!((unit.name(), boss.name()), ("unit", "boss"));
    let mut world = world();
    let units = world.spawn_prefab(&unit, 100).unwrap();
    for (i, entity) in units.iter().enumerate() {
        assert_eq!((world.get::<Pos>(*entity).unwrap(), world.get::<Health>(*entity).unwrap()), (pos(i), Health(10)));
    }
    let boss = world.spawn_prefab(&boss, 1).unwrap()[0];
    assert_eq!(world.get::<Health>(boss).unwrap(), Health(500), "own steps come after those it is based on");
    let special = world.spawn_prefab_with(&unit, (pos(7), Name("special".into()))).unwrap();
    assert_eq!((world.get::<Pos>(special).unwrap(), world.get::<Health>(special).unwrap()), (pos(7), Health(10)));
    assert_eq!(world.get::<Name>(special).unwrap().0, "special");
}

#[test]
fn a_prefab_that_finds_no_room_spawns_nothing() {
    let mut world = World::on(peristyle_world::Memory::reserve(2 << 20).unwrap());
    let unit = Prefab::new("unit").with(Health(1)).with(pos(1)).with(Vel::default());
    assert!(world.spawn_prefab(&unit, 200_000).is_err());
    assert!(world.is_empty());
    assert_eq!(world.spawn_prefab(&unit, 1_000).unwrap().len(), 1_000);
}
