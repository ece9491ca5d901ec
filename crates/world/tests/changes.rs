//! Change tracking: every consumer sees every change once, whenever it looks.

mod common;

use common::*;
use peristyle_world::{Added, Changed, Entity, Query, SharedWorld, Tracked, Without, World};

type Watch = Query<Entity, Changed<Pos>>;
/// Its name, what it does to an entity, and whether that counts.
type Way = (&'static str, fn(&mut World, Entity), bool);
type AnyOfThree = (Changed<Pos>, Changed<Vel>, Added<Vel>);

/// A world of `count` positions, and a consumer that has seen them.
fn watched(count: usize) -> (World, Vec<Entity>, Watch) {
    let mut world = world();
    let mut watch: Watch = world.query_filtered();
    let entities = spawn_positions(&mut world, count);
    assert_eq!(seen(&mut watch, &mut world), entities);
    (world, entities, watch)
}

fn touch(world: &mut World, entity: Entity) {
    world.set(entity, pos(7)).unwrap();
}

#[test]
fn every_way_to_write_counts_and_reading_does_not() {
    let ways: &[Way] = &[
        ("set", touch, true),
        ("get_mut", |world, e| *world.get_mut::<Pos>(e).unwrap().x = 1.0, true),
        ("insert", |world, e| world.insert(e, pos(2)).unwrap(), true),
        ("insert with another", |world, e| world.insert(e, (pos(2), Health(1))).unwrap(), true),
        ("remove and insert", |world, e| world.remove::<Pos>(e).and_then(|()| world.insert(e, pos(2))).unwrap(), true),
        ("prepared set", |world, e| world.prepare::<Pos>().set(world, e, pos(2)).unwrap(), true),
        ("prepared get_mut", |world, e| *world.prepare::<Pos>().get_mut(world, e).unwrap().y = 1.0, true),
        ("get", |world, e| assert!(world.get::<Pos>(e).is_ok()), false),
        ("another component", |world, e| world.insert(e, Health(1)).unwrap(), false),
        ("removal of another", |world, e| world.insert(e, Tag).and_then(|()| world.remove::<Tag>(e)).unwrap(), false),
        ("a read query", |world, _| world.query::<&Pos>().for_each(world, |_| {}), false),
        ("despawn", |world, e| world.despawn(e).unwrap(), false),
    ];
    for (way, write, counts) in ways {
        let (mut world, entities, mut watch) = watched(200);
        write(&mut world, entities[77]);
        let expected = if *counts { vec![entities[77]] } else { vec![] };
        assert_eq!(seen(&mut watch, &mut world), expected, "{way}");
        assert_eq!(seen(&mut watch, &mut world), [], "{way}: once");
    }
}

#[test]
fn consumers_at_different_rates_each_see_every_change_once() {
    let (mut world, entities, mut every) = watched(50_000);
    let mut third: Watch = world.query_filtered();
    let mut never: Watch = world.query_filtered();
    assert_eq!(seen(&mut third, &mut world).len(), 50_000);
    let mut since_third = Vec::new();
    for round in 0..9 {
        world.begin_tick().unwrap();
        let touched: Vec<Entity> = (0..100).map(|i| entities[(i * 487 + round * 31) % 50_000]).collect();
        touched.iter().for_each(|entity| touch(&mut world, *entity));
        assert_eq!(seen_sorted(&mut every, &mut world), sorted(touched.clone()));
        since_third.extend(touched);
        if round % 3 == 2 {
            let mut expected = sorted(std::mem::take(&mut since_third));
            expected.dedup();
            assert_eq!(seen_sorted(&mut third, &mut world), expected);
        }
        world.end_tick().unwrap();
    }
    assert_eq!(seen(&mut never, &mut world), entities);
}

#[test]
fn a_consumer_before_its_writer_sees_the_write_in_the_next_tick() {
    let (mut world, entities, mut watch) = watched(100);
    let mut found = Vec::new();
    for entity in &entities[..4] {
        world.begin_tick().unwrap();
        found.push(seen(&mut watch, &mut world));
        touch(&mut world, *entity);
        world.end_tick().unwrap();
    }
    assert_eq!(found, [vec![], vec![entities[0]], vec![entities[1]], vec![entities[2]]]);
}

#[test]
fn a_skipped_consumer_and_a_write_between_ticks_lose_nothing() {
    let (mut world, entities, mut watch) = watched(100);
    for tick in 0..3 {
        world.begin_tick().unwrap();
        touch(&mut world, entities[tick]);
        world.end_tick().unwrap();
        touch(&mut world, entities[50 + tick]);
    }
    world.begin_tick().unwrap();
    assert_eq!(seen(&mut watch, &mut world), [0, 1, 2, 50, 51, 52].map(|i| entities[i]));
}

#[test]
fn a_late_consumer_sees_every_row_once() {
    let (mut world, entities, _) = watched(20_000);
    world.insert(entities[5], Health(1)).unwrap();
    let mut late: Watch = world.query_filtered();
    let mut added: Query<Entity, Added<Pos>> = world.query_filtered();
    assert_eq!(seen_sorted(&mut late, &mut world), sorted(entities.clone()));
    assert_eq!(seen_sorted(&mut added, &mut world), sorted(entities));
    assert_eq!((seen(&mut late, &mut world), seen(&mut added, &mut world)), (vec![], vec![]));
}

#[test]
fn a_row_that_fills_a_hole_takes_its_bit_along_and_leaves_none() {
    for (touched, despawned) in [(39_999, 0), (39_999, 20_000), (0, 39_999), (16_383, 16_384), (20_000, 20_000)] {
        let (mut world, entities, mut watch) = watched(40_000);
        touch(&mut world, entities[touched]);
        world.despawn(entities[despawned]).unwrap();
        let expected = if touched == despawned { vec![] } else { vec![entities[touched]] };
        assert_eq!(seen(&mut watch, &mut world), expected, "{touched} touched, {despawned} despawned");
        // The place of the last row is used again.
        let new = world.spawn(pos(1)).unwrap();
        assert_eq!(seen(&mut watch, &mut world), [new]);
    }
}

#[test]
fn a_row_that_moves_to_another_table_takes_its_bit_along_and_leaves_none() {
    let (mut world, entities, mut watch) = watched(1_000);
    touch(&mut world, entities[3]);
    touch(&mut world, entities[999]);
    world.insert(entities[3], Health(1)).unwrap();
    world.insert(entities[4], Health(1)).unwrap();
    world.insert(entities[999], (Health(1), Tag)).unwrap();
    world.remove::<Health>(entities[999]).unwrap();
    assert_eq!(seen_sorted(&mut watch, &mut world), sorted([entities[3], entities[999]]));
    world.remove::<Health>(entities[3]).unwrap();
    assert_eq!(seen(&mut watch, &mut world), []);
}

#[test]
fn added_is_what_came_and_implies_changed() {
    let (mut world, entities, mut changed) = watched(100);
    let mut added: Query<Entity, Added<Pos>> = world.query_filtered();
    assert_eq!(seen(&mut added, &mut world).len(), 100);
    touch(&mut world, entities[1]);
    world.insert(entities[2], pos(3)).unwrap();
    assert_eq!(seen(&mut added, &mut world), [], "a replaced value is not added");
    assert_eq!(seen(&mut changed, &mut world), [entities[1], entities[2]]);
    let bare = world.spawn(Health(1)).unwrap();
    world.insert(bare, pos(1)).unwrap();
    let spawned = world.spawn((pos(1), Tag)).unwrap();
    let filled: Vec<Entity> = world.spawn_fill::<Pos>(3, |_, _| {}).unwrap().iter().collect();
    let expected = sorted(filled.into_iter().chain([bare, spawned]));
    assert_eq!(seen_sorted(&mut added, &mut world), expected);
    assert_eq!(seen_sorted(&mut changed, &mut world), expected);
    // A bit of `added` moves with its row too.
    let moved = world.spawn(pos(1)).unwrap();
    world.insert(moved, Vel::default()).unwrap();
    assert_eq!(seen(&mut added, &mut world), [moved]);
}

#[test]
fn several_row_filters_are_alternatives() {
    let mut world = world();
    let entities: Vec<Entity> = world.spawn_batch((0..100).map(|i| (pos(i), Vel::default()))).unwrap().iter().collect();
    let mut either: Query<Entity, AnyOfThree> = world.query_filtered();
    assert_eq!(seen(&mut either, &mut world), entities);
    touch(&mut world, entities[3]);
    touch(&mut world, entities[70]);
    world.set(entities[70], Vel::default()).unwrap();
    world.set(entities[4], Vel::default()).unwrap();
    assert_eq!(seen(&mut either, &mut world), [entities[3], entities[4], entities[70]]);
    assert_eq!(seen(&mut either, &mut world), []);
}

#[test]
fn row_filters_and_table_filters_restrict_together() {
    let (mut world, entities, _) = watched(100);
    let mut watch: Query<Entity, (Changed<Pos>, Without<Tag>)> = world.query_filtered();
    world.insert(entities[5], Tag).unwrap();
    assert_eq!(seen(&mut watch, &mut world).len(), 99);
    touch(&mut world, entities[5]);
    touch(&mut world, entities[6]);
    assert_eq!(seen(&mut watch, &mut world), [entities[6]]);
    // The change waits until the row is one of the query's.
    world.remove::<Tag>(entities[5]).unwrap();
    assert_eq!(seen(&mut watch, &mut world), [entities[5]]);
}

#[test]
fn a_writer_does_not_see_its_own_marks_others_do() {
    let (mut world, entities, mut watch) = watched(20_000);
    let mut writer: Query<&mut Pos, Changed<Pos>> = world.query_filtered();
    assert_eq!(count(&mut writer, &mut world), 20_000);
    assert_eq!(seen(&mut watch, &mut world).len(), 20_000);
    assert_eq!(count(&mut writer, &mut world), 0);
    touch(&mut world, entities[19_000]);
    assert_eq!(count(&mut writer, &mut world), 1);
    assert_eq!(seen(&mut watch, &mut world), [entities[19_000]]);
    // One system, two queries: what one writes, the other does not see.
    let system = world.consumer();
    let mut reads: Watch = Query::new(&mut world, Some(system));
    let mut writes: Query<&mut Pos> = Query::new(&mut world, Some(system));
    seen(&mut reads, &mut world);
    writes.for_each_chunk(&mut world, |_| {});
    assert_eq!(seen(&mut reads, &mut world), []);
    assert_eq!(seen(&mut watch, &mut world).len(), 20_000);
}

#[test]
fn a_walk_that_writes_counts_the_rows_it_visits() {
    let (mut world, entities, mut watch) = watched(20_000);
    world.insert(entities[9], Tag).unwrap();
    world.query_filtered::<&mut Pos, Without<Tag>>().for_each(&mut world, |_| {});
    assert_eq!(seen(&mut watch, &mut world).len(), 19_999);
    let mut some: Query<&mut Pos, Changed<Health>> = world.query_filtered();
    world.insert(entities[4], Health(1)).unwrap();
    some.for_each(&mut world, |p| *p.x = 0.0);
    assert_eq!(seen(&mut watch, &mut world), [entities[4]]);
    world.query::<Option<&mut Vel>>().for_each(&mut world, |_| {});
    assert_eq!(seen(&mut watch, &mut world), []);
}

#[test]
fn tracked_counts_just_the_marked_rows() {
    let (mut world, entities, mut watch) = watched(20_000);
    let mut query = world.query::<(Tracked<Pos>, Entity)>();
    query.for_each(&mut world, |((p, mut mark), entity)| {
        if entity.index().is_multiple_of(1000) {
            *p.x = 0.5;
            mark.mark();
        }
    });
    let thousands: Vec<Entity> = entities.iter().copied().step_by(1000).collect();
    assert_eq!(seen(&mut watch, &mut world), thousands);
    query.for_each_chunk(&mut world, |((p, mut marks), _)| {
        for row in (0..p.x.len()).step_by(4096) {
            p.y[row] = 0.5;
            marks.mark(row);
        }
    });
    assert_eq!(seen(&mut watch, &mut world), [0, 4096, 8192, 12_288, 16_384].map(|i| entities[i]));
    query.for_each_chunk(&mut world, |((p, mut marks), _)| {
        if p.x.len() < 16_384 {
            marks.mark_all();
        }
    });
    assert_eq!(seen(&mut watch, &mut world), entities[16_384..]);
    assert_eq!(seen(&mut watch, &mut world), []);
    // Marks of all rows reach no further than the rows: a row that comes later is new, and seen once.
    let new = world.spawn(pos(1)).unwrap();
    assert_eq!(seen(&mut watch, &mut world), [new]);
}

#[test]
fn a_walk_that_panics_keeps_what_it_wrote_as_changed_and_its_own_rows_as_pending() {
    let (mut world, entities, mut watch) = watched(100);
    let panics = |world: &mut World, walk: &mut dyn FnMut(&mut World)| {
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| walk(world))).is_err());
    };
    let mut all: Query<(Entity, &mut Pos)> = world.query();
    panics(&mut world, &mut |world| all.for_each(world, |(entity, _)| assert!(entity != entities[50])));
    assert!(seen(&mut watch, &mut world).contains(&entities[50]));
    let mut some: Query<(Entity, &mut Pos), Changed<Health>> = world.query_filtered();
    for entity in &entities[10..20] {
        world.insert(*entity, Health(1)).unwrap();
    }
    panics(&mut world, &mut |world| some.for_each(world, |(entity, _)| assert!(entity != entities[15])));
    assert_eq!(seen(&mut watch, &mut world), entities[10..16]);
    assert_eq!(count(&mut some, &mut world), 10);
}

