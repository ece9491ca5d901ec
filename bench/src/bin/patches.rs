//! What a patch costs: 10 000 of mixed kinds against rows moved by hand and against single calls, and the ring.
//!
//! ```sh
//! cargo run -p peristyle-bench --bin patches [-- TURNS]
//! ```
//!
//! A frame sets 4 000 positions, gives 2 000 entities a component, takes it from 2 000 and destroys 2 000, in a world of
//! 40 000. What puts the world back afterwards does not count.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use peristyle_bench::{Contestant, compare, turns};
use peristyle_memory::{Memory, PatchReader, PatchWriter, patch_ring};
use peristyle_world::{Component, Entity, PatchBuffer, PatchBytes, PatchKind, PatchRecord, World};

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy)]
struct Velocity {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy)]
struct Health {
    points: u32,
}

const ENTITIES: usize = 40_000;
const PATCHES: usize = 10_000;

/// One change of one entity, by the name that the contestant has for it.
#[derive(Clone, Copy)]
enum Op<E> {
    Set(E, Position),
    Add(E, Health),
    Remove(E),
    Destroy(E),
}

/// In which order the kinds come.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Mixed,
    ByKind,
}

/// Who has a health and who has not, and whose turn it is.
struct Driver<E> {
    without: Vec<E>,
    with: Vec<E>,
    ops: Vec<Op<E>>,
    order: Order,
    frame: u32,
}

impl<E: Copy> Driver<E> {
    fn new(order: Order, mut spawn: impl FnMut(bool) -> E) -> Driver<E> {
        let without = (0..ENTITIES / 2).map(|_| spawn(false)).collect();
        let with = (0..ENTITIES / 2).map(|_| spawn(true)).collect();
        Driver { without, with, ops: Vec::with_capacity(PATCHES), order, frame: 0 }
    }

    /// The next frame's changes: those whose turn it is stand at the ends of the lists.
    fn plan(&mut self) {
        self.frame += 1;
        let n = PATCHES / 10;
        let value = self.frame as f32;
        let p = |i: usize| Position { x: i as f32, y: value };
        let [add, destroy_a, remove, destroy_b] = [2 * n, n, 2 * n, n];
        let (a, b) = (&self.without, &self.with);
        let (ra, rb) = (a.len() - add - destroy_a, b.len() - remove - destroy_b);
        self.ops.clear();
        for i in 0..n {
            for e in [a[i], a[n + i], b[i], b[n + i]] {
                self.ops.push(Op::Set(e, p(i)));
            }
            for e in [a[ra + i], a[ra + n + i]] {
                self.ops.push(Op::Add(e, Health { points: i as u32 }));
            }
            self.ops.extend([Op::Remove(b[rb + i]), Op::Remove(b[rb + n + i])]);
            self.ops.extend([Op::Destroy(a[ra + add + i]), Op::Destroy(b[rb + remove + i])]);
        }
        if self.order == Order::ByKind {
            self.ops.sort_by_key(|op| match op {
                Op::Set(..) => 0,
                Op::Add(..) => 1,
                Op::Remove(_) => 2,
                Op::Destroy(_) => 3,
            });
        }
        assert_eq!(self.ops.len(), PATCHES);
    }

    /// Takes in what the frame did, and spawns as many as it destroyed.
    fn settle(&mut self, mut spawn: impl FnMut(bool) -> E) {
        let n = PATCHES / 10;
        let (a, b) = (self.without.len() - 3 * n, self.with.len() - 3 * n);
        let added: Vec<E> = self.without.drain(a..).take(2 * n).collect();
        let removed: Vec<E> = self.with.drain(b..).take(2 * n).collect();
        self.without.extend(removed);
        self.with.extend(added);
        self.without.extend((0..n).map(|_| spawn(false)));
        self.with.extend((0..n).map(|_| spawn(true)));
        // Others have their turn next.
        let half = ENTITIES / 4;
        self.without.rotate_right(half / 3);
        self.with.rotate_right(half / 3);
    }
}

fn spawn_in(world: &mut World, with: bool) -> Entity {
    let (position, velocity) = (Position { x: 0.0, y: 0.0 }, Velocity { x: 1.0, y: 1.0 });
    let spawned =
        if with { world.spawn((position, velocity, Health { points: 1 })) } else { world.spawn((position, velocity)) };
    spawned.expect("memory")
}

