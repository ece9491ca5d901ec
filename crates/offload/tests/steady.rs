//! A frame of a world of steady size allocates nothing, whether its snapshots are copied or transferred.
//!
//! Trap: snapshot buffers allocated every frame.

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use hecs::World;
use peristyle_jobs::Pool;
use peristyle_offload::{
    Field, JobSnapshotSpec, Offload, RustJob, Scalar, SharedColumns, Step, Way,
    hecs::{Hecs, Tables},
};
use support::{Position, Velocity, moving};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller's duties are the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's duties are the same.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller's duties are the same.
        unsafe { System.realloc(ptr, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn a_steady_frame_allocates_nothing() {
    for (way, workers) in [(Way::Copied, 0), (Way::Copied, 2), (Way::Transferred, 0)] {
        let mut world = World::new();
        world
            .spawn_batch((0..40_000).map(|_| (Position { x: 0.0, y: 0.0 }, Velocity { x: 1.0, y: 2.0 })))
            .for_each(drop);
        let spec = JobSnapshotSpec::<Hecs>::new().reads::<Velocity>().writes::<Position>().despawns();
        let mut tables = Tables::new(spec.build().unwrap());
        let offload = Offload::new(tables.shape().clone(), moving(3)).extra(|step| step.time as u64 / 2);
        let mut offload = offload.with_way(way).unwrap();
        let mut pool = Pool::new(workers).unwrap();
        let mut frame = |frame: u32, pool: &mut Pool| {
            let step = Step { dt: 1.0, time: f64::from(frame % 100 + 100) };
            let report = offload.run(&mut tables.of(&mut world), pool, step).unwrap();
            assert_eq!(report.commit.written(), 40_000_usize.div_ceil(3));
        };
        // A thread allocates when it begins, which on a busy machine may be late: until each lane has run something.
        let mut warm = 0;
        while warm < 10 || (way == Way::Copied && (0..pool.lanes()).any(|lane| pool.ranges_run(lane) == 0 && lane > 0))
        {
            frame(warm, &mut pool);
            warm += 1;
        }
        let before = ALLOCATIONS.load(SeqCst);
        (warm..warm + 20).for_each(|number| frame(number, &mut pool));
        assert_eq!(ALLOCATIONS.load(SeqCst) - before, 0, "{way}, {workers} workers");
    }
}

/// Patches are kept in buffers that stay, and so are the leases of parts and of columns beside the rows.
fn a_steady_frame_with_patches_and_columns_allocates_nothing() {
    for (way, parts) in [(Way::Copied, false), (Way::Copied, true), (Way::Transferred, true)] {
        let mut world = World::new();
        world.spawn_batch((0..40_000).map(|_| (Position { x: 0.0, y: 0.0 },))).for_each(drop);
        let totals = SharedColumns::new("Totals", vec![Field::new("n", Scalar::U64)], 1).unwrap();
        let job = RustJob::parts("patch", |mut parts| {
            parts.resource_mut::<u64>("Totals", "n")?[0] += parts.rows() as u64;
            for part in parts {
                for row in (0..part.rows()).step_by(5) {
                    part.set_packed("Position", part.entity(row), &[0; 8])?;
                }
            }
            Ok(())
        });
        let mut tables = Tables::new(JobSnapshotSpec::<Hecs>::new().writes::<Position>().build().unwrap());
        let offload = Offload::new(tables.shape().clone(), job).with_way(way).unwrap().atomic();
        let offload = offload.writes_columns(&totals).unwrap();
        let mut offload = if parts { offload.parts() } else { offload };
        let mut pool = Pool::new(0).unwrap();
        let mut frame = || {
            let report = offload.run(&mut tables.of(&mut world), &mut pool, Step::default()).unwrap();
            assert!(report.commit.patches.applied >= 8_000, "{:?}", report.run.failures);
        };
        (0..10).for_each(|_| frame());
        let before = ALLOCATIONS.load(SeqCst);
        (0..20).for_each(|_| frame());
        assert_eq!(ALLOCATIONS.load(SeqCst) - before, 0, "{way}, parts: {parts}");
        assert_eq!(totals.lock().column::<u64>("n").unwrap(), [40_000 * 30]);
    }
}

/// Without the test harness, whose thread allocates whenever it gets a core.
fn main() {
    a_steady_frame_allocates_nothing();
    println!("test a_steady_frame_allocates_nothing ... ok");
    a_steady_frame_with_patches_and_columns_allocates_nothing();
    println!("test a_steady_frame_with_patches_and_columns_allocates_nothing ... ok");
}
