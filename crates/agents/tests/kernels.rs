//! WebAssembly kernels on the world's memory: what they see, what they leave, and which modules are refused.

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use peristyle_agents::{AgentError, Cluster, KernelError, Limits, WasmJob};
use peristyle_jobs::{Access, JobError};
use peristyle_layout::Scalar;
use peristyle_schedule::{Job, Mode, Options, ScheduleError, Scheduler, System};
use peristyle_world::{Changed, Component, Entity, World};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Velocity {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Total {
    n: i32,
}

const MEMORY: &str = r#"(import "env" "memory" (memory 1 65536 shared))"#;

/// A module of our own: a kernel whose `handle` has this body. `$d` is the descriptor, `$rows` the rows, `$groups` the first
/// group; `$column` gives where column `c` of group `g` starts.
fn module(body: &str) -> String {
    format!(
        r#"(module {MEMORY}
          (global $sp (export "__stack_pointer") (mut i32) (i32.const 0))
          (func $group (param $d i32) (param $g i32) (result i32)
            (i32.add (i32.load offset=32 (local.get $d)) (i32.mul (local.get $g) (i32.const 24))))
          (func $column (param $d i32) (param $g i32) (param $c i32) (result i32)
            (i32.load (i32.add (i32.load offset=12 (call $group (local.get $d) (local.get $g)))
                               (i32.mul (local.get $c) (i32.const 16)))))
          (func (export "handle") (param $d i32)
            (local $i i32) (local $p i32) (local $q i32)
            {body}))"#
    )
}

/// Runs `body` for `$i` from 0 to the rows.
fn each_row(body: &str) -> String {
    format!(
        "(block $done (loop $next
           (br_if $done (i32.ge_u (local.get $i) (i32.load offset=4 (local.get $d))))
           {body}
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br $next)))"
    )
}

/// `x += vx * dt` for every row: position is group 0, velocity group 1.
fn step() -> String {
    module(&format!(
        "(local.set $p (call $column (local.get $d) (i32.const 0) (i32.const 0)))
         (local.set $q (call $column (local.get $d) (i32.const 1) (i32.const 0)))
         {}",
        each_row(
            "(f32.store (local.get $p) (f32.add (f32.load (local.get $p))
               (f32.mul (f32.load (local.get $q)) (f32.demote_f64 (f64.load offset=8 (local.get $d))))))
             (local.set $p (i32.add (local.get $p) (i32.const 4)))
             (local.set $q (i32.add (local.get $q) (i32.const 4)))"
        )
    ))
}

fn kernel(cluster: &Cluster, text: &str) -> Result<WasmJob, AgentError> {
    let bytes = wat::parse_str(text).unwrap();
    // SAFETY: the modules below write what their descriptors name, and what one of them does beyond that stays in stacks.
    unsafe { cluster.kernel_from_bytes("test.wasm", &bytes) }
}

fn world(cluster: &Cluster, rows: usize) -> (World, Vec<Entity>) {
    let mut world = World::on(cluster.memory(512 << 20).unwrap());
    let rows = (0..rows).map(|i| (Position { x: i as f32, y: 0.0 }, Velocity { x: 0.25 * i as f32, y: 1.0 }));
    let entities = world.spawn_batch(rows).unwrap().iter().collect();
    (world, entities)
}

fn scheduler(world: World, workers: usize, job: Job) -> Scheduler {
    let mode = if workers == 0 { Mode::Serial } else { Mode::Parallel };
    let mut scheduler = Scheduler::new(world, Options { workers, mode, ..Options::default() }).unwrap();
    scheduler.add(System::new("kernel").job(job)).unwrap();
    scheduler
}

#[track_caller]
fn frame(scheduler: &mut Scheduler) {
    let report = scheduler.run_frame(0.5, 1.0).unwrap();
    assert_eq!(report.failures, 0, "{:?}", scheduler.take_failures());
}

/// The error of the one call that fails.
#[track_caller]
fn failing_frame(scheduler: &mut Scheduler) -> JobError {
    let report = scheduler.run_frame(0.5, 1.0).unwrap();
    assert_eq!(report.failures, 1);
    scheduler.take_failures().remove(0).error
}

