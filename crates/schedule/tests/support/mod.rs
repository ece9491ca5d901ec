//! What the tests share: components, schedulers, and a runner of jobs that are Rust closures.
#![allow(dead_code, missing_docs)]

use std::sync::{Arc, Mutex};

use peristyle_jobs::{JobCall, JobError, JobRunner, Lane, Lent};
use peristyle_schedule::{Mode, Options, Scheduler, System};
use peristyle_world::{Component, World};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
pub struct A {
    pub x: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
pub struct B {
    pub x: f32,
    pub y: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
pub struct C {
    pub n: u32,
}

/// A world with `rows` entities that have an `A` with their number.
pub fn world_of(rows: usize) -> World {
    let mut world = World::new().unwrap();
    world.spawn_batch((0..rows).map(|i| A { x: i as f32 })).unwrap();
    world
}

pub fn scheduler(world: World, mode: Mode, workers: usize) -> Scheduler {
    // Whatever the build: checked jobs are called more often.
    Scheduler::new(world, Options { workers, mode, checks: None, ..Options::default() }).unwrap()
}

pub fn serial(world: World) -> Scheduler {
    scheduler(world, Mode::Serial, 0)
}

/// What happened, in order.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn push(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// A system that logs its name.
    pub fn system(&self, name: &str) -> System {
        let (log, name_of) = (self.clone(), name.to_owned());
        System::new(name).run(move |_| move |_| log.push(name_of.clone()))
    }
}

/// A job that is a closure.
pub struct Closure<F>(pub F);

impl<F: Fn(&mut Lane, &JobCall<'_>) -> Result<(), JobError> + Send + Sync> JobRunner for Closure<F> {
    fn name(&self) -> &str {
        "closure"
    }
    fn run(&self, lane: &mut Lane, call: &JobCall<'_>) -> Result<(), JobError> {
        (self.0)(lane, call)
    }
}

/// The elements of a lent column. They live as long as the call that lent it, which the caller sees to.
pub fn column<T>(lent: &Lent) -> &'static mut [T] {
    assert_eq!(lent.scalar.size(), size_of::<T>());
    assert!(lent.ptr.as_ptr().cast::<T>().is_aligned());
    // SAFETY: the lease makes the elements readable, and writable if it says so, until the call returns; no test keeps
    // what it gets for longer, and reads are only read.
    unsafe { std::slice::from_raw_parts_mut(lent.ptr.as_ptr().cast(), lent.len as usize) }
}

pub fn threw(message: &str) -> JobError {
    JobError::Threw { name: "Error".into(), message: message.into(), stack: String::new() }
}

/// Work that takes some nanoseconds and that no compiler removes.
pub fn toil(rounds: u32) -> f32 {
    (0..rounds).fold(1.0_f32, |sum, i| std::hint::black_box(sum + (i as f32).sqrt()))
}
