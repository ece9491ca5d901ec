//! What does it take to find and read the rows that changed, among a million?
//!
//! Three forms: nothing changed; 1 % scattered rows changed (their writing is not in the time); and the same
//! with the writing of these rows, one by one through their entity handles, in the time. Other rows change each round,
//! so that no branch predictor learns them.

use std::hint::black_box;

use bevy_ecs::change_detection::{ContiguousRef, DetectChanges, Ref};
use bevy_ecs::query::{Changed, QueryState};
use flecs_ecs::prelude::*;

use crate::data::flecs_access::{self, PositionId};
use crate::data::{Position, position, shuffled, velocity, worlds};
use crate::measure::{Contestant, Question, Role, seconds, seconds_each};

const ROWS: usize = 1_000_000;
const CHANGED: usize = ROWS / 100;
/// Rows that are looked at before any of them is read: those of one summary word of the limit.
const BLOCK: usize = 64 * 64;

/// A world whose position writes are tracked, and one consumer of the changes.
pub trait Tracked: 'static {
    /// What the table calls it.
    const NAME: &'static str;
    /// See [`Role`].
    const ROLE: Role = Role::Peer;
    /// Whether [`Tracked::find`] visits changed rows alone.
    const PRECISE: bool = true;

    /// Makes a world of `rows` rows whose consumer has seen everything.
    fn new(rows: usize) -> Self;

    /// Adds 1 to the first coordinate of each of `rows`, tracked.
    fn write(&mut self, rows: &[u32]);

    /// Reads every row that was written since the last call: returns their number and the sum of their
    /// coordinates.
    fn find(&mut self) -> (u64, f64);
}

#[derive(Clone, Copy)]
enum Form {
    Nothing,
    Find,
    WriteAndFind,
}

/// The three forms.
pub fn questions() -> Vec<Question> {
    let forms = [
        ("changed: none of 1 M", Form::Nothing),
        ("changed: 1 % of 1 M, found and read", Form::Find),
        ("changed: 1 % of 1 M, written, found and read", Form::WriteAndFind),
    ];
    forms
        .map(|(name, form)| Question {
            name: name.to_owned(),
            item: "changed",
            items: match form {
                Form::Nothing => 1,
                Form::Find | Form::WriteAndFind => CHANGED,
            },
            rounds: 60,
            contestants: vec![
                contestant::<Bits>(form),
                contestant::<BevyChanged>(form),
                contestant::<BevyRef>(form),
                contestant::<BevyTicks<Position>>(form),
                contestant::<BevyTicks<Summed>>(form),
                contestant::<Hecs>(form),
                contestant::<Flecs>(form),
                contestant::<Own>(form),
            ],
        })
        .into()
}

struct Run<T> {
    world: T,
    order: Vec<u32>,
    turn: usize,
    count: u64,
    sum: f64,
}

impl<T: Tracked> Run<T> {
    fn find(&mut self) {
        let (count, sum) = black_box(&mut self.world).find();
        self.count += count;
        self.sum += sum;
    }
}

fn contestant<T: Tracked>(form: Form) -> Contestant {
    Contestant::new(
        T::ROLE,
        T::NAME,
        || {
            let mut world = T::new(ROWS);
            world.find();
            Run { world, order: shuffled(ROWS), turn: 0, count: 0, sum: 0.0 }
        },
        move |run| {
            run.turn = (run.turn + 1) % (ROWS / CHANGED);
            let order = std::mem::take(&mut run.order);
            let rows = &order[run.turn * CHANGED..][..CHANGED];
            let time = match form {
                Form::Nothing => seconds_each(5, || run.find()),
                Form::Find => {
                    run.world.write(rows);
                    seconds(|| run.find())
                }
                Form::WriteAndFind => seconds(|| {
                    run.world.write(rows);
                    run.find();
                }),
            };
            run.order = order;
            time
        },
        |run| T::PRECISE.then_some(run.count as f64 + run.sum),
    )
}

