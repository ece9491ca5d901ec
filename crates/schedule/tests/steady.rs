//! A frame in a steady world allocates nothing, recorded or not.

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System as SystemAllocator},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use peristyle_jobs::{RustCall, RustJob};
use peristyle_schedule::{ByType, Job, Mode, Options, Scheduler, Stage, System, Where};
use peristyle_timeline::Timeline;
use peristyle_world::{Changed, Entity};
use support::{A, B, C, toil, world_of};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller's duties are the same.
        unsafe { SystemAllocator.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's duties are the same.
        unsafe { SystemAllocator.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller's duties are the same.
        unsafe { SystemAllocator.realloc(ptr, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Flights depart and arrive, so to say: rows are spawned in place, moved on all lanes, and despawned by bit.
fn a_steady_frame_allocates_nothing() {
    for (mode, workers, recorded) in
        [(Mode::Serial, 0, false), (Mode::Parallel, 2, false), (Mode::Serial, 0, true), (Mode::Parallel, 2, true)]
    {
        let mut world = world_of(40_000);
        world.insert_columns::<C>(8, |c| c.n.fill(1)).unwrap();
        let timeline = Timeline::new(workers + 1, 1023);
        timeline.set_enabled(recorded);
        let mut scheduler =
            Scheduler::new(world, Options { mode, workers, timeline: timeline.clone(), ..Options::default() }).unwrap();
        let spawn = System::new("a spawn").exclusive(|world, tick| {
            let missing = 40_000 - world.len();
            world.spawn_fill::<A>(missing, |a, _| a.x.fill(tick.number as f32)).unwrap();
        });
        let step = System::new("b step").each_chunk_with::<&mut A, (), _>(|setup| {
            let (despawn, columns) = (setup.despawns(), setup.reads_columns::<C>());
            move |range, a| {
                toil(range.rows() as u32);
                let add = range.columns(&columns).n[0] as f32;
                a.x.iter_mut().for_each(|x| *x += add);
                let bits = range.despawn_bits(&despawn);
                // As many in each frame, wherever ranges begin: that is on multiples of 512 rows.
                bits.iter_mut().step_by(512 / 8).for_each(|byte| *byte |= 0b101);
            }
        });
        let each =
            System::new("c each").each::<(&A, Entity, Option<&B>)>(|_, (a, _, b)| assert!(b.is_none() && a.x >= 0.0));
        let watch = System::new("d watch").each_with::<&A, Changed<A>, _>(|_| |_, _| ());
        let once = System::new("e once").stage(Stage::Late).run(|setup| {
            let mut query = setup.query::<&mut A>();
            move |context| context.for_each(&mut query, |row| *row.x += 1.0)
        });
        // Jobs of every shape, with values of their own: staging columns, parts and what failures would need are kept.
        let add = |call: &mut RustCall<'_>| {
            call.get_mut::<A>()?.x.iter_mut().for_each(|x| *x += 1.0);
            call.marks("A")?.mark(0);
            Ok(())
        };
        let job = |job: RustJob| Job::new(job).writes::<A>().extra(|tick| (tick.number % 2, "a value"));
        let rows = System::new("f rows").job(job(RustJob::new("rows", add)).atomic());
        let parts = RustJob::parts("parts", move |mut parts| parts.try_for_each(|mut part| add(&mut part)));
        let parts = System::new("g parts").job(job(parts).parts().atomic());
        let whole = System::new("h whole").job(job(RustJob::new("whole", add)).changed::<A>().whole());
        let away = System::new("i away").stage(Stage::Late).run(|_| |_| ()).run_in(Where::Worker);
        let away2 = System::new("j away").stage(Stage::Late).run(|_| |_| ()).run_in(Where::Worker);
        for system in [spawn, step.after("a spawn"), each, watch, once, rows, parts, whole, away, away2] {
            scheduler.add(system).unwrap();
        }
        // A thread allocates when it begins, which on a busy machine may be late: until each worker has run something.
        let mut warm = 0;
        while warm < 100 || (1..scheduler.pool().lanes()).any(|lane| scheduler.pool().ranges_run(lane) == 0) {
            scheduler.run_frame(0.1, 0.0).unwrap();
            warm += 1;
        }
        let before = ALLOCATIONS.load(SeqCst);
        let mut despawned = 0;
        for _ in 0..100 {
            let report = scheduler.run_frame(0.1, 0.0).unwrap();
            despawned += report.despawned;
            assert!(report.failures == 0 && report.bytes_copied > 0);
        }
        assert_eq!(ALLOCATIONS.load(SeqCst) - before, 0, "{mode:?}, recorded: {recorded}");
        assert!(despawned > 500);
        assert_eq!(timeline.read().iter().any(|lane| !lane.spans.is_empty()), recorded);
    }
}

/// Without the test harness, whose thread allocates whenever it gets a core.
fn main() {
    a_steady_frame_allocates_nothing();
    println!("test a_steady_frame_allocates_nothing ... ok");
}