#[test]
fn a_kernel_gives_what_rust_gives_on_one_lane_and_on_several() {
    for workers in [0, 3] {
        let cluster = Cluster::new().unwrap();
        let job = kernel(&cluster, &step()).unwrap();
        let (world, entities) = world(&cluster, 100_000);
        let mut scheduler = scheduler(world, workers, Job::new(job).writes::<Position>().reads::<Velocity>());
        for _ in 0..3 {
            frame(&mut scheduler);
        }
        for (i, entity) in entities.iter().enumerate() {
            let mut x = i as f32;
            (0..3).for_each(|_| x += 0.25 * i as f32 * 0.5_f32);
            assert_eq!(scheduler.world().get::<Position>(*entity).unwrap(), Position { x, y: 0.0 });
        }
    }
}

#[test]
fn the_descriptor_tells_all_of_a_call() {
    let cluster = Cluster::new().unwrap();
    // Writes what it is told into the resource: group 2, one column of i32.
    let put = |at: usize, value: &str| {
        format!("(i32.store offset={} (call $column (local.get $d) (i32.const 2) (i32.const 0)) {value})", at * 4)
    };
    let field = |offset: usize| format!("(i32.load offset={offset} (local.get $d))");
    let group =
        |g: u32, offset: usize| format!("(i32.load offset={offset} (call $group (local.get $d) (i32.const {g})))");
    let told = [
        field(0),
        field(4),
        "(i32.trunc_f64_s (f64.mul (f64.load offset=8 (local.get $d)) (f64.const 100)))".into(),
        "(i32.trunc_f64_s (f64.load offset=16 (local.get $d)))".into(),
        format!("(i32.load offset=20 {})", field(24)),
        field(28),
        field(36),
        field(40),
        field(48),
        format!("(i32.load8_u offset=1 {})", field(44)),
        field(52),
        group(0, 4),
        group(0, 16),
        group(1, 4),
        group(1, 8),
        group(2, 0),
        format!("(i32.load offset=4 {})", group(2, 12)),
        format!("(i32.load offset=8 {})", group(2, 12)),
        format!("(i32.and {} (i32.const 63))", group(0, 8)),
        "(i32.and (local.get $d) (i32.const 63))".into(),
    ];
    let body: String = told.iter().enumerate().map(|(at, value)| put(at, value)).collect();
    let job = kernel(&cluster, &module(&body)).unwrap();
    let (mut world, entities) = world(&cluster, 100);
    world.insert_columns::<Total>(told.len(), |_| ()).unwrap();
    let text = Arc::new(Mutex::new("\"a\"".to_owned()));
    let given = text.clone();
    let job = Job::new(job).writes::<Position>().reads::<Velocity>().writes_columns::<Total>();
    let job = job.extra(move |_| serde_json::from_str::<serde_json::Value>(&given.lock().unwrap()).unwrap());
    let mut scheduler = scheduler(world, 0, job);
    let mut check = |bytes: i32, letter: char, version: i32| {
        frame(&mut scheduler);
        let told: Vec<i32> = scheduler.world().columns::<Total>().unwrap().n.to_vec();
        let sixth = entities[5].index() as i32;
        let rows = 20;
        let expected = [
            1,
            100,
            50,
            1,
            sixth,
            0,
            2,
            1,
            bytes,
            letter as i32,
            version,
            1,
            2,
            0,
            0,
            0,
            rows,
            Scalar::I32 as i32,
            0,
            0,
        ];
        assert_eq!(told, expected);
    };
    check(3, 'a', 1);
    check(3, 'a', 1);
    *text.lock().unwrap() = format!("\"b{}\"", "c".repeat(1000));
    check(1003, 'b', 2);
}