/// Two plain columns and a bitset with summary words.
struct Bits {
    x: Vec<f32>,
    y: Vec<f32>,
    bits: Vec<u64>,
    summary: Vec<u64>,
    rows: Box<[u32; BLOCK]>,
}

impl Tracked for Bits {
    const NAME: &'static str = "limit: Vec<f32> and a two-level bitset";
    const ROLE: Role = Role::Limit;

    fn new(rows: usize) -> Self {
        Self {
            x: (0..rows).map(|i| position(i).x).collect(),
            y: (0..rows).map(|i| position(i).y).collect(),
            bits: vec![0; rows.div_ceil(64)],
            summary: vec![0; rows.div_ceil(BLOCK)],
            rows: Box::new([0; BLOCK]),
        }
    }

    fn write(&mut self, rows: &[u32]) {
        for &row in rows {
            let row = row as usize;
            self.x[row] += 1.0;
            self.bits[row / 64] |= 1 << (row % 64);
            self.summary[row / 4096] |= 1 << (row / 64 % 64);
        }
    }

    fn find(&mut self) -> (u64, f64) {
        // Rows are collected before they are read, and their lines asked for at once: so the misses overlap, and
        // mispredicted loop ends do not wait for them.
        let (mut count, mut sum) = (0, 0.0);
        for (i, summary) in self.summary.iter_mut().enumerate() {
            let mut words = std::mem::take(summary);
            let mut found = 0;
            while words != 0 {
                let word = i * 64 + words.trailing_zeros() as usize;
                words &= words - 1;
                let mut bits = std::mem::take(&mut self.bits[word]);
                while bits != 0 {
                    let row = word * 64 + bits.trailing_zeros() as usize;
                    prefetch(&self.x[row]);
                    prefetch(&self.y[row]);
                    self.rows[found] = row as u32;
                    found += 1;
                    bits &= bits - 1;
                }
            }
            count += found as u64;
            for &row in &self.rows[..found] {
                sum += f64::from(self.x[row as usize]) + f64::from(self.y[row as usize]);
            }
        }
        (count, sum)
    }
}