#[test]
fn a_dropped_query_stops_costing() {
    let (mut world, entities, watch) = watched(300_000);
    let all_written = |world: &mut World| {
        let mut query = world.query::<&mut Pos>();
        query.for_each_chunk(world, |_| {});
    };
    drop(watch);
    // It goes when the next tick begins; what is written meanwhile harms nobody.
    all_written(&mut world);
    world.begin_tick().unwrap();
    all_written(&mut world);
    world.despawn_batch(entities).unwrap();
    let mut watch: Watch = world.query_filtered();
    let entities = spawn_positions(&mut world, 10);
    assert_eq!(seen(&mut watch, &mut world), entities);
}

#[test]
fn marks_of_a_lease_reach_every_consumer_but_the_writer() {
    let (mut world, entities, mut watch) = watched(2_000);
    let writer = world.consumer();
    let mut own: Watch = Query::new(&mut world, Some(writer));
    let mut other: Watch = world.query_filtered();
    seen(&mut own, &mut world);
    seen(&mut other, &mut world);
    let component = world.components().id_of::<Pos>().unwrap();
    assert_eq!(watch.state().spec().changed, [component]);
    let mut all = world.query::<&Pos>();
    all.state_mut().refresh(&world);
    let chunk = all.state().chunks(&world).next().unwrap();
    let shared = SharedWorld::new(&world);
    for row in [512, 600, 1023, 1024] {
        // SAFETY: nobody else touches the live bits.
        unsafe { *shared.live_bits(chunk, component, 0).unwrap().add(row / 64) |= 1 << (row % 64) };
    }
    // SAFETY: the same thread wrote the bits above.
    unsafe { shared.settle(chunk, component, 512..1024, writer) };
    assert_eq!(shared.version(chunk, component), 0);
    shared.set_version(chunk, component, 5);
    assert_eq!(shared.version(chunk, component), 5);
    assert_eq!(seen(&mut watch, &mut world), [512, 600, 1023].map(|i| entities[i]));
    assert_eq!(seen(&mut other, &mut world), [512, 600, 1023].map(|i| entities[i]));
    assert_eq!(seen(&mut own, &mut world), []);
    // SAFETY: as above; the bit of the other range is still there.
    unsafe { SharedWorld::new(&world).settle(chunk, component, 1024..2000, writer) };
    assert_eq!(seen(&mut watch, &mut world), [entities[1024]]);
}