/// A contestant that works on a world.
fn on_world(
    name: &str,
    order: Order,
    mut apply: impl FnMut(&mut World, &[Op<Entity>]) -> Duration + 'static,
) -> Contestant {
    let mut world = World::new().expect("addresses");
    let mut driver = Driver::new(order, |with| spawn_in(&mut world, with));
    Contestant::timed(name, move || {
        world.begin_tick().expect("no tick runs");
        driver.plan();
        let took = apply(&mut world, &driver.ops);
        driver.settle(|with| spawn_in(&mut world, with));
        world.end_tick().expect("a tick runs");
        assert_eq!(world.len(), ENTITIES);
        took
    })
}

fn single_calls(order: Order) -> Contestant {
    on_world("single World calls", order, |world, ops| {
        let start = Instant::now();
        for op in ops {
            match *op {
                Op::Set(e, position) => world.set(e, position),
                Op::Add(e, health) => world.insert(e, health),
                Op::Remove(e) => world.remove::<Health>(e),
                Op::Destroy(e) => world.despawn(e),
            }
            .expect("it lives");
        }
        start.elapsed()
    })
}

fn patches(order: Order) -> Contestant {
    let mut buffer = PatchBuffer::new();
    on_world("patches", order, move |world, ops| {
        let (position, health) = (world.register::<Position>().index(), world.register::<Health>().index());
        buffer.clear();
        for op in ops {
            match *op {
                Op::Set(e, p) => {
                    let mut value = [0; 8];
                    value[..4].copy_from_slice(&p.x.to_le_bytes());
                    value[4..].copy_from_slice(&p.y.to_le_bytes());
                    buffer.set(e, position, PatchBytes::Packed(&value));
                }
                Op::Add(e, h) => buffer.add(e, health, PatchBytes::Packed(&h.points.to_le_bytes())),
                Op::Remove(e) => buffer.remove(e, health),
                Op::Destroy(e) => buffer.destroy(e),
            }
        }
        let start = Instant::now();
        let report = world.apply_patches(&buffer);
        let took = start.elapsed();
        assert_eq!((report.applied, report.refused), (PATCHES, 0));
        took
    })
}

/// Columns in vectors, and where each entity's row is: what a program without a world would write.
#[derive(Default)]
struct Hand {
    without: Columns,
    with: Columns,
    health: Vec<u32>,
    /// By entity: generation, whether it has a health, row.
    places: Vec<(u32, bool, u32)>,
    free: Vec<u32>,
    adds: Vec<(u32, u32)>,
    removes: Vec<u32>,
    gone: [Vec<u32>; 2],
    left: Vec<bool>,
}

#[derive(Default)]
struct Columns {
    entity: Vec<u32>,
    x: Vec<f32>,
    y: Vec<f32>,
    vx: Vec<f32>,
    vy: Vec<f32>,
}

impl Columns {
    fn push(&mut self, entity: u32, row: [f32; 4]) {
        self.entity.push(entity);
        self.x.push(row[0]);
        self.y.push(row[1]);
        self.vx.push(row[2]);
        self.vy.push(row[3]);
    }

    fn swap_remove(&mut self, row: usize) -> [f32; 4] {
        self.entity.swap_remove(row);
        [self.x.swap_remove(row), self.y.swap_remove(row), self.vx.swap_remove(row), self.vy.swap_remove(row)]
    }
}

type HandId = (u32, u32);

