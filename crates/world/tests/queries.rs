//! Which rows a query visits, and what it gives for them.

mod common;

use common::*;
use peristyle_world::{AnyOf, Entity, Query, QueryFilter, With, Without, World};

/// One entity for each subset of (Pos, Vel, Health, Tag), in order of the subset's bits.
fn subsets(world: &mut World) -> Vec<Entity> {
    (0..16)
        .map(|set| {
            let entity = world.spawn(()).unwrap();
            if set & 1 != 0 {
                world.insert(entity, pos(set)).unwrap()
            }
            if set & 2 != 0 {
                world.insert(entity, Vel::default()).unwrap()
            }
            if set & 4 != 0 {
                world.insert(entity, Health(set as u32)).unwrap()
            }
            if set & 8 != 0 {
                world.insert(entity, Tag).unwrap()
            }
            entity
        })
        .collect()
}

fn check<F: QueryFilter>(expected: impl Fn(usize) -> bool) {
    let mut world = world();
    // Once for tables that are there already, once for tables that come later.
    let mut early: Query<Entity, F> = world.query_filtered();
    let entities = subsets(&mut world);
    let mut late: Query<Entity, F> = world.query_filtered();
    let expected = sorted((0..16).filter(|set| expected(*set)).map(|set| entities[set]));
    assert_eq!(seen_sorted(&mut early, &mut world), expected);
    assert_eq!(seen_sorted(&mut late, &mut world), expected);
}

#[test]
fn all_any_none() {
    check::<()>(|_| true);
    check::<With<Pos>>(|set| set & 1 != 0);
    check::<(With<Pos>, With<Health>)>(|set| set & 5 == 5);
    check::<Without<Tag>>(|set| set & 8 == 0);
    check::<(With<Vel>, Without<Tag>, Without<Pos>)>(|set| set & 0b1011 == 2);
    check::<AnyOf<(Pos, Vel)>>(|set| set & 3 != 0);
    check::<(AnyOf<(Pos, Vel)>, AnyOf<(Health, Tag)>)>(|set| set & 3 != 0 && set & 12 != 0);
    check::<(AnyOf<(Pos, Vel)>, Without<Health>, With<Tag>)>(|set| set & 3 != 0 && set & 12 == 8);
}

#[test]
fn optional_terms_restrict_nothing() {
    let mut world = world();
    let entities = subsets(&mut world);
    let mut query = world.query::<(Entity, &Vel, Option<&Pos>, Option<(&Health, &Tag)>)>();
    let mut rows = 0;
    query.for_each(&mut world, |(entity, _, position, both)| {
        let set = entities.iter().position(|e| *e == entity).unwrap();
        assert_eq!(position, (set & 1 != 0).then(|| pos(set)));
        assert_eq!(both, (set & 12 == 12).then_some((Health(set as u32), Tag)));
        rows += 1;
    });
    assert_eq!(rows, 8);
    let mut writes = world.query::<(Option<&mut Pos>, &Health)>();
    writes.for_each(&mut world, |(position, health)| {
        if let Some(position) = position {
            *position.y = health.0 as f32;
        }
    });
    assert_eq!(world.get::<Pos>(entities[13]).unwrap().y, 13.0);
    assert_eq!(world.get::<Pos>(entities[9]).unwrap(), pos(9));
}

#[test]
fn rows_and_chunks_give_the_same() {
    let mut world = world();
    world.spawn_batch((0..40_000).map(|i| (pos(i), Health(i as u32)))).unwrap();
    world.spawn_batch((0..3_000).map(|i| (pos(i), Health(i as u32), Name(i.to_string())))).unwrap();
    let mut query = world.query::<(Entity, &Pos, &Health)>();
    let mut by_row = Vec::new();
    query.for_each(&mut world, |row| by_row.push(row));
    let mut by_chunk = Vec::new();
    let mut lengths = Vec::new();
    query.for_each_chunk(&mut world, |(entities, p, h)| {
        lengths.push(entities.len());
        assert!(!entities.is_empty() && entities.get(0) == entities.iter().next().unwrap());
        for (row, entity) in entities.iter().enumerate() {
            by_chunk.push((entity, Pos { x: p.x[row], y: p.y[row] }, Health(h.0[row])));
        }
    });
    assert_eq!(lengths, [16_384, 16_384, 7_232, 3_000]);
    assert_eq!(by_row, by_chunk);
    assert_eq!(query.iter(&world).collect::<Vec<_>>(), by_row);
    assert_eq!(query.count(&world), 43_000);
}

#[test]
fn writes_reach_the_entities_by_row_and_by_chunk() {
    let mut world = world();
    let entities: Vec<Entity> =
        world.spawn_batch((0..20_000).map(|i| (pos(i), Name(String::new())))).unwrap().iter().collect();
    let mut query = world.query::<(&mut Pos, &mut Name)>();
    query.for_each(&mut world, |(p, name)| {
        *p.x += 1.0;
        name.0 = p.y.to_string();
    });
    query.for_each_chunk(&mut world, |(p, names)| {
        p.x.iter_mut().for_each(|x| *x *= 2.0);
        names.iter_mut().for_each(|name| name.0.push('!'));
    });
    for (i, entity) in entities.iter().enumerate() {
        assert_eq!(world.get::<Pos>(*entity).unwrap().x, (i + 1) as f32 * 2.0);
        assert_eq!(world.get::<Name>(*entity).unwrap().0, format!("{}!", -(i as f32)));
    }
}

#[test]
fn a_query_knows_what_it_reads_and_writes() {
    let mut world = world();
    let query =
        world.query_filtered::<(&mut Pos, Option<&Vel>, Entity), (Without<Tag>, peristyle_world::Changed<Health>)>();
    let id = |world: &World, name| world.components().by_name(name).unwrap().id();
    assert_eq!(query.writes(), [id(&world, "Pos")]);
    assert_eq!(query.reads(), [id(&world, "Vel"), id(&world, "Health")]);
}

macro_rules! alias_panics {
    ($($name:ident: $data:ty;)*) => {$(
        #[test]
        #[should_panic(expected = "a query writes component `Pos` and fetches it twice")]
        fn $name() {
            world().query::<$data>();
        }
    )*};
}

alias_panics! {
    writing_what_is_read_is_a_mistake: (&Pos, &mut Pos);
    reading_what_is_written_is_a_mistake: (&mut Pos, &Pos);
    writing_twice_is_a_mistake: (&mut Pos, &mut Pos);
    an_optional_alias_is_a_mistake: (&mut Pos, Option<&Pos>);
    a_nested_alias_is_a_mistake: ((&Vel, &Pos), (Entity, Option<(&mut Pos, &Health)>));
    a_tracked_alias_is_a_mistake: (peristyle_world::Tracked<Pos>, &Pos);
}

#[test]
fn reading_twice_is_no_mistake() {
    let mut world = world();
    world.spawn(pos(3)).unwrap();
    world
        .query::<(&Pos, &Pos, Option<&Pos>)>()
        .for_each(&mut world, |row| assert_eq!(row, (pos(3), pos(3), Some(pos(3)))));
}
