//! What a mirror costs: bytes and nanoseconds per changed entity, and a tick without changes.
//!
//! ```sh
//! ./x example replica_bench
//! ```
//!
//! Beside each figure stands a hand-written limit of the same run: a loop that copies the two columns into a buffer.

use std::hint::black_box;
use std::time::Instant;

use peristyle_replica::{ComponentView, Prediction, Predictor, Publisher, PublisherOptions, View, ViewSpec, ViewWorld};
use peristyle_world::{ColumnReader, Component, World};

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f32,
}

/// Random steps, the same in every run.
struct Steps(u64);

impl Steps {
    fn next(&mut self, range: f32) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / (1 << 24) as f32 * 2.0 - 1.0) * range
    }
}

impl Steps {
    /// A random number below `end`.
    fn below(&mut self, end: usize) -> usize {
        (((self.next(1.0) + 1.0) / 2.0 * end as f32) as usize).min(end - 1)
    }
}

struct Figures {
    bytes: f64,
    encode_ns: f64,
    decode_ns: f64,
    copy_ns: f64,
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Moves each `every`th of 10 000 entities in each tick.
fn moving(quantised: bool, every: usize, predictor: Predictor) -> Figures {
    const ENTITIES: usize = 10_000;
    const TICKS: u64 = 400;
    let mut world = World::new().expect("addresses");
    let mut steps = Steps(1);
    let start = (0..ENTITIES).map(|_| (Position { x: steps.next(1000.0), y: steps.next(1000.0) },));
    let entities: Vec<_> = world.spawn_batch(start).expect("memory").iter().collect();
    let mut position = ComponentView::of::<Position>();
    for field in ["x", "y"] {
        position = position.predicted(field, predictor);
        if quantised {
            position = position.quantised(field, 1.0 / 64.0);
        }
    }
    let mut view = View::new(&mut world, ViewSpec::new().with(position)).expect("a view");
    let mut mirror = ViewWorld::with_schema(view.schema().clone());
    let mut frame = Vec::new();
    view.publish(ColumnReader::new(&mut world), 1, None, &mut frame);
    mirror.apply(&frame).expect("a frame");
    let (mut bytes, mut encode, mut decode, mut copy) = (0, Vec::new(), Vec::new(), Vec::new());
    let mut buffer = vec![0_f32; 2 * ENTITIES];
    let changed = ENTITIES / every;
    let mut order: Vec<usize> = (0..ENTITIES).collect();
    let mut query = world.query::<&mut Position>();
    for tick in 2..TICKS {
        if every == 1 {
            query.for_each(&mut world, |p| {
                *p.x += steps.next(2.0);
                *p.y += steps.next(2.0);
            });
        } else {
            // Others in each tick, at random.
            for at in 0..changed {
                let other = at + steps.below(ENTITIES - at);
                order.swap(at, other);
                let who = entities[order[at]];
                let now = world.get::<Position>(who).expect("it lives");
                world.set(who, Position { x: now.x + steps.next(2.0), y: now.y + steps.next(2.0) }).expect("it lives");
            }
        }
        frame.clear();
        let began = Instant::now();
        view.publish(ColumnReader::new(&mut world), tick, None, &mut frame);
        encode.push(began.elapsed().as_nanos() as f64);
        let began = Instant::now();
        mirror.apply(&frame).expect("a frame");
        decode.push(began.elapsed().as_nanos() as f64);
        bytes += frame.len();
        let began = Instant::now();
        let (xs, ys) = (mirror.column::<f32>("Position", "x"), mirror.column::<f32>("Position", "y"));
        buffer[..ENTITIES].copy_from_slice(xs.expect("a field"));
        buffer[ENTITIES..].copy_from_slice(ys.expect("a field"));
        black_box(&buffer);
        copy.push(began.elapsed().as_nanos() as f64);
    }
    assert_eq!(mirror.hash(), view.hash());
    let per = changed as f64;
    Figures {
        bytes: bytes as f64 / (TICKS - 2) as f64 / per,
        encode_ns: median(encode) / per,
        decode_ns: median(decode) / per,
        copy_ns: median(copy) / ENTITIES as f64,
    }
}

/// Nanoseconds for each of 400 000 rows that all move, of which so many come and go in each tick, and which have done so for so
/// long that neighbours in the world are no neighbours in the view.
fn coming_and_going(each: usize) -> f64 {
    const ENTITIES: usize = 400_000;
    let mut world = World::new().expect("addresses");
    let mut steps = Steps(3);
    let spawn = |steps: &mut Steps| (Position { x: steps.next(1000.0), y: steps.next(1000.0) },);
    let start: Vec<_> = (0..ENTITIES).map(|_| spawn(&mut steps)).collect();
    let mut entities: Vec<_> = world.spawn_batch(start).expect("memory").iter().collect();
    let mut position = ComponentView::of::<Position>();
    for field in ["x", "y"] {
        position = position.predicted(field, Predictor::Linear).quantised(field, 1.0 / 64.0);
    }
    let mut view = View::new(&mut world, ViewSpec::new().with(position)).expect("a view");
    let mut query = world.query::<&mut Position>();
    let (mut times, mut frame) = (Vec::new(), Vec::new());
    for tick in 1..160 {
        // A quarter of all comes and goes before anything is measured.
        let changing = if tick < 100 { ENTITIES / 400 } else { each };
        for _ in 0..changing {
            let at = steps.below(entities.len());
            world.despawn(entities.swap_remove(at)).expect("it lives");
        }
        for _ in 0..changing {
            entities.push(world.spawn(spawn(&mut steps)).expect("memory"));
        }
        query.for_each(&mut world, |p| {
            *p.x += steps.next(2.0);
            *p.y += steps.next(2.0);
        });
        frame.clear();
        let began = Instant::now();
        view.publish(ColumnReader::new(&mut world), tick, None, &mut frame);
        if tick >= 110 {
            times.push(began.elapsed().as_nanos() as f64);
        }
    }
    median(times) / ENTITIES as f64
}

/// Publishes to so many clients of one view, all of whose entities move; nanoseconds a tick, every client's take included.
fn to_clients(clients: usize) -> f64 {
    let mut world = World::new().expect("addresses");
    let mut steps = Steps(2);
    let start = (0..10_000).map(|_| (Position { x: steps.next(1000.0), y: steps.next(1000.0) },));
    world.spawn_batch(start).expect("memory");
    let position = ComponentView::of::<Position>().quantised("x", 1.0 / 64.0).quantised("y", 1.0 / 64.0);
    let mut publisher =
        Publisher::new(&mut world, ViewSpec::new().with(position), PublisherOptions::default()).expect("a view");
    for _ in 0..clients {
        publisher.connect();
    }
    let mut queue = Vec::new();
    let mut query = world.query::<&mut Position>();
    let mut times = Vec::new();
    for tick in 1..400 {
        query.for_each(&mut world, |p| {
            *p.x += steps.next(2.0);
            *p.y += steps.next(2.0);
        });
        let began = Instant::now();
        publisher.publish(ColumnReader::new(&mut world), tick);
        publisher.drain(|client, bytes| {
            queue.push((client, bytes));
            true
        });
        times.push(began.elapsed().as_nanos() as f64);
        // The network's part.
        queue.clear();
    }
    median(times)
}

/// Rewinds and replays `TICKS` ticks of 1 000 predicted of 10 000 entities; nanoseconds a rollback, and of a loop that does
/// the same sums on a vector.
fn rollback() -> (f64, f64) {
    const TICKS: u64 = 12;
    let mut world = World::new().expect("addresses");
    let start = (0..10_000).map(|x| (Position { x: x as f32, y: 0.0 },));
    let entities: Vec<_> = world.spawn_batch(start).expect("memory").iter().collect();
    let mut view = View::new(&mut world, ViewSpec::new().with(ComponentView::of::<Position>())).expect("a view");
    let mut mirror = ViewWorld::with_schema(view.schema().clone());
    let mut frame = Vec::new();
    view.publish(ColumnReader::new(&mut world), 1, None, &mut frame);
    mirror.apply(&frame).expect("a frame");
    let mut prediction = Prediction::<f32>::new(World::new().expect("addresses"));
    prediction.predict::<Position>(&mirror).expect("it is in view");
    for entity in entities.iter().step_by(10) {
        prediction.follow(&mirror, *entity).expect("memory");
    }
    let mut moved = world.query::<&mut Position>();
    let mut replayed = prediction.world().query::<&mut Position>();
    let mut step = |world: &mut World, by: &f32| {
        replayed.for_each(world, |position| {
            *position.x += by;
            *position.y = (*position.y + *position.x).min(1e6);
        });
    };
    let (mut times, mut limits) = (Vec::new(), Vec::new());
    let mut values = vec![(0.0_f32, 0.0_f32); 1000];
    for tick in 2..400 {
        let input = prediction.input(0.25, &mut step).expect("inputs are answered");
        // The host pushes everybody about, so that each rollback corrects.
        moved.for_each(&mut world, |position| *position.x += 0.5);
        frame.clear();
        view.publish(ColumnReader::new(&mut world), tick, None, &mut frame);
        mirror.apply(&frame).expect("a frame");
        let began = Instant::now();
        let corrections = prediction.reconcile(&mirror, input.saturating_sub(TICKS), &mut step).expect("it replays");
        times.push(began.elapsed().as_nanos() as f64);
        assert!(input <= TICKS || corrections.len() >= 1000);
        let began = Instant::now();
        for _ in 0..TICKS {
            for (x, y) in &mut values {
                *x += black_box(0.25);
                *y = (*y + *x).min(1e6);
            }
        }
        black_box(&values);
        limits.push(began.elapsed().as_nanos() as f64);
    }
    (median(times), median(limits))
}

fn main() {
    println!("10 000 entities of two f32, moving within 2 units a tick; per changed entity:");
    println!("  {:<34} {:>10} {:>12} {:>12}   two columns copied", "", "bytes", "encode", "decode");
    for (name, quantised, every, predictor) in [
        ("within 1/64, all", true, 1, Predictor::Hold),
        ("within 1/64, linear, all", true, 1, Predictor::Linear),
        ("within 1/64, 1 %", true, 100, Predictor::Hold),
        ("lossless, all", false, 1, Predictor::Hold),
        ("lossless, 1 %", false, 100, Predictor::Hold),
    ] {
        let Figures { bytes, encode_ns, decode_ns, copy_ns } = moving(quantised, every, predictor);
        println!("  {name:<34} {bytes:>10.2} {encode_ns:>9.2} ns {decode_ns:>9.2} ns   {copy_ns:.2} ns a row");
    }

    println!("\n400 000 entities that move, a quarter of which came later, within 1/64, linear; per entity:");
    for each in [0, 100, 1000] {
        println!("  {each:>5} come and go in a tick: {:.2} ns to encode", coming_and_going(each));
    }

    let mut world = World::new().expect("addresses");
    world.spawn_batch((0..1_000_000).map(|x| (Position { x: x as f32, y: 0.0 },))).expect("memory");
    let spec = ViewSpec::new().with(ComponentView::of::<Position>());
    let mut view = View::new(&mut world, spec).expect("a view");
    let mut frame = Vec::new();
    let mut tick = 1;
    let began = Instant::now();
    view.publish(ColumnReader::new(&mut world), tick, None, &mut frame);
    println!("\n1 000 000 entities: the first frame takes {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let mut times = Vec::new();
    for _ in 0..2000 {
        tick += 1;
        frame.clear();
        let began = Instant::now();
        view.publish(ColumnReader::new(&mut world), tick, None, &mut frame);
        times.push(began.elapsed().as_nanos() as f64);
    }
    println!("nothing changed: {:.2} us a tick, {} bytes", median(times) / 1e3, frame.len());

    let (one, thousand) = (to_clients(1), to_clients(1000));
    println!(
        "\n10 000 entities, all moving, one view: {:.1} us a tick to one client, {:.1} to 1 000, x{:.2}",
        one / 1e3,
        thousand / 1e3,
        thousand / one
    );
    let (rollback, limit) = rollback();
    println!(
        "12 ticks rolled back, 1 000 predicted of 10 000: {:.1} us; the sums alone {:.1}",
        rollback / 1e3,
        limit / 1e3
    );
}
