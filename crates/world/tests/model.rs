//! Random operations against a plain map, with two consumers that look at different rates.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use peristyle_world::{Added, Changed, CommandBuffer, Entity, Query, Removals, Tracked, World};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Row {
    pos: Option<u32>,
    health: Option<u32>,
    tag: bool,
}

#[derive(Debug, Clone)]
enum Op {
    Spawn { health: bool },
    SpawnMany(usize),
    Despawn(usize),
    DespawnMany(usize, usize),
    SetPos(usize),
    InsertPos(usize),
    RemovePos(usize),
    InsertHealth(usize),
    RemoveHealth(usize),
    InsertTagAndHealth(usize),
    RemoveTag(usize),
    WriteAll,
    MarkSome(u32),
    Commands(usize, usize),
    Tick,
    LookOften,
    LookSeldom,
}

fn op() -> impl Strategy<Value = Op> {
    let pick = any::<usize>();
    prop_oneof![
        4 => any::<bool>().prop_map(|health| Op::Spawn { health }),
        2 => (1..700_usize).prop_map(Op::SpawnMany),
        4 => pick.prop_map(Op::Despawn),
        1 => (pick, 1..300_usize).prop_map(|(p, n)| Op::DespawnMany(p, n)),
        8 => pick.prop_map(Op::SetPos),
        4 => pick.prop_map(Op::InsertPos),
        4 => pick.prop_map(Op::RemovePos),
        4 => pick.prop_map(Op::InsertHealth),
        4 => pick.prop_map(Op::RemoveHealth),
        3 => pick.prop_map(Op::InsertTagAndHealth),
        3 => pick.prop_map(Op::RemoveTag),
        1 => Just(Op::WriteAll),
        1 => (2..50_u32).prop_map(Op::MarkSome),
        3 => (pick, pick).prop_map(|(a, b)| Op::Commands(a, b)),
        3 => Just(Op::Tick),
        6 => Just(Op::LookOften),
        1 => Just(Op::LookSeldom),
    ]
}

/// One consumer, and what it has yet to see.
struct Watcher {
    changed: Query<(Entity, &'static Pos), Changed<Pos>>,
    added: Query<Entity, Added<Health>>,
    removals: Removals<Pos>,
    must_change: BTreeSet<Entity>,
    must_add: BTreeSet<Entity>,
    must_remove: Vec<Entity>,
}

impl Watcher {
    fn new(world: &mut World) -> Watcher {
        Watcher {
            changed: world.query_filtered(),
            added: world.query_filtered(),
            removals: world.removals(),
            must_change: BTreeSet::new(),
            must_add: BTreeSet::new(),
            must_remove: Vec::new(),
        }
    }

    fn look(&mut self, model: &BTreeMap<Entity, Row>, world: &mut World) {
        let mut changed = BTreeSet::new();
        self.changed.for_each(world, |(entity, p)| {
            assert_eq!(model[&entity].pos, Some(p.x as u32));
            assert!(changed.insert(entity), "{entity} was visited twice");
        });
        assert_eq!(changed, std::mem::take(&mut self.must_change));
        let mut added = BTreeSet::new();
        self.added.for_each(world, |entity| assert!(added.insert(entity)));
        assert_eq!(added, std::mem::take(&mut self.must_add));
        let mut removed = Vec::new();
        self.removals.read(world, |entity| removed.push(entity)).unwrap();
        assert_eq!(removed, std::mem::take(&mut self.must_remove));
    }
}

struct Model {
    world: World,
    rows: BTreeMap<Entity, Row>,
    /// In order of birth, the living only.
    living: Vec<Entity>,
    watchers: Vec<Watcher>,
    next: u32,
    commands: CommandBuffer,
}

impl Model {
    fn new() -> Model {
        let mut world = world();
        let watchers = (0..2).map(|_| Watcher::new(&mut world)).collect();
        Model { world, rows: BTreeMap::new(), living: Vec::new(), watchers, next: 0, commands: CommandBuffer::new(1) }
    }

