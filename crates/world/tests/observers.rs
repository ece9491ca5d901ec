//! Functions called when components come and go.

mod common;

use std::sync::{Arc, Mutex};

use common::*;
use peristyle_world::{CommandBuffer, Component, Entity, World};

type Log = Arc<Mutex<Vec<String>>>;

fn log<C: Component>(
    log: &Log,
    what: &'static str,
) -> impl Fn(&World, Entity, &mut CommandBuffer) + Send + Sync + 'static {
    let log = log.clone();
    move |world, entity, _| {
        log.lock().unwrap().push(format!("{what} {} {}", entity.index(), world.has::<C>(entity)));
    }
}

fn take(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock().unwrap())
}

#[test]
fn additions_are_told_afterwards_and_removals_before() {
    let (mut world, told) = (world(), Log::default());
    world.on_add::<Pos>(log::<Pos>(&told, "+pos"));
    world.on_remove::<Pos>(log::<Pos>(&told, "-pos"));
    let a = world.spawn((pos(1), Vel::default())).unwrap();
    assert_eq!(take(&told), ["+pos 0 true"]);
    world.set(a, pos(2)).unwrap();
    world.insert(a, (pos(3), Health(1))).unwrap();
    assert_eq!(take(&told), [""; 0], "a replaced value is neither");
    world.remove::<Pos>(a).unwrap();
    world.insert(a, pos(1)).unwrap();
    world.despawn(a).unwrap();
    assert_eq!(take(&told), ["-pos 0 true", "+pos 0 true", "-pos 0 true"]);
    world.spawn(Vel::default()).unwrap();
    assert_eq!(take(&told), [""; 0]);
    world.spawn_batch((0..2).map(pos)).unwrap();
    world.spawn_fill::<Pos>(2, |_, _| {}).unwrap();
    let id = world.components().id_of::<Pos>().unwrap();
    world.spawn_ids(&[id], 1).unwrap();
    let bare = world.spawn(()).unwrap();
    world.insert_id(bare, id).unwrap();
    world.remove_id(bare, id).unwrap();
    assert_eq!(
        take(&told),
        [2, 3, 4, 5, 6, 7]
            .map(|i| format!("+pos {i} true"))
            .into_iter()
            .chain(["-pos 7 true".into()])
            .collect::<Vec<_>>()
    );
}

#[test]
fn observers_are_called_in_the_order_in_which_they_came() {
    let (mut world, told) = (world(), Log::default());
    for what in ["first", "second", "third"] {
        world.on_add::<Health>(log::<Health>(&told, what));
    }
    world.on_add::<Pos>(log::<Pos>(&told, "pos"));
    world.spawn((pos(1), Health(1))).unwrap();
    assert_eq!(take(&told), ["first 0 true", "second 0 true", "third 0 true", "pos 0 true"]);
}

#[test]
fn what_observers_record_is_carried_out_when_the_operation_is_done() {
    let mut world = world();
    // Who gets a position gets a velocity; who loses it leaves a tombstone that names it.
    #[derive(Component, Clone, Copy, PartialEq, Debug)]
    struct Tombstone(Option<Entity>);
    world.on_add::<Pos>(|world, entity, commands| {
        assert!(!world.has::<Vel>(entity));
        commands.insert(entity, Vel { x: world.get::<Pos>(entity).unwrap().x, y: 0.0 });
    });
    world.on_remove::<Pos>(|_, entity, commands| {
        let tombstone = commands.spawn(Tombstone(Some(entity)));
        commands.insert(tombstone, Tag);
    });
    let entities = spawn_positions(&mut world, 100);
    assert!(entities.iter().enumerate().all(|(i, e)| world.get::<Vel>(*e).unwrap().x == i as f32));
    world.despawn(entities[3]).unwrap();
    let mut stones = Vec::new();
    world.query::<(&Tombstone, &Tag)>().for_each(&mut world, |(stone, _)| stones.push(stone.0));
    assert_eq!(stones, [Some(entities[3])]);
}

#[test]
fn observers_set_off_each_other_until_nothing_is_left_to_do() {
    let mut world = world();
    // Each health spawns one that is smaller.
    world.on_add::<Health>(|world, entity, commands| {
        let Health(value) = world.get::<Health>(entity).unwrap();
        if value > 0 {
            commands.spawn(Health(value - 1));
        }
    });
    world.spawn(Health(1000)).unwrap();
    assert_eq!(world.len(), 1001);
    let mut buffer = CommandBuffer::new(0);
    buffer.spawn(Health(10));
    let merged = world.merge([&mut buffer]);
    assert_eq!((world.len(), merged.applied, merged.errors.len()), (1012, 1, 0));
}

#[test]
fn an_observer_may_despawn_the_entity_it_is_called_for() {
    let mut world = world();
    world.on_add::<Pos>(|_, entity, commands| commands.despawn(entity));
    let entity = world.spawn(pos(1)).unwrap();
    assert!(!world.is_alive(entity) && world.is_empty());
    world.spawn_batch((0..100).map(pos)).unwrap();
    assert!(world.is_empty());
}

/// Two observers of one despawn may both want an entity gone: the second finds it gone, which is no error.
#[test]
fn a_handle_that_an_observer_kept_names_nothing_later() {
    let mut world = world();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let record = kept.clone();
    world.on_add::<Pos>(move |_, _, commands| {
        let mut kept = record.lock().unwrap();
        kept.iter().for_each(|stale| commands.insert(*stale, Name("wrong".into())));
        kept.push(commands.spawn(Health(1)));
    });
    for i in 0..5 {
        world.spawn(pos(i)).unwrap();
    }
    assert_eq!(count(&mut world.query::<&Name>(), &mut world), 0);
    assert_eq!(count(&mut world.query::<&Health>(), &mut world), 5);
}
