//! What components can be, and what becomes of their values.

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use common::*;
use peristyle_world::{Columnar, Component, Entity, Field, Scalar, World};

#[derive(Columnar, Clone, Copy, PartialEq, Debug)]
struct Point {
    x: f64,
    y: i8,
}

#[derive(Component, Clone, Copy, PartialEq, Debug)]
#[component(name = "everything")]
struct Everything {
    pos: Point,
    values: [u16; 3],
    corners: [Point; 2],
    is_lit: bool,
    target: Option<Entity>,
    big: u64,
    r#type: i32,
}

#[derive(Component, Clone, Copy, PartialEq, Debug)]
struct Pair(f32, i64);

fn everything(i: usize, target: Option<Entity>) -> Everything {
    let point = |k: usize| Point { x: (i * k) as f64 + 0.25, y: (i % 100) as i8 - 50 };
    Everything {
        pos: point(1),
        values: [i as u16, i as u16 + 1, 7],
        corners: [point(2), point(3)],
        is_lit: i.is_multiple_of(3),
        target,
        big: u64::MAX - i as u64,
        r#type: -(i as i32),
    }
}

#[test]
fn columns_are_named_by_their_path_and_typed_by_their_scalar() {
    let mut world = world();
    let fields = |world: &World, id| -> Vec<(String, Scalar, bool)> {
        let fields = world.components().info(id).fields().iter();
        fields.map(|Field { name, scalar, entity }| (name.clone(), *scalar, *entity)).collect()
    };
    let id = world.register::<Everything>();
    let expected = [
        ("pos_x", Scalar::F64),
        ("pos_y", Scalar::I8),
        ("values_0", Scalar::U16),
        ("values_1", Scalar::U16),
        ("values_2", Scalar::U16),
        ("corners_0_x", Scalar::F64),
        ("corners_0_y", Scalar::I8),
        ("corners_1_x", Scalar::F64),
        ("corners_1_y", Scalar::I8),
        ("is_lit", Scalar::Bool),
        ("target", Scalar::F64),
        ("big", Scalar::U64),
        ("type", Scalar::I32),
    ];
    let expected: Vec<_> = expected.map(|(name, scalar)| (name.to_owned(), scalar, name == "target")).into();
    assert_eq!(fields(&world, id), expected);
    assert_eq!(world.components().by_name("everything").unwrap().id(), id);
    let pair = world.register::<Pair>();
    assert_eq!(fields(&world, pair), [("v0".into(), Scalar::F32, false), ("v1".into(), Scalar::I64, false)]);
    let health = world.register::<Health>();
    assert_eq!(fields(&world, health), [("value".into(), Scalar::U32, false)]);
    let tag = world.register::<Tag>();
    assert!(fields(&world, tag).is_empty() && world.components().info(tag).is_columnar());
    let name = world.register::<Name>();
    assert!(!world.components().info(name).is_columnar());
}

#[test]
fn every_kind_of_field_comes_back_as_it_went_in() {
    let mut world = world();
    let target = world.spawn(Tag).unwrap();
    let value = |i| everything(i, i.is_multiple_of(2).then_some(target));
    let entities: Vec<Entity> =
        world.spawn_batch((0..20_000).map(|i| (Pair(i as f32, -(i as i64)), value(i)))).unwrap().iter().collect();
    for (i, entity) in entities.iter().enumerate() {
        assert_eq!(world.get::<Everything>(*entity).unwrap(), value(i));
        assert_eq!(world.get::<Pair>(*entity).unwrap(), Pair(i as f32, -(i as i64)));
    }
    *world.get_mut::<Everything>(entities[5]).unwrap().corners[1].y = 9;
    assert_eq!(world.get::<Everything>(entities[5]).unwrap().corners[1].y, 9);
    // A column apart: rows of one field lie side by side.
    let mut first = None;
    world.query::<&Everything>().for_each_chunk(&mut world, |slices| {
        first.get_or_insert((slices.corners[1].x[..3].to_vec(), slices.values[1][..3].to_vec()));
    });
    assert_eq!(first.unwrap(), (vec![0.25, 3.25, 6.25], vec![1, 2, 3]));
}

#[test]
fn a_tag_has_no_columns_and_can_be_asked_for() {
    let mut world = world();
    let tagged = world.spawn((Tag, pos(1))).unwrap();
    let plain = world.spawn(pos(2)).unwrap();
    assert!(world.has::<Tag>(tagged) && !world.has::<Tag>(plain));
    assert_eq!(world.get::<Tag>(tagged).unwrap(), Tag);
    world.insert(plain, Tag).unwrap();
    world.remove::<Tag>(tagged).unwrap();
    assert!(!world.has::<Tag>(tagged) && world.has::<Tag>(plain));
    assert_eq!((world.get::<Pos>(tagged).unwrap(), world.get::<Pos>(plain).unwrap()), (pos(1), pos(2)));
}

/// Counts those alive; a second drop of one value would bring the count below the truth.
#[derive(Component)]
#[component(opaque)]
struct Counted(Arc<AtomicUsize>, Box<u64>);

impl Counted {
    fn new(alive: &Arc<AtomicUsize>, value: u64) -> Counted {
        alive.fetch_add(1, Relaxed);
        Counted(alive.clone(), Box::new(value))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(self.0.fetch_sub(1, Relaxed) > 0);
    }
}

#[derive(Component)]
#[component(opaque)]
struct Other(Counted);

