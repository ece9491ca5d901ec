//! Stacks of kernels: one for each instance, free again when it goes, and an error when there is none left.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use peristyle_agents::{Cluster, WasmJob};
use peristyle_jobs::JobError;
use peristyle_layout::Scalar;
use peristyle_schedule::{Job, Mode, Options, Scheduler, System, Where};
use peristyle_world::{Component, Entity, Field, World};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct First {
    top: f32,
    found: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Second {
    top: f32,
    found: f32,
}

/// Tells where its stack begins (column 0) and what it finds there (column 1), and leaves `dt` there. Runs without end
/// while `dt` is negative.
const KERNEL: &str = r#"(module (import "env" "memory" (memory 1 65536 shared))
  (global $sp (export "__stack_pointer") (mut i32) (i32.const 0))
  (func $column (param $d i32) (param $c i32) (result i32)
    (i32.load (i32.add (i32.load offset=12 (i32.load offset=32 (local.get $d)))
                       (i32.mul (local.get $c) (i32.const 16)))))
  (func (export "handle") (param $d i32)
    (local $frame i32)
    (if (f64.lt (f64.load offset=8 (local.get $d)) (f64.const 0)) (then (loop $for (br $for))))
    (local.set $frame (i32.sub (global.get $sp) (i32.const 64)))
    (f32.store (call $column (local.get $d) (i32.const 0)) (f32.convert_i32_u (global.get $sp)))
    (f32.store (call $column (local.get $d) (i32.const 1)) (f32.load (local.get $frame)))
    (f32.store (local.get $frame) (f32.demote_f64 (f64.load offset=8 (local.get $d))))))"#;

fn kernel(cluster: &Cluster) -> WasmJob {
    let bytes = wat::parse_str(KERNEL).unwrap();
    // SAFETY: the module writes columns that its descriptor names, and its own stack.
    unsafe { cluster.kernel_from_bytes("stack.wasm", &bytes) }.unwrap()
}

fn serial(world: World) -> Scheduler {
    Scheduler::new(world, Options { workers: 0, mode: Mode::Serial, ..Options::default() }).unwrap()
}

fn first(scheduler: &Scheduler, entity: Entity) -> First {
    scheduler.world().get::<First>(entity).unwrap()
}

#[test]
fn two_instances_on_one_agent_have_a_stack_each() {
    let cluster = Cluster::new().unwrap();
    let job = kernel(&cluster);
    let mut world = World::on(cluster.memory(16 << 20).unwrap());
    let entity = world.spawn((First { top: 0.0, found: 0.0 }, Second { top: 0.0, found: 0.0 })).unwrap();
    let mut scheduler = serial(world);
    scheduler.add(System::new("first").job(Job::new(job.clone()).writes::<First>())).unwrap();
    scheduler.add(System::new("second").job(Job::new(job).writes::<Second>())).unwrap();
    for (dt, found) in [(0.5, 0.0), (0.25, 0.5), (2.0, 0.25)] {
        assert_eq!(scheduler.run_frame(dt, 0.0).unwrap().failures, 0);
        let (first, second) = (first(&scheduler, entity), scheduler.world().get::<Second>(entity).unwrap());
        assert_eq!((first.found, second.found), (found, found), "each finds what it left itself");
        assert!((first.top - second.top).abs() >= f32::from(64_u16) * 1024.0, "{first:?} {second:?}");
    }
}

#[test]
fn stacks_run_out_with_an_error_and_are_there_again_when_their_instances_went() {
    const STACKS: usize = 512;
    let cluster = Cluster::new().unwrap();
    let job = kernel(&cluster);
    let mut world = World::on(cluster.memory(64 << 20).unwrap());
    let entity = world.spawn((First { top: 0.0, found: 0.0 },)).unwrap();
    // Components that all rows have: each choice of some is a shape of its own.
    let flags: Vec<_> =
        (0..10).map(|n| world.define(&format!("Flag{n}"), vec![Field::new("x", Scalar::F32)]).unwrap()).collect();
    flags.iter().for_each(|flag| world.insert_id(entity, *flag).unwrap());
    let all_shapes = |world: World, shapes: usize| {
        let mut scheduler = serial(world);
        for shape in 0..shapes {
            let job = Job::new(job.clone()).writes::<First>();
            let flags = flags.iter().enumerate().filter(|(bit, _)| shape >> bit & 1 != 0);
            let job = flags.fold(job, |job, (_, flag)| job.reads_id(*flag));
            scheduler.add(System::new(format!("system {shape:04}")).job(job)).unwrap();
        }
        scheduler.run_frame(0.5, 0.0).unwrap();
        let failures = scheduler.take_failures();
        (scheduler, failures)
    };
    let (scheduler, failures) = all_shapes(world, STACKS + 2);
    let errors: Vec<_> = failures.iter().map(|failure| failure.error.clone()).collect();
    assert_eq!(errors, [const { JobError::NoStack { stacks: STACKS } }; 2]);
    assert!(errors[0].to_string().contains("512 stacks"), "{}", errors[0]);
    // The lane goes with its scheduler, the instances with their lane, the stacks with them.
    let (scheduler, failures) = all_shapes(scheduler.into_world(), STACKS);
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(first(&scheduler, entity).found, 0.5, "a stack that an earlier instance used");
}

#[test]
fn a_killed_worker_gives_its_stack_back_once_it_stopped() {
    let cluster = Cluster::new().unwrap();
    let job = kernel(&cluster);
    let mut world = World::on(cluster.memory(16 << 20).unwrap());
    let entity = world.spawn((First { top: 0.0, found: 0.0 },)).unwrap();
    let mut scheduler = Scheduler::new(world, Options { workers: 1, ..Options::default() }).unwrap();
    let system = System::new("kernel").job(Job::new(job).writes::<First>()).run_in(Where::Worker);
    scheduler.add(system).unwrap();
    let supervisor = scheduler.pool().supervisor();
    let mut tops = BTreeSet::new();
    for _ in 0..12 {
        assert_eq!(scheduler.run_frame(0.5, 0.0).unwrap().failures, 0);
        tops.insert(first(&scheduler, entity).top as u32);
        let hanging = thread::spawn(move || {
            let failures = scheduler.run_frame(-1.0, 0.0).unwrap().failures;
            (failures, scheduler)
        });
        // The frame's own thread may have taken the call back: it is interrupted.
        while !hanging.is_finished() {
            supervisor.kill(1);
            cluster.interrupt_all();
            thread::sleep(Duration::from_millis(1));
        }
        let failures;
        (failures, scheduler) = hanging.join().unwrap();
        assert_eq!(failures, 1);
        scheduler.take_failures();
    }
    assert!(supervisor.replaced() > 0);
    // The frame's own lane, the worker's, and its successor's, which may begin before the first has ended.
    assert!(tops.len() <= 3, "{tops:?}");
}