    fn value(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn pick(&self, pick: usize) -> Option<Entity> {
        (!self.living.is_empty()).then(|| self.living[pick % self.living.len()])
    }

    fn changed(&mut self, entity: Entity) {
        for watcher in &mut self.watchers {
            watcher.must_change.insert(entity);
        }
    }

    fn set_pos(&mut self, entity: Entity, value: Option<u32>) {
        self.rows.get_mut(&entity).unwrap().pos = value;
        for watcher in &mut self.watchers {
            if value.is_some() {
                watcher.must_change.insert(entity);
            } else {
                watcher.must_change.remove(&entity);
                watcher.must_remove.push(entity);
            }
        }
    }

    fn born(&mut self, entity: Entity, pos: Option<u32>, health: Option<u32>) {
        assert!(self.rows.insert(entity, Row::default()).is_none(), "a handle is given once");
        self.living.push(entity);
        if pos.is_some() {
            self.set_pos(entity, pos);
        }
        if health.is_some() {
            self.set_health(entity, health);
        }
    }

    fn set_health(&mut self, entity: Entity, value: Option<u32>) {
        let had = std::mem::replace(&mut self.rows.get_mut(&entity).unwrap().health, value);
        for watcher in &mut self.watchers {
            if value.is_none() {
                watcher.must_add.remove(&entity);
            } else if had.is_none() {
                watcher.must_add.insert(entity);
            }
        }
    }

    fn died(&mut self, entity: Entity) {
        let row = self.rows.remove(&entity).unwrap();
        self.living.retain(|other| *other != entity);
        for watcher in &mut self.watchers {
            watcher.must_change.remove(&entity);
            watcher.must_add.remove(&entity);
            if row.pos.is_some() {
                watcher.must_remove.push(entity);
            }
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Spawn { health } => {
                let value = self.value();
                let entity = if health {
                    self.world.spawn((Health(value), position(value))).unwrap()
                } else {
                    self.world.spawn(position(value)).unwrap()
                };
                self.born(entity, Some(value), health.then_some(value));
            }
            Op::SpawnMany(count) => {
                let first = self.next + 1;
                self.next += count as u32;
                let spawned = self.world.spawn_batch((0..count as u32).map(|i| position(first + i))).unwrap();
                for (entity, i) in spawned.iter().collect::<Vec<_>>().into_iter().zip(first..) {
                    self.born(entity, Some(i), None);
                }
            }
            Op::Despawn(pick) => {
                if let Some(entity) = self.pick(pick) {
                    self.world.despawn(entity).unwrap();
                    self.died(entity);
                }
            }
            Op::DespawnMany(pick, count) => {
                let start = if self.living.is_empty() { 0 } else { pick % self.living.len() };
                let doomed: Vec<Entity> = self.living.iter().copied().skip(start).take(count).collect();
                assert_eq!(self.world.despawn_batch(doomed.clone()).unwrap(), doomed.len());
                doomed.into_iter().for_each(|entity| self.died(entity));
            }
            Op::SetPos(pick) => {
                let Some(entity) = self.pick(pick) else { return };
                let value = self.value();
                let has = self.rows[&entity].pos.is_some();
                assert_eq!(self.world.set(entity, position(value)).is_ok(), has);
                if has {
                    self.set_pos(entity, Some(value));
                }
            }
            Op::InsertPos(pick) => {
                let Some(entity) = self.pick(pick) else { return };
                let value = self.value();
                self.world.insert(entity, position(value)).unwrap();
                self.set_pos(entity, Some(value));
            }
            Op::RemovePos(pick) => {
                let Some(entity) = self.pick(pick) else { return };
                let has = self.rows[&entity].pos.is_some();
                assert_eq!(self.world.remove::<Pos>(entity).is_ok(), has);
                if has {
                    self.set_pos(entity, None);
                }
            }
            Op::InsertHealth(pick) => {
                let Some(entity) = self.pick(pick) else { return };
                let value = self.value();
                self.world.insert(entity, Health(value)).unwrap();
                self.set_health(entity, Some(value));
            }
            Op::RemoveHealth(pick) => {
                let Some(entity) = self.pick(pick) else { return };
                let has = self.rows[&entity].health.is_some();
                assert_eq!(self.world.remove::<Health>(entity).is_ok(), has);
                if has {
                    self.set_health(entity, None);
                }
            }
            Op::InsertTagAndHealth(pick) => {
                let Some(entity) = self.pick(pick) else { return };
                let value = self.value();
                self.world.insert(entity, (Tag, Health(value))).unwrap();
                self.rows.get_mut(&entity).unwrap().tag = true;
                self.set_health(entity, Some(value));
            }
            Op::RemoveTag(pick) => {
                let Some(entity) = self.pick(pick) else { return };
                let had = std::mem::replace(&mut self.rows.get_mut(&entity).unwrap().tag, false);
                assert_eq!(self.world.remove::<Tag>(entity).is_ok(), had);
            }
            Op::WriteAll => {
                let mut query = self.world.query::<&mut Pos>();
                query.for_each_chunk(&mut self.world, |p| p.x.iter_mut().for_each(|x| *x += 1.0));
                for entity in self.living.clone() {
                    if let Some(value) = self.rows[&entity].pos {
                        self.rows.get_mut(&entity).unwrap().pos = Some(value + 1);
                        self.changed(entity);
                    }
                }
            }
            Op::MarkSome(every) => {
                let mut touched = Vec::new();
                let mut query = self.world.query::<(Entity, Tracked<Pos>)>();
                query.for_each(&mut self.world, |(entity, (p, mut mark))| {
                    if entity.index().is_multiple_of(every) {
                        *p.x += 2.0;
                        mark.mark();
                        touched.push(entity);
                    }
                });
                for entity in touched {
                    *self.rows.get_mut(&entity).unwrap().pos.as_mut().unwrap() += 2;
                    self.changed(entity);
                }
            }
            Op::Commands(a, b) => {
                let value = self.value();
                self.commands.spawn((position(value), Health(value)));
                let (insert, despawn) = (self.pick(a), self.pick(b));
                if let Some(entity) = insert {
                    self.commands.insert(entity, position(value));
                }
                if let Some(entity) = despawn {
                    self.commands.despawn(entity);
                }
                let before: BTreeSet<Entity> = self.all();
                let merged = self.world.merge([&mut self.commands]);
                assert_eq!(merged.stale, 0);
                let after = self.all();
                let new: Vec<Entity> = after.difference(&before).copied().collect();
                assert_eq!(new.len(), 1);
                self.born(new[0], Some(value), Some(value));
                if let Some(entity) = insert {
                    self.set_pos(entity, Some(value));
                }
                if let Some(entity) = despawn {
                    self.died(entity);
                }
            }
            Op::Tick => {
                self.world.begin_tick().unwrap();
                self.world.end_tick().unwrap();
            }
            Op::LookOften => self.watchers[0].look(&self.rows, &mut self.world),
            Op::LookSeldom => self.watchers[1].look(&self.rows, &mut self.world),
        }
    }

    fn all(&mut self) -> BTreeSet<Entity> {
        let mut all = BTreeSet::new();
        self.world.query::<Entity>().for_each(&mut self.world, |entity| assert!(all.insert(entity)));
        all
    }

    fn check(&mut self) {
        assert_eq!(self.all(), self.rows.keys().copied().collect());
        assert_eq!(self.world.len(), self.rows.len());
        for (entity, row) in &self.rows {
            assert_eq!(self.world.get::<Pos>(*entity).ok(), row.pos.map(position));
            assert_eq!(self.world.get::<Health>(*entity).ok().is_some(), row.health.is_some());
            assert_eq!(self.world.has::<Tag>(*entity), row.tag);
        }
    }
}

fn position(value: u32) -> Pos {
    Pos { x: value as f32, y: 0.0 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn a_world_is_a_map_and_its_consumers_miss_nothing(ops in prop::collection::vec(op(), 1..80)) {
        let mut model = Model::new();
        for op in ops {
            model.apply(op);
        }
        model.check();
        for seen in [Op::LookSeldom, Op::LookOften, Op::LookOften, Op::LookSeldom] {
            model.apply(seen);
        }
    }
}