/// Asks for the cache line of `value`, where the machine can be asked.
#[inline(always)]
fn prefetch(value: &f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

struct BevyWorld<D: bevy_ecs::query::QueryData + 'static, F: bevy_ecs::query::QueryFilter + 'static = ()> {
    world: bevy_ecs::world::World,
    entities: Vec<bevy_ecs::entity::Entity>,
    query: QueryState<D, F>,
}

impl<D: bevy_ecs::query::QueryData, F: bevy_ecs::query::QueryFilter> BevyWorld<D, F> {
    fn new(rows: usize) -> Self {
        let (mut world, entities) = worlds::bevy(rows);
        let query = world.query_filtered();
        Self { world, entities, query }
    }

    fn write(&mut self, rows: &[u32]) {
        let mut query = self.world.query::<&mut Position>();
        let mut query = query.query_mut(&mut self.world);
        for &row in rows {
            if let Ok(mut p) = query.get_mut(self.entities[row as usize]) {
                p.x += 1.0;
            }
        }
    }
}

type BevyChanged = BevyWorld<&'static Position, Changed<Position>>;

impl Tracked for BevyChanged {
    const NAME: &'static str = "bevy: Changed<T> filter, for_each";

    fn new(rows: usize) -> Self {
        BevyWorld::new(rows)
    }

    fn write(&mut self, rows: &[u32]) {
        self.write(rows);
    }

    fn find(&mut self) -> (u64, f64) {
        let (mut count, mut sum) = (0, 0.0);
        self.query.iter(&self.world).for_each(|p| {
            count += 1;
            sum += f64::from(p.x) + f64::from(p.y);
        });
        self.world.clear_trackers();
        (count, sum)
    }
}

type BevyRef = BevyWorld<Ref<'static, Position>>;

impl Tracked for BevyRef {
    const NAME: &'static str = "bevy: Ref<T>::is_changed, for_each";

    fn new(rows: usize) -> Self {
        BevyWorld::new(rows)
    }

    fn write(&mut self, rows: &[u32]) {
        self.write(rows);
    }

    fn find(&mut self) -> (u64, f64) {
        let (mut count, mut sum) = (0, 0.0);
        self.query.iter(&self.world).for_each(|p| {
            if p.is_changed() {
                count += 1;
                sum += f64::from(p.x) + f64::from(p.y);
            }
        });
        self.world.clear_trackers();
        (count, sum)
    }
}

/// A position that also keeps the column's latest change, so that an untouched column is skipped.
#[derive(Clone, Copy, bevy_ecs::component::Component)]
#[component(summary_tick)]
pub struct Summed {
    x: f32,
    y: f32,
}

trait Point: bevy_ecs::component::Component<Mutability = bevy_ecs::component::Mutable> + Copy {
    const NAME: &'static str;
    fn new(p: Position) -> Self;
    fn x(&mut self) -> &mut f32;
    fn sum(&self) -> f64;
}

impl Point for Position {
    const NAME: &'static str = "bevy: contiguous Ref<T>, own scan of ticks";

    fn new(p: Position) -> Self {
        p
    }

    fn x(&mut self) -> &mut f32 {
        &mut self.x
    }

    fn sum(&self) -> f64 {
        f64::from(self.x) + f64::from(self.y)
    }
}

impl Point for Summed {
    const NAME: &'static str = "bevy: the same with summary_tick";

    fn new(p: Position) -> Self {
        Self { x: p.x, y: p.y }
    }

    fn x(&mut self) -> &mut f32 {
        &mut self.x
    }

    fn sum(&self) -> f64 {
        f64::from(self.x) + f64::from(self.y)
    }
}

struct BevyTicks<P: Point> {
    world: bevy_ecs::world::World,
    entities: Vec<bevy_ecs::entity::Entity>,
    query: QueryState<Ref<'static, P>>,
    write: QueryState<&'static mut P>,
    rows: Box<[u32; BLOCK]>,
}

impl<P: Point> Tracked for BevyTicks<P> {
    const NAME: &'static str = P::NAME;

    fn new(rows: usize) -> Self {
        let mut world = bevy_ecs::world::World::new();
        let rows = (0..rows).map(|i| (P::new(position(i)), velocity(i)));
        let entities = world.spawn_batch(rows).collect();
        let (query, write) = (world.query(), world.query());
        Self { world, entities, query, write, rows: Box::new([0; BLOCK]) }
    }

    fn write(&mut self, rows: &[u32]) {
        let mut query = self.write.query_mut(&mut self.world);
        for &row in rows {
            if let Ok(mut p) = query.get_mut(self.entities[row as usize]) {
                *p.x() += 1.0;
            }
        }
    }

    fn find(&mut self) -> (u64, f64) {
        let (mut count, mut sum) = (0, 0.0);
        let rows = &mut self.rows;
        for column in self.query.contiguous_iter(&self.world).expect("table storage") {
            let (values, ticks) = ContiguousRef::split(column);
            if ticks.summary_tick_is_changed() == Some(false) {
                continue;
            }
            let (now, last) = (ticks.this_run().get(), ticks.last_run().get());
            let age_max = now.wrapping_sub(last);
            for (ticks, values) in ticks.changed().chunks(BLOCK).zip(values.chunks(BLOCK)) {
                // A byte per row without a branch, which the compiler vectorises; then eight rows at once.
                let mut is_new = [0_u8; BLOCK];
                for (is_new, tick) in is_new.iter_mut().zip(ticks) {
                    *is_new = u8::from(now.wrapping_sub(tick.get()) < age_max);
                }
                let mut found = 0;
                for (i, eight) in is_new.as_chunks::<8>().0.iter().enumerate() {
                    let mut bytes = u64::from_le_bytes(*eight);
                    while bytes != 0 {
                        rows[found] = i as u32 * 8 + bytes.trailing_zeros() / 8;
                        found += 1;
                        bytes &= bytes - 1;
                    }
                }
                count += found as u64;
                for &row in &rows[..found] {
                    sum += values[row as usize].sum();
                }
            }
        }
        self.world.clear_trackers();
        (count, sum)
    }
}

struct Hecs {
    world: hecs::World,
    entities: Vec<hecs::Entity>,
    tracker: hecs::ChangeTracker<Position>,
}

impl Tracked for Hecs {
    const NAME: &'static str = "hecs: ChangeTracker";

    fn new(rows: usize) -> Self {
        let (world, entities) = worlds::hecs(rows);
        Self { world, entities, tracker: hecs::ChangeTracker::new() }
    }

    fn write(&mut self, rows: &[u32]) {
        let mut view = self.world.view_mut::<&mut Position>();
        for &row in rows {
            if let Some(p) = view.get_mut(self.entities[row as usize]) {
                p.x += 1.0;
            }
        }
    }

    fn find(&mut self) -> (u64, f64) {
        let (mut count, mut sum) = (0, 0.0);
        let mut changes = self.tracker.track(&mut self.world);
        changes.changed().for_each(|(_, _, p)| {
            count += 1;
            sum += f64::from(p.x) + f64::from(p.y);
        });
        (count, sum)
    }
}

struct Flecs {
    // The query must go before its world.
    query: Query<&'static Position>,
    world: World,
    entities: Vec<Entity>,
    id: PositionId,
}

impl Tracked for Flecs {
    const NAME: &'static str = "flecs: detect_changes (table-wise: reads all)";
    const PRECISE: bool = false;

    fn new(rows: usize) -> Self {
        let (world, entities) = worlds::flecs(rows);
        let query = world.query::<&Position>().set_cached().detect_changes().build();
        Self { query, id: PositionId::new(&world), world, entities }
    }

    fn write(&mut self, rows: &[u32]) {
        for &row in rows {
            flecs_access::write_tracked(&self.world, self.id, self.entities[row as usize], |p| p.x += 1.0);
        }
    }

    fn find(&mut self) -> (u64, f64) {
        let (mut count, mut sum) = (0, 0.0);
        if self.query.is_changed() {
            self.query.run(|mut it| {
                while it.next() {
                    if it.is_changed() {
                        for p in it.field::<Position>(0).as_slice() {
                            count += 1;
                            sum += f64::from(p.x) + f64::from(p.y);
                        }
                    }
                }
            });
        }
        (count, sum)
    }
}

struct Own {
    world: peristyle_world::World,
    entities: Vec<peristyle_world::Entity>,
    picked: Vec<peristyle_world::Entity>,
    changed: peristyle_world::Query<&'static Position, peristyle_world::Changed<Position>>,
    position: peristyle_world::Prepared<Position>,
}

impl Tracked for Own {
    const NAME: &'static str = "peristyle: Changed<T> filter, for_each";
    const ROLE: Role = Role::Own;

    fn new(rows: usize) -> Self {
        let (mut world, entities) = worlds::own(rows);
        let (changed, position) = (world.query_filtered(), world.prepare());
        Self { world, entities, picked: Vec::new(), changed, position }
    }

    fn write(&mut self, rows: &[u32]) {
        self.picked.clear();
        self.picked.extend(rows.iter().map(|&row| self.entities[row as usize]));
        self.position.get_each_mut(&mut self.world, &self.picked, |_, p| {
            if let Some(p) = p {
                *p.x += 1.0;
            }
        });
    }

    fn find(&mut self) -> (u64, f64) {
        let (mut count, mut sum) = (0, 0.0);
        self.changed.for_each(&mut self.world, |p| {
            count += 1;
            sum += f64::from(p.x) + f64::from(p.y);
        });
        (count, sum)
    }
}