#[test]
fn marks_and_despawns_count_and_what_a_filter_found_is_seen() {
    let cluster = Cluster::new().unwrap();
    // Of velocities that changed: marks the position of row 1, adds 8 to each changed row's position, despawns row 70.
    let body = each_row(
        "(local.set $p (i32.load offset=8 (call $group (local.get $d) (i32.const 1))))
         (if (i32.and (i32.shr_u (i32.load8_u (i32.add (local.get $p) (i32.shr_u (local.get $i) (i32.const 3))))
                                 (i32.and (local.get $i) (i32.const 7))) (i32.const 1))
           (then
             (local.set $q (i32.add (call $column (local.get $d) (i32.const 0) (i32.const 1))
                                    (i32.shl (local.get $i) (i32.const 2))))
             (f32.store (local.get $q) (f32.add (f32.load (local.get $q)) (f32.const 8)))))",
    ) + "(i32.store8 (i32.load offset=8 (call $group (local.get $d) (i32.const 0))) (i32.const 2))
         (i32.store8 offset=8 (i32.load offset=28 (local.get $d)) (i32.const 64))";
    let job = kernel(&cluster, &module(&body)).unwrap();
    let (world, entities) = world(&cluster, 100);
    let job = Job::new(job).writes::<Position>().changed::<Velocity>().despawns();
    let mut scheduler = scheduler(world, 0, job);
    let changed = Arc::new(Mutex::new(Vec::new()));
    let seen = changed.clone();
    let watch =
        System::new("watch").after("kernel").each_with::<(Entity, &Position), Changed<Position>, _>(move |_| {
            move |_, (entity, _)| seen.lock().unwrap().push(entity)
        });
    scheduler.add(watch).unwrap();
    frame(&mut scheduler);
    assert!(!scheduler.world().is_alive(entities[70]) && scheduler.world().is_alive(entities[69]));
    changed.lock().unwrap().clear();
    scheduler.world_mut().set(entities[9], Velocity { x: 0.0, y: 0.0 }).unwrap();
    frame(&mut scheduler);
    assert_eq!(*changed.lock().unwrap(), [entities[1]]);
    let y = |entity| scheduler.world().get::<Position>(entity).unwrap().y;
    assert_eq!((y(entities[8]), y(entities[9]), y(entities[10])), (8.0, 16.0, 8.0));
}

#[test]
fn lanes_have_stacks_of_their_own() {
    let cluster = Cluster::new().unwrap();
    // Pushes 256 bytes, writes its first entity there again and again, and traps if it ever finds another one.
    let body = "
      (global.set $sp (i32.sub (global.get $sp) (i32.const 256)))
      (local.set $q (i32.load (i32.load offset=24 (local.get $d))))
      (i32.atomic.store offset=128 (global.get $sp) (local.get $q))
      (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $i) (i32.const 200000)))
        (if (i32.ne (i32.atomic.load offset=128 (global.get $sp)) (local.get $q)) (then (unreachable)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
      (f32.store (call $column (local.get $d) (i32.const 0) (i32.const 0)) (f32.convert_i32_u (global.get $sp)))
      (global.set $sp (i32.add (global.get $sp) (i32.const 256)))";
    let job = kernel(&cluster, &module(body)).unwrap();
    let (world, entities) = world(&cluster, 200_000);
    let mut scheduler = scheduler(world, 3, Job::new(job).writes::<Position>());
    // Where rows run is measured: sooner or later on more than one lane.
    let mut stacks = BTreeSet::new();
    for _ in 0..1_000 {
        frame(&mut scheduler);
        let stack = |row: usize| scheduler.world().get::<Position>(entities[row]).unwrap().x as u32;
        stacks.extend((0..200_000).step_by(16_384).map(stack));
        if stacks.len() > 1 {
            break;
        }
    }
    assert!(stacks.len() > 1, "only one lane ran");
    assert!(stacks.iter().all(|stack| *stack % 64 == 0 && *stack > 0 && *stack < 64 << 20), "{stacks:?}");
}

#[test]
fn a_stack_that_overflows_is_told_and_never_meets_a_column() {
    let cluster = Cluster::new().unwrap();
    // A frame of 300 KiB, filled: more than the stack, less than the stack and its guard.
    let body = "
      (local.set $p (i32.sub (global.get $sp) (i32.const 307200)))
      (memory.fill (local.get $p) (i32.const 255) (i32.const 307200))";
    let overruns = kernel(&cluster, &module(body)).unwrap();
    let (world, entities) = world(&cluster, 20_000);
    let mut overrunning = scheduler(world, 0, Job::new(overruns.clone()).writes::<Position>());
    let report = overrunning.run_frame(0.5, 0.0).unwrap();
    assert_eq!(report.failures, 2, "each of the two calls");
    let failures = overrunning.take_failures();
    assert!(failures.iter().all(|failure| failure.error.to_string().contains("overran its stack")), "{failures:?}");
    let untouched = |scheduler: &Scheduler| {
        let world = scheduler.world();
        entities.iter().enumerate().all(|(i, e)| world.get::<Position>(*e).unwrap() == Position { x: i as f32, y: 0.0 })
    };
    assert!(untouched(&overrunning));
    // Recursion without end: the stack runs down to address 0, below which there is nothing.
    let endless = format!(
        r#"(module {MEMORY} (global $sp (export "__stack_pointer") (mut i32) (i32.const 0))
             (func $down (export "handle") (param $d i32)
               (global.set $sp (i32.sub (global.get $sp) (i32.const 65536)))
               (i32.store (global.get $sp) (i32.const -1))
               (call $down (local.get $d))
               (i32.store (global.get $sp) (i32.const -1))))"#
    );
    let world = overrunning.into_world();
    let endless = kernel(&cluster, &endless).unwrap();
    let mut recursing = scheduler(world, 0, Job::new(endless).with::<Velocity>().writes::<Position>());
    assert_eq!(recursing.run_frame(0.5, 0.0).unwrap().failures, 2);
    let failure = recursing.take_failures().remove(0).error.to_string();
    assert!(failure.contains("out of bounds") || failure.contains("recursion"), "{failure}");
    assert!(untouched(&recursing));
}