#[test]
fn every_opaque_value_is_dropped_exactly_once() {
    let alive = Arc::new(AtomicUsize::new(0));
    let count = || alive.load(Relaxed);
    let make = |value| Counted::new(&alive, value);
    let mut world = world();
    let one = world.spawn((make(1), pos(1))).unwrap();
    let many: Vec<Entity> =
        world.spawn_batch((0..40_000).map(|i| (make(i), Other(make(i)), pos(0)))).unwrap().iter().collect();
    assert_eq!(count(), 80_001);
    world.set(one, make(2)).unwrap();
    world.insert(one, make(3)).unwrap();
    world.insert(one, (make(4), Vel::default())).unwrap();
    assert_eq!((count(), *world.get::<Counted>(one).unwrap().1), (80_001, 4));
    world.insert(one, Other(make(5))).unwrap();
    assert_eq!(count(), 80_002);
    world.remove::<Counted>(one).unwrap();
    assert_eq!((count(), *world.get::<Other>(one).unwrap().0.1), (80_001, 5));
    world.remove::<Other>(one).unwrap();
    assert_eq!(count(), 80_000);
    world.despawn(many[0]).unwrap();
    world.despawn_batch(many[1..1000].iter().copied()).unwrap();
    assert_eq!(count(), 78_000);
    for (i, entity) in many.iter().enumerate().skip(1000) {
        assert_eq!(*world.get::<Counted>(*entity).unwrap().1, i as u64);
    }
    // A failed operation gives its value up, once.
    assert!(world.set(many[0], make(9)).is_err() && world.insert(many[0], make(9)).is_err());
    assert_eq!(count(), 78_000);
    *world.get_mut::<Counted>(many[5000]).unwrap().1 = 0;
    drop(world);
    assert_eq!(count(), 0);
}

#[test]
fn values_of_no_size_are_dropped_too() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    #[derive(Component)]
    #[component(opaque)]
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Relaxed);
        }
    }
    let mut world = world();
    let first = world.spawn(Guard).unwrap();
    world.spawn_batch((0..100).map(|_| Guard)).unwrap();
    world.despawn(first).unwrap();
    assert_eq!(DROPS.load(Relaxed), 1);
    drop(world);
    assert_eq!(DROPS.load(Relaxed), 101);
}

#[test]
fn opaque_values_keep_their_alignment() {
    #[derive(Component)]
    #[component(opaque)]
    #[repr(align(128))]
    struct Aligned(u8);
    let mut world = world();
    let entities: Vec<Entity> = world.spawn_batch((0..1000).map(|i| Aligned(i as u8))).unwrap().iter().collect();
    for (i, entity) in entities.iter().enumerate() {
        let value = world.get::<Aligned>(*entity).unwrap();
        assert!((&raw const *value).addr().is_multiple_of(128) && value.0 == i as u8);
    }
}

#[derive(Component, Clone, Copy, PartialEq, Debug)]
#[component(opaque)]
struct Numbered<const N: usize>(usize);

#[test]
fn there_can_be_hundreds_of_component_types() {
    let mut world = world();
    let ids: Vec<_> =
        (0..300).map(|i| world.define(&format!("c{i}"), vec![Field::new("value", Scalar::U32)]).unwrap()).collect();
    let entities: Vec<Entity> = (0..300)
        .map(|i| {
            let entity = world.spawn_ids(&[ids[i], ids[(i + 70) % 300]], 1).unwrap().iter().next().unwrap();
            world.set_field(entity, ids[i], 0, i as u32).unwrap();
            entity
        })
        .collect();
    for (i, entity) in entities.iter().enumerate() {
        assert_eq!(world.get_field::<u32>(*entity, ids[i], 0).unwrap(), i as u32);
        assert_eq!(ids.iter().filter(|id| world.has_id(*entity, **id)).count(), 2);
    }
    // One entity with all of them.
    let all = world.spawn(()).unwrap();
    for id in &ids {
        world.insert_id(all, *id).unwrap();
        world.set_field(all, *id, 0, id.index()).unwrap();
    }
    assert!(ids.iter().all(|id| world.get_field::<u32>(all, *id, 0).unwrap() == id.index()));
    // Rust types that came after so many.
    let late = world.spawn((Numbered::<1>(1), Numbered2(2))).unwrap();
    assert_eq!(world.get::<Numbered<1>>(late).unwrap(), &Numbered::<1>(1));
}

#[derive(Component)]
#[component(opaque)]
struct Numbered2(#[expect(dead_code, reason = "what matters is that it is there")] usize);

#[test]
#[should_panic(expected = "are both named `Pos`")]
fn two_types_of_one_name_are_a_mistake() {
    #[derive(Component, Clone, Copy)]
    #[component(name = "Pos")]
    struct Impostor;
    let mut world = world();
    world.register::<Pos>();
    world.register::<Impostor>();
}

#[test]
#[should_panic(expected = "two fields named `a_b`")]
fn two_columns_of_one_name_are_a_mistake() {
    #[derive(Columnar, Clone, Copy)]
    struct A {
        b: f32,
    }
    #[derive(Component, Clone, Copy)]
    struct Ambiguous {
        a: A,
        a_b: f32,
    }
    world().register::<Ambiguous>();
}

#[test]
#[should_panic(expected = "`Pos` is twice in a bundle")]
fn a_component_twice_in_a_bundle_is_a_mistake() {
    world().spawn((pos(1), Vel::default(), pos(2))).unwrap();
}