impl Hand {
    fn spawn(&mut self, with: bool) -> HandId {
        let entity = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, false, 0));
            self.places.len() as u32 - 1
        });
        let table = if with { &mut self.with } else { &mut self.without };
        let place = &mut self.places[entity as usize];
        (place.1, place.2) = (with, table.entity.len() as u32);
        table.push(entity, [0.0, 0.0, 1.0, 1.0]);
        if with {
            self.health.push(1);
        }
        (entity, place.0)
    }

    fn place(&self, (entity, generation): HandId) -> (bool, usize) {
        let (now, with, row) = self.places[entity as usize];
        assert_eq!(now, generation);
        (with, row as usize)
    }

    /// Row by row, in the order of the list.
    fn one_by_one(&mut self, ops: &[Op<HandId>]) {
        for op in ops {
            match *op {
                Op::Set(e, p) => {
                    let (with, row) = self.place(e);
                    let table = if with { &mut self.with } else { &mut self.without };
                    (table.x[row], table.y[row]) = (p.x, p.y);
                }
                Op::Add(e, h) => {
                    let (_, row) = self.place(e);
                    let values = self.without.swap_remove(row);
                    if let Some(moved) = self.without.entity.get(row) {
                        self.places[*moved as usize].2 = row as u32;
                    }
                    let place = &mut self.places[e.0 as usize];
                    (place.1, place.2) = (true, self.with.entity.len() as u32);
                    self.with.push(e.0, values);
                    self.health.push(h.points);
                }
                Op::Remove(e) => {
                    let (_, row) = self.place(e);
                    let values = self.with.swap_remove(row);
                    self.health.swap_remove(row);
                    if let Some(moved) = self.with.entity.get(row) {
                        self.places[*moved as usize].2 = row as u32;
                    }
                    let place = &mut self.places[e.0 as usize];
                    (place.1, place.2) = (false, self.without.entity.len() as u32);
                    self.without.push(e.0, values);
                }
                Op::Destroy(e) => {
                    let (with, row) = self.place(e);
                    let table = if with { &mut self.with } else { &mut self.without };
                    table.swap_remove(row);
                    if with {
                        self.health.swap_remove(row);
                    }
                    if let Some(moved) = table.entity.get(row) {
                        self.places[*moved as usize].2 = row as u32;
                    }
                    self.places[e.0 as usize].0 += 1;
                    self.free.push(e.0);
                }
            }
        }
    }

    /// Column by column: values at once, then all rows that move or go.
    fn in_bulk(&mut self, ops: &[Op<HandId>]) {
        self.adds.clear();
        self.removes.clear();
        self.gone.iter_mut().for_each(Vec::clear);
        for op in ops {
            match *op {
                Op::Set(e, p) => {
                    let (with, row) = self.place(e);
                    let table = if with { &mut self.with } else { &mut self.without };
                    (table.x[row], table.y[row]) = (p.x, p.y);
                }
                Op::Add(e, h) => {
                    let row = self.place(e).1 as u32;
                    self.adds.push((row, h.points));
                    self.gone[0].push(row);
                }
                Op::Remove(e) => {
                    let row = self.place(e).1 as u32;
                    self.removes.push(row);
                    self.gone[1].push(row);
                }
                Op::Destroy(e) => {
                    let (with, row) = self.place(e);
                    self.gone[usize::from(with)].push(row as u32);
                    self.places[e.0 as usize].0 += 1;
                    self.free.push(e.0);
                }
            }
        }
        let (first_with, first_without) = (self.with.entity.len(), self.without.entity.len());
        fn append<T: Copy>(from: &[T], rows: impl Iterator<Item = u32>, to: &mut Vec<T>) {
            to.extend(rows.map(|row| from[row as usize]));
        }
        let (a, b) = (&mut self.without, &mut self.with);
        let adds = || self.adds.iter().map(|(row, _)| *row);
        let removes = || self.removes.iter().copied();
        append(&a.entity, adds(), &mut b.entity);
        append(&a.x, adds(), &mut b.x);
        append(&a.y, adds(), &mut b.y);
        append(&a.vx, adds(), &mut b.vx);
        append(&a.vy, adds(), &mut b.vy);
        self.health.extend(self.adds.iter().map(|(_, points)| *points));
        append(&b.entity, removes(), &mut a.entity);
        append(&b.x, removes(), &mut a.x);
        append(&b.y, removes(), &mut a.y);
        append(&b.vx, removes(), &mut a.vx);
        append(&b.vy, removes(), &mut a.vy);
        for (row, entity) in (first_with..).zip(&b.entity[first_with..]) {
            let place = &mut self.places[*entity as usize];
            (place.1, place.2) = (true, row as u32);
        }
        for (row, entity) in (first_without..).zip(&a.entity[first_without..]) {
            let place = &mut self.places[*entity as usize];
            (place.1, place.2) = (false, row as u32);
        }
        for (gone, table, health) in [(&self.gone[0], a, None), (&self.gone[1], b, Some(&mut self.health))] {
            let (old, left) = (table.entity.len(), table.entity.len() - gone.len());
            self.left.clear();
            self.left.resize(gone.len(), false);
            gone.iter().filter(|row| **row as usize >= left).for_each(|row| self.left[*row as usize - left] = true);
            let stay = (left..old).filter(|row| !self.left[row - left]);
            let fills: Vec<(usize, usize)> =
                stay.zip(gone.iter().map(|row| *row as usize).filter(|row| *row < left)).collect();
            fn fill<T: Copy>(column: &mut Vec<T>, fills: &[(usize, usize)], left: usize) {
                fills.iter().for_each(|(from, to)| column[*to] = column[*from]);
                column.truncate(left);
            }
            fill(&mut table.entity, &fills, left);
            fill(&mut table.x, &fills, left);
            fill(&mut table.y, &fills, left);
            fill(&mut table.vx, &fills, left);
            fill(&mut table.vy, &fills, left);
            if let Some(health) = health {
                fill(health, &fills, left);
            }
            for (_, to) in &fills {
                self.places[table.entity[*to] as usize].2 = *to as u32;
            }
        }
    }
}

