//! What do snapshot and commit of a Bevy world cost, beside a hand-written copy loop?
//!
//! 1 M rows, two components of two `f32`, 1 % of the rows changed, scattered; other rows change each turn. All take turns,
//! so that all meet the same machine; on a busy one only the minima say what a program costs. To reach: a snapshot within
//! 1.3x of the loop, a commit at most 15 % of it.
//!
//! `cargo bench --profile dev --bench snapshot [TURNS]`, in the directory of `peristyle-bevy`.

use std::{hint::black_box, time::Instant};

use bevy_ecs::{prelude::*, query::QueryState};
use peristyle_bevy::{Bevy, Columnar, JobSnapshot, JobSnapshotSpec, Tables};

const ROWS: usize = 1_000_000;
const CHANGED: usize = ROWS / 100;
const TURNS: usize = 60;

#[derive(Component, Columnar, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component, Columnar, Clone, Copy, Debug, PartialEq)]
struct Velocity {
    x: f32,
    y: f32,
}

/// What a hand-written snapshot is: vectors that are kept.
#[derive(Default, PartialEq)]
struct Columns {
    handles: Vec<u64>,
    indices: Vec<u32>,
    fields: [Vec<f32>; 4],
}

impl Columns {
    fn clear(&mut self) {
        self.handles.clear();
        self.indices.clear();
        self.fields.iter_mut().for_each(Vec::clear);
    }

    fn resize(&mut self, rows: usize) {
        self.handles.resize(rows, 0);
        self.indices.resize(rows, 0);
        self.fields.iter_mut().for_each(|field| field.resize(rows, 0.0));
    }
}

type Query = QueryState<(Entity, &'static Position, &'static Velocity)>;

/// Row by row, as one writes it first.
fn copy_rows(world: &World, query: &mut Query, out: &mut Columns) {
    out.clear();
    let Columns { handles, indices, fields: [px, py, vx, vy] } = out;
    for (entity, position, velocity) in query.iter(world) {
        handles.push(entity.to_bits());
        indices.push(entity.index_u32());
        px.push(position.x);
        py.push(position.y);
        vx.push(velocity.x);
        vy.push(velocity.y);
    }
}

/// In one pass over the slices of each table, into vectors that have their length: the quickest that we know.
fn copy_slices(world: &World, query: &mut Query, out: &mut Columns) {
    out.resize(ROWS);
    let mut start = 0;
    for (entities, positions, velocities) in query.contiguous_iter(world).expect("both live in tables") {
        let rows = start..start + entities.len();
        start = rows.end;
        let (handles, indices) = (&mut out.handles[rows.clone()], &mut out.indices[rows.clone()]);
        let [px, py, vx, vy] = out.fields.each_mut().map(|field| &mut field[rows.clone()]);
        for i in 0..entities.len() {
            handles[i] = entities[i].to_bits();
            indices[i] = entities[i].index_u32();
            px[i] = positions[i].x;
            py[i] = positions[i].y;
            vx[i] = velocities[i].x;
            vy[i] = velocities[i].y;
        }
    }
}

/// As before, but table by table column after column, which the compiler turns into wide loads.
fn copy_columns(world: &World, query: &mut Query, out: &mut Columns) {
    out.resize(ROWS);
    let mut start = 0;
    for (entities, positions, velocities) in query.contiguous_iter(world).expect("both live in tables") {
        let rows = start..start + entities.len();
        start = rows.end;
        let [px, py, vx, vy] = out.fields.each_mut().map(|field| &mut field[rows.clone()]);
        out.handles[rows.clone()].iter_mut().zip(entities).for_each(|(out, entity)| *out = entity.to_bits());
        out.indices[rows].iter_mut().zip(entities).for_each(|(out, entity)| *out = entity.index_u32());
        px.iter_mut().zip(positions).for_each(|(out, position)| *out = position.x);
        py.iter_mut().zip(positions).for_each(|(out, position)| *out = position.y);
        vx.iter_mut().zip(velocities).for_each(|(out, velocity)| *out = velocity.x);
        vy.iter_mut().zip(velocities).for_each(|(out, velocity)| *out = velocity.y);
    }
}

/// The 1 % of rows that change in a turn, in order.
fn changed_rows(turn: usize) -> Vec<usize> {
    let mut state = turn as u64 + 1;
    let mut rows: Vec<usize> = (0..CHANGED)
        .map(|i| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i * 100 + (state >> 33) as usize % 100
        })
        .collect();
    rows.dedup();
    rows
}