#[test]
fn a_trap_fails_its_call_and_the_next_one_starts_on_a_whole_stack() {
    let cluster = Cluster::new().unwrap();
    // Traps while dt is not 0, with its frame still on the stack; else tells where its stack pointer is.
    let body = "
      (f32.store (call $column (local.get $d) (i32.const 0) (i32.const 1)) (f32.convert_i32_u (global.get $sp)))
      (global.set $sp (i32.sub (global.get $sp) (i32.const 4096)))
      (if (f64.ne (f64.load offset=8 (local.get $d)) (f64.const 0)) (then (unreachable)))
      (global.set $sp (i32.add (global.get $sp) (i32.const 4096)))";
    let job = kernel(&cluster, &module(body)).unwrap();
    let (world, entities) = world(&cluster, 10);
    let mut scheduler = scheduler(world, 0, Job::new(job).writes::<Position>());
    let pointer = |scheduler: &Scheduler| scheduler.world().get::<Position>(entities[0]).unwrap().y;
    scheduler.run_frame(0.0, 0.0).unwrap();
    let first = pointer(&scheduler);
    for _ in 0..3 {
        match failing_frame(&mut scheduler) {
            JobError::Threw { name, message, stack } => {
                assert_eq!((&*name, &*message), ("RuntimeError", "unreachable executed"));
                assert!(stack.starts_with("wasm-function[2]:0x"), "{stack}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(scheduler.run_frame(0.0, 0.0).unwrap().failures, 0);
    assert_eq!(pointer(&scheduler), first);
}

#[test]
fn reads_outside_of_the_memory_trap() {
    let cluster = Cluster::new().unwrap();
    let job = kernel(&cluster, &module("(drop (i32.load (i32.const -4)))")).unwrap();
    let mut scheduler = scheduler(world(&cluster, 10).0, 0, Job::new(job).writes::<Position>());
    let error = failing_frame(&mut scheduler).to_string();
    assert!(error.contains("out of bounds"), "{error}");
}

#[test]
fn endless_loops_are_stopped() {
    let endless = module("(loop $for (br $for))");
    let cluster =
        Cluster::with_limits(Limits { call_time: Some(Duration::from_secs(1)), ..Limits::default() }).unwrap();
    let job = kernel(&cluster, &endless).unwrap();
    let mut scheduler = scheduler(world(&cluster, 10).0, 0, Job::new(job).writes::<Position>());
    assert!(matches!(failing_frame(&mut scheduler), JobError::Terminated(why) if why.contains("longer than")));

    let cluster = Cluster::new().unwrap();
    let job = kernel(&cluster, &endless).unwrap();
    let mut scheduler = self::scheduler(world(&cluster, 10).0, 0, Job::new(job).writes::<Position>());
    let (ended, running) = (Arc::new(AtomicU32::new(0)), cluster.clone());
    let done = ended.clone();
    let stopper = thread::spawn(move || {
        while done.load(Ordering::Relaxed) == 0 {
            running.interrupt_all();
            thread::yield_now();
        }
    });
    let mut error = failing_frame(&mut scheduler);
    // The word may come while the kernel is still being linked.
    while !matches!(error, JobError::Terminated(_)) {
        error = failing_frame(&mut scheduler);
    }
    ended.store(1, Ordering::Relaxed);
    stopper.join().unwrap();
    assert_eq!(error, JobError::Terminated("interrupted".into()));
}

#[test]
fn the_memory_grows_under_instances_that_live() {
    let cluster = Cluster::new().unwrap();
    let job = kernel(&cluster, &step()).unwrap();
    let (world, mut entities) = world(&cluster, 1_000);
    let mut scheduler = scheduler(world, 1, Job::new(job).writes::<Position>().reads::<Velocity>());
    frame(&mut scheduler);
    let between = scheduler.world().memory().allocate(200 << 20).unwrap();
    let more = (0..40_000).map(|_| (Position { x: 0.0, y: 0.0 }, Velocity { x: 2.0, y: 0.0 }));
    entities.extend(scheduler.world_mut().spawn_batch(more).unwrap().iter());
    frame(&mut scheduler);
    let x = |row: usize| scheduler.world().get::<Position>(entities[row]).unwrap().x;
    assert_eq!((x(8), x(1_000), x(40_999)), (10.0, 1.0, 1.0));
    drop(between);
}

#[test]
fn a_kernel_outlives_worlds_and_serves_several() {
    let cluster = Cluster::new().unwrap();
    let job = kernel(&cluster, &step()).unwrap();
    for _ in 0..4 {
        let (world, entities) = world(&cluster, 100);
        let job = Job::new(job.clone()).writes::<Position>().reads::<Velocity>();
        let mut scheduler = scheduler(world, 1, job);
        frame(&mut scheduler);
        assert_eq!(scheduler.world().get::<Position>(entities[8]).unwrap().x, 9.0);
    }
    let memory = cluster.memory(1 << 20).unwrap();
    drop(cluster);
    let mut world = World::on(memory);
    let entity = world.spawn((Position { x: 1.0, y: 0.0 }, Velocity { x: 4.0, y: 0.0 })).unwrap();
    let mut scheduler = scheduler(world, 0, Job::new(job).writes::<Position>().reads::<Velocity>());
    frame(&mut scheduler);
    assert_eq!(scheduler.world().get::<Position>(entity).unwrap().x, 3.0);
}

#[test]
fn what_an_instance_takes_of_the_memory_is_given_back() {
    let cluster = Cluster::new().unwrap();
    let job = kernel(&cluster, &step()).unwrap();
    let (world, _) = world(&cluster, 100);
    let memory = world.memory().clone();
    let columns = memory.used_bytes();
    let mut scheduler = scheduler(world, 0, Job::new(job).writes::<Position>().reads::<Velocity>());
    frame(&mut scheduler);
    let linked = memory.used_bytes();
    assert!(linked > columns);
    (0..10).for_each(|_| frame(&mut scheduler));
    assert_eq!(memory.used_bytes(), linked);
    let world = scheduler.into_world();
    assert_eq!(memory.used_bytes(), columns);
    drop(world);
    assert_eq!(memory.used_bytes(), 0);
}

#[test]
fn another_memory_is_refused_when_the_system_is_added_and_when_it_runs() {
    let cluster = Cluster::new().unwrap();
    let job = kernel(&cluster, &step()).unwrap();
    let mut elsewhere = Scheduler::new(World::new().unwrap(), Options { workers: 0, ..Options::default() }).unwrap();
    let refused = elsewhere.add(System::new("moves").job(Job::new(job.clone()).writes::<Position>()));
    match refused.map(drop) {
        Err(ScheduleError::Job { system, error: JobError::Memory(why) }) => {
            assert!(
                system == "moves" && why.contains("WebAssembly kernel") && why.contains("Cluster::memory"),
                "{why}"
            );
        }
        other => panic!("{other:?}"),
    }
    let mut elsewhere = support::World::new(512).component(1, "Position", Access::Write, &[("x", Scalar::F32)]);
    let result = support::on_lane(|lane| elsewhere.run(lane, &job));
    assert!(matches!(result, Err(JobError::Memory(_))), "{result:?}");

    // Limits that the world's memory does not keep to.
    for (limits, expected) in [("1 16", "--max-memory=4294967296"), ("60000 65536", "60000 pages")] {
        let text = step().replace("1 65536", limits);
        let job = kernel(&cluster, &text).unwrap();
        let (world, _) = world(&cluster, 10);
        let mut scheduler = Scheduler::new(world, Options { workers: 0, ..Options::default() }).unwrap();
        match scheduler.add(System::new("moves").job(Job::new(job).writes::<Position>())).map(drop) {
            Err(ScheduleError::Job { error: JobError::Memory(why), .. }) => assert!(why.contains(expected), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[track_caller]
fn refused(text: &str) -> (KernelError, String) {
    match kernel(&Cluster::new().unwrap(), text).map(drop) {
        Err(error @ AgentError::Kernel { .. }) => {
            let message = error.to_string();
            let AgentError::Kernel { path, error } = error else { unreachable!() };
            assert!(path.to_str() == Some("test.wasm") && message.starts_with("test.wasm: "), "{message}");
            (error, message)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn modules_that_are_no_kernels_are_refused_by_name() {
    let handle = r#"(func (export "handle") (param i32))"#;
    let of = |parts: &str| refused(&format!("(module {parts})"));
    let is_import = |(error, message): (KernelError, String), what: &str| {
        assert!(matches!(error, KernelError::Import { .. }) && message.contains(what), "{message}");
    };

    is_import(of(&format!(r#"(import "wasi" "fd_write" (func)) {MEMORY} {handle}"#)), "wasi.fd_write");
    is_import(of(&format!(r#"(import "env" "abort" (func)) {MEMORY} {handle}"#)), "env.abort");
    is_import(of(&format!(r#"(import "env" "limit" (global i32)) {MEMORY} {handle}"#)), "env.limit");
    is_import(
        of(&format!(r#"(import "env" "__stack_pointer" (global i32)) {MEMORY} {handle}"#)),
        "env.__stack_pointer",
    );
    is_import(of(&format!(r#"(import "host" "memory" (memory 1 65536 shared)) {handle}"#)), "host.memory");
    is_import(of(&format!(r#"{MEMORY} (import "env" "memory" (memory 1 65536 shared)) {handle}"#)), "env.memory");

    assert_eq!(of(handle).0, KernelError::NoMemory);
    assert_eq!(of(&format!("(memory 1) {handle}")).0, KernelError::NoMemory);
    for memory in [
        r#"(import "env" "memory" (memory 1 65536))"#,
        r#"(import "env" "memory" (memory i64 1 65536 shared))"#,
        r#"(import "env" "memory" (memory 1 65536 shared)) (memory 1)"#,
    ] {
        let (error, message) = of(&format!("{memory} {handle}"));
        assert!(matches!(error, KernelError::Memory { .. }), "{message}");
    }

    assert_eq!(of(MEMORY).0, KernelError::NoHandle { found: None });
    for export in [
        r#"(func (export "handle"))"#,
        r#"(func (export "handle") (param i64))"#,
        r#"(func (export "handle") (param i32) (result i32) (i32.const 0))"#,
        r#"(global (export "handle") i32 (i32.const 0))"#,
    ] {
        let (error, message) = of(&format!("{MEMORY} {export}"));
        assert!(matches!(error, KernelError::NoHandle { found: Some(_) }), "{message}");
    }

    // A stack pointer that cannot be set.
    let (error, message) = of(&format!("{MEMORY} (global (mut i32) (i32.const 66560)) {handle}"));
    assert_eq!(error, KernelError::Stack { global: 0 });
    assert!(message.contains("--export=__stack_pointer"), "{message}");
    let (error, _) = of(&format!(r#"{MEMORY} (global (export "__stack_pointer") i32 (i32.const 66560)) {handle}"#));
    assert_eq!(error, KernelError::Stack { global: 0 });

    // Static data.
    let (error, message) = of(&format!(r#"{MEMORY} {handle} (data $.rodata (i32.const 1024) "table")"#));
    assert_eq!(error, KernelError::FixedData { segment: ".rodata".into(), address: Some(1024) });
    assert!(message.contains(".rodata") && message.contains("1024"), "{message}");
    let (error, _) = of(&format!(r#"{MEMORY} {handle} (data "table")"#));
    assert_eq!(error, KernelError::FixedData { segment: "0".into(), address: None });
    let (error, _) = of(&format!("{MEMORY} {handle} (func $init) (start $init)"));
    assert_eq!(error, KernelError::Start { function: 1 });
    let base = r#"(import "env" "__memory_base" (global $base i32))"#;
    assert_eq!(of(&format!(r#"{MEMORY} {base} {handle} (data (global.get $base) "table")"#)).0, KernelError::NoDylink);
    let (error, _) = of(&format!(r#"{MEMORY} {base} {handle} (data (i32.const 8) "table")"#));
    assert!(matches!(error, KernelError::FixedData { .. }));
    let (error, _) = of(&format!(r#"{MEMORY} {base} {handle} (data $.tdata "thread-local")"#));
    assert!(matches!(error, KernelError::FixedData { segment, .. } if segment == ".tdata"));

    // What only the engine finds.
    let (error, message) = of(&format!(r#"{MEMORY} (func (export "handle") (param i32) (i32.add))"#));
    assert!(matches!(error, KernelError::Rejected { .. }), "{message}");
}

#[test]
fn what_is_no_module_is_refused() {
    let cluster = Cluster::new().unwrap();
    // SAFETY: none of these is a module that could run.
    let of = |bytes: &[u8]| unsafe { cluster.kernel_from_bytes("a.wasm", bytes) }.map(drop);
    let good = wat::parse_str(step()).unwrap();
    for bytes in [&b""[..], b"export function handle() {}", b"\0asm\x0d\0\x01\0", &good[..9], &good[..good.len() - 1]] {
        let error = of(bytes).unwrap_err();
        assert!(matches!(error, AgentError::Kernel { error: KernelError::NotWasm { .. }, .. }), "{error}");
    }
    // Cut anywhere, nothing panics; without its names, at the end, it is whole.
    let whole = (0..good.len()).filter(|end| of(&good[..*end]).is_ok()).count();
    assert_eq!(whole, 1);
    let files = support::Files::with(&[("dir/x", "")]);
    // SAFETY: as above.
    let from = |path: &str| unsafe { cluster.kernel(files.path(path)) }.map(drop).unwrap_err();
    assert!(matches!(from("absent.wasm"), AgentError::Missing { .. }));
    assert!(matches!(from("dir"), AgentError::Unreadable { .. }));
}

#[test]
fn static_data_of_a_position_independent_module_lies_in_a_block_of_its_own() {
    let cluster = Cluster::new().unwrap();
    // 4 bytes of data at the base, 4 that are not initialised: counts its calls there, and adds what it counted.
    let text = format!(
        r#"(module
          (@custom "dylink.0" (before first) "\01\04\08\02\00\00")
          {MEMORY}
          (import "env" "__memory_base" (global $base i32))
          (global $thread_locals (mut i32) (i32.const 0))
          (func (export "handle") (param $d i32)
            (local $p i32)
            (i32.store offset=4 (global.get $base) (i32.add (i32.load offset=4 (global.get $base)) (i32.const 1)))
            (local.set $p (i32.load (i32.load offset=12 (i32.load offset=32 (local.get $d)))))
            (f32.store (local.get $p)
              (f32.convert_i32_u (i32.add (i32.load (global.get $base)) (i32.load offset=4 (global.get $base))))))
          (data (global.get $base) "\e8\03\00\00"))"#
    );
    let job = kernel(&cluster, &text).unwrap();
    let (world, entities) = world(&cluster, 10);
    let mut scheduler = scheduler(world, 0, Job::new(job).writes::<Position>());
    for call in 1..4 {
        frame(&mut scheduler);
        assert_eq!(scheduler.world().get::<Position>(entities[0]).unwrap().x, 1000.0 + call as f32);
        assert_eq!(scheduler.world().get::<Position>(entities[1]).unwrap().x, 1.0);
    }
}