fn by_hand(name: &str, order: Order, apply: fn(&mut Hand, &[Op<HandId>])) -> Contestant {
    let mut hand = Hand::default();
    let mut driver = Driver::new(order, |with| hand.spawn(with));
    Contestant::timed(name, move || {
        driver.plan();
        let start = Instant::now();
        apply(&mut hand, &driver.ops);
        let took = start.elapsed();
        driver.settle(|with| hand.spawn(with));
        assert_eq!(hand.without.entity.len() + hand.with.entity.len(), ENTITIES);
        took
    })
}

/// Patches of one ring frame, and the ring's size.
const SMALL: u32 = 8_192;
const RING_BYTES: usize = 64 << 10;

fn small(index: u32, value: &[u8]) -> PatchRecord<'_> {
    PatchRecord { kind: PatchKind::Set, entity: Entity::new(index, 1), component: 3, value: PatchBytes::Packed(value) }
}

fn read_all(reader: &mut PatchReader, out: &mut PatchBuffer) -> u64 {
    out.clear();
    reader.read(out).expect("they are records");
    out.iter().map(|record| record.entity.to_bits()).sum()
}

fn ring() -> (PatchWriter, PatchReader) {
    patch_ring(&Memory::reserve(1 << 20).expect("addresses"), RING_BYTES).expect("memory")
}

/// Written and read in turns of 2 048 by one thread.
fn ring_one_thread() -> Contestant {
    let ((mut writer, mut reader), mut out) = (ring(), PatchBuffer::new());
    Contestant::new("ring, one thread writes and reads", move || {
        for index in 0..SMALL {
            writer.try_push(&small(index, &u64::from(index).to_le_bytes())).expect("there is room");
            if index % 2_048 == 2_047 {
                black_box(read_all(&mut reader, &mut out));
            }
        }
        assert_eq!(reader.refused(), 0);
    })
}

/// Written by a thread that waits for room, read by this one.
fn ring_two_threads() -> Contestant {
    let (mut writer, mut reader) = ring();
    std::thread::spawn(move || {
        let mut index = 0_u32;
        while writer.push(&small(index, &u64::from(index).to_le_bytes())).is_ok() {
            index = (index + 1) & 0xffff;
        }
    });
    let mut out = PatchBuffer::new();
    Contestant::timed("ring, one thread writes, one reads", move || {
        let (start, mut count) = (Instant::now(), 0);
        while count < SMALL as usize {
            black_box(read_all(&mut reader, &mut out));
            count += out.len();
        }
        start.elapsed().mul_f64(f64::from(SMALL) / count as f64)
    })
}

/// What decoding alone costs.
fn buffer_only() -> Contestant {
    let mut out = PatchBuffer::new();
    Contestant::new("no ring: appended and read", move || {
        out.clear();
        for index in 0..SMALL {
            out.push(&small(index, &u64::from(index).to_le_bytes()));
        }
        black_box(out.iter().map(|record| record.entity.to_bits()).sum::<u64>());
    })
}

fn main() {
    let turns = turns(200);
    let per = PATCHES as f64;
    for (order, title) in [(Order::Mixed, "kinds in turn"), (Order::ByKind, "kind after kind")] {
        compare(
            &format!("{PATCHES} patches, {title}: nanoseconds a patch"),
            turns,
            per,
            "ns",
            vec![
                by_hand("by hand, in bulk", order, Hand::in_bulk),
                by_hand("by hand, one by one", order, Hand::one_by_one),
                patches(order),
                single_calls(order),
            ],
        );
    }
    compare(
        "small patches (24 bytes): nanoseconds a patch written and read; 20 ns are 50 M a second",
        turns,
        f64::from(SMALL),
        "ns",
        vec![buffer_only(), ring_one_thread(), ring_two_threads()],
    );
}