fn mark(snapshot: &mut JobSnapshot, components: &[&str], rows: &[usize]) {
    for component in components {
        for &row in rows {
            snapshot.column_mut::<f32>(component, "x").expect("it is written")[row] += 1.0;
            assert!(snapshot.mark(component, row));
        }
    }
}

fn time(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64() * 1e6
}

fn main() {
    let turns = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(TURNS);
    let mut world = World::new();
    world.spawn_batch((0..ROWS).map(|i| {
        let (x, y) = (i as f32, (i / 2) as f32);
        (Position { x, y }, Velocity { x: y, y: x })
    }));
    let mut query = world.query::<(Entity, &Position, &Velocity)>();
    let spec = || JobSnapshotSpec::<Bevy>::new();
    let one = spec().writes::<Position>().reads::<Velocity>().build().expect("names differ");
    let both = spec().writes::<Position>().writes::<Velocity>().build().expect("names differ");
    let (mut one, mut both) = (Tables::new(one, &mut world), Tables::new(both, &mut world));
    let mut snapshot = JobSnapshot::new(both.shape().clone());
    let mut snapshot_one = JobSnapshot::new(one.shape().clone());
    let (mut rows, mut slices, mut columns) = (Columns::default(), Columns::default(), Columns::default());

    let names = [
        "loop: row by row",
        "loop: slices in one pass",
        "loop: slices column by column",
        "snapshot",
        "commit, one component changed",
        "commit, both components changed",
        "commit, nothing changed",
        "commit in a later frame, one changed",
    ];
    let mut times = names.map(|_| Vec::with_capacity(turns));
    for turn in 0..=turns {
        let changed = changed_rows(turn);
        let mut took = [0.0; 8];
        took[0] = time(|| copy_rows(&world, &mut query, black_box(&mut rows)));
        took[1] = time(|| copy_slices(&world, &mut query, black_box(&mut slices)));
        took[2] = time(|| copy_columns(&world, &mut query, black_box(&mut columns)));
        assert!(rows == slices && rows == columns, "the loops agree");
        // As a frame does it: the source has the world from the snapshot to the commit.
        world.increment_change_tick();
        let mut source = one.of(&mut world);
        snapshot_one.take(&mut source).expect("there is memory");
        mark(&mut snapshot_one, &["Position"], &changed);
        took[4] = time(|| _ = black_box(snapshot_one.commit(&mut source)));
        assert_eq!(snapshot_one.commit_report().written(), changed.len());
        copy_rows(&world, &mut query, &mut rows);
        let mut source = both.of(&mut world);
        took[3] = time(|| snapshot.take(&mut source).expect("there is memory"));
        assert!(snapshot.handles() == rows.handles && snapshot.indices() == rows.indices, "ids agree");
        for (field, (component, name)) in
            [("Position", "x"), ("Position", "y"), ("Velocity", "x"), ("Velocity", "y")].into_iter().enumerate()
        {
            assert!(snapshot.column::<f32>(component, name) == Some(&rows.fields[field]), "{component}.{name} agrees");
        }
        mark(&mut snapshot, &["Position", "Velocity"], &changed);
        took[5] = time(|| _ = black_box(snapshot.commit(&mut source)));
        assert_eq!(snapshot.commit_report().written(), 2 * changed.len());
        took[6] = time(|| _ = black_box(snapshot.commit(&mut source)));
        // A later frame has to see whether entities are where they were.
        mark(&mut snapshot, &["Position"], &changed);
        took[7] = time(|| _ = black_box(snapshot.commit(&mut both.of(&mut world))));
        // The first turn makes room.
        if turn > 0 {
            times.iter_mut().zip(took).for_each(|(times, took)| times.push(took));
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    let of = |at: usize| (times[at][turns / 2], times[at][0]);
    let best = (0..3).map(of).fold((f64::MAX, f64::MAX), |best, (median, min)| (best.0.min(median), best.1.min(min)));
    println!("{ROWS} rows, 2 components of 2 f32, ids; {CHANGED} rows changed; {turns} turns");
    println!("  {:<34} {:>11} {:>11}   of the best loop", "", "median", "minimum");
    for (at, name) in names.into_iter().enumerate() {
        let (median, min) = of(at);
        println!("  {name:<34} {median:>8.0} us {min:>8.0} us   x{:.3} (minima x{:.3})", median / best.0, min / best.1);
    }
}
