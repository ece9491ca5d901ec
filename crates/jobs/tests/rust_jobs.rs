//! Rust jobs on columns that nobody but the test knows, and tasks that are left to workers.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use peristyle_jobs::{
    Access, AccessError, ComponentShape, EntityLookup, JobCall, JobCallParts, JobError, JobRunner, JobShape, Lane,
    Lent, Pool, RustCall, RustJob, block_on,
};
use peristyle_layout::{Entity, Field, Scalar};

struct Plain;

impl EntityLookup for Plain {
    fn entity(&self, index: u32) -> Entity {
        Entity::new(index, 1)
    }
}

fn lent<T>(column: &mut [T], scalar: Scalar) -> Lent {
    Lent { ptr: NonNull::from(&mut *column).cast(), len: column.len() as u32, scalar }
}

/// Runs a job on three rows of `Position.x` (to write) and `Velocity.x` (to read) that are in no world.
fn run(job: &RustJob, x: &mut [f32; 3], marks: &mut [u64; 1]) -> Result<(), JobError> {
    let component = |id: u32, name: &str, access| ComponentShape {
        id,
        name: name.into(),
        fields: vec![Field::new("x", Scalar::F32)],
        access,
        opaque: false,
    };
    let shape = JobShape {
        components: vec![component(0, "Position", Access::Write), component(1, "Velocity", Access::Read)],
        ..JobShape::default()
    };
    let (mut eids, mut v) = ([7_u32, 8, 9], [1.0_f32, 2.0, 3.0]);
    let columns = [lent(x, Scalar::F32), lent(&mut v, Scalar::F32)];
    let changed = [Some(Lent { len: 8, ..lent(marks, Scalar::U8) }), None];
    // SAFETY: all of it lives and is borrowed here until the call returned.
    let call = unsafe {
        JobCall::lease(JobCallParts {
            shape: &shape,
            memory: None,
            patches: None,
            rows: 3,
            eids: lent(&mut eids, Scalar::U32),
            entities: &Plain,
            values: None,
            columns: &columns,
            changed: &changed,
            despawn: None,
            resources: &[],
            dt: 0.5,
            time: 9.0,
            extra: None,
        })
    };
    let mut pool = Pool::new(0).unwrap();
    pool.scope(|scope| scope.with_lane(|lane: &mut Lane| job.run(lane, &call)))
}

#[test]
fn a_function_works_on_columns_of_any_source() {
    let job = RustJob::new("move", |call| {
        assert_eq!((call.rows(), call.dt(), call.time(), call.extra()), (3, 0.5, 9.0, None));
        let (v, x) = (call.column::<f32>("Velocity", "x")?, call.column_mut::<f32>("Position", "x")?);
        x.iter_mut().zip(v).for_each(|(x, v)| *x += v);
        assert_eq!(call.entity(2), Entity::new(9, 1));
        call.marks("Position")?.mark(1);
        Ok(())
    });
    let (mut x, mut marks) = ([10.0, 20.0, 30.0], [0]);
    run(&job, &mut x, &mut marks).unwrap();
    assert_eq!((x, marks), ([11.0, 22.0, 33.0], [0b10]));
}

#[test]
fn a_column_is_given_out_once_to_write() {
    let twice = RustJob::new("twice", |call| {
        let first = call.column_mut::<f32>("Position", "x")?;
        first[0] = 1.0;
        let error = call.column::<f32>("Position", "x").unwrap_err();
        assert!(matches!(error, AccessError::InUse { .. }));
        call.column_mut::<f32>("Position", "x").map(drop).map_err(JobError::from)
    });
    let (mut x, mut marks) = ([0.0; 3], [0]);
    let error = run(&twice, &mut x, &mut marks).unwrap_err();
    assert_eq!(error.to_string(), "field `x` of `Position` was given out already");
    assert_eq!(x[0], 1.0);
    let marked = RustJob::new("marks", |call| {
        let _first = call.marks("Position")?;
        call.marks("Position").map(drop).map_err(JobError::from)
    });
    assert!(run(&marked, &mut x, &mut marks).is_err());
    let read_first = RustJob::new("read first", |call| {
        let (_read, _again) = (call.column::<f32>("Position", "x")?, call.column::<f32>("Position", "x")?);
        call.column_mut::<f32>("Position", "x").map(drop).map_err(JobError::from)
    });
    let error = run(&read_first, &mut x, &mut marks).unwrap_err();
    assert_eq!(error.to_string(), "field `x` of `Position` was given out already");
}

#[test]
fn what_was_not_declared_is_refused_by_name() {
    let told = |ask: fn(&mut RustCall<'_>) -> Result<(), AccessError>| {
        let job = RustJob::new("asks", move |call| Ok(ask(call)?));
        run(&job, &mut [0.0; 3], &mut [0]).unwrap_err().to_string()
    };
    let missing = "`Mass` is not declared by the system";
    assert_eq!(told(|call| call.column::<f32>("Mass", "x").map(drop)), missing);
    let missing = "`Position` has no field `z`";
    assert_eq!(told(|call| call.column::<f32>("Position", "z").map(drop)), missing);
    let wrong = "field `x` of `Position` holds f32, not u32";
    assert_eq!(told(|call| call.column::<u32>("Position", "x").map(drop)), wrong);
    let read_only = "`Velocity` is declared to be read, not to be written";
    assert_eq!(told(|call| call.column_mut::<f32>("Velocity", "x").map(drop)), read_only);
    assert_eq!(told(|call| call.marks("Velocity").map(drop)), read_only);
    assert_eq!(told(|call| call.despawns().map(drop)), "the system does not declare that the job despawns");
}

#[test]
#[should_panic(expected = "row 3 of 3")]
fn a_row_past_the_call_is_not_marked() {
    let job = RustJob::new("marks", |call| {
        call.marks("Position")?.mark(3);
        Ok(())
    });
    run(&job, &mut [0.0; 3], &mut [0]).unwrap();
}

#[test]
fn a_job_of_parts_takes_a_single_call_as_one_part() {
    let job = RustJob::parts("parts", |mut parts| {
        assert_eq!((parts.len(), parts.rows(), parts.dt()), (1, 3, 0.5));
        parts.part(0).column_mut::<f32>("Position", "x")?.fill(4.0);
        let resource = parts.part(0).resource::<f32>("Wind", "x").unwrap_err();
        assert_eq!(resource, AccessError::OfAllParts { name: "Wind".into() });
        Ok(())
    });
    let (mut x, mut marks) = ([0.0; 3], [0]);
    run(&job, &mut x, &mut marks).unwrap();
    assert_eq!(x, [4.0; 3]);
}

#[test]
fn a_wait_sleeps_until_its_waker_rings_and_outlives_stale_wakers() {
    let mail: Arc<Mutex<(Option<u32>, Option<Waker>)>> = Arc::default();
    for letter in 0..100 {
        let post = Arc::clone(&mail);
        // The waker of the last letter rings in between: for nothing.
        let courier = thread::spawn(move || {
            loop {
                let mut mail = post.lock().unwrap();
                if let Some(waker) = &mail.1 {
                    waker.wake_by_ref();
                }
                if let Some(waker) = mail.1.take() {
                    mail.0 = Some(letter);
                    break waker.wake();
                }
                drop(mail);
                thread::yield_now();
            }
        });
        let answer = block_on(poll_fn(|context: &mut Context<'_>| {
            let mut mail = mail.lock().unwrap();
            match mail.0.take() {
                Some(letter) => Poll::Ready(letter),
                None => {
                    mail.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }));
        assert_eq!(answer, letter);
        courier.join().unwrap();
    }
}

#[test]
fn a_wait_in_a_wait_is_fine() {
    let inner = |n: u32| async move { n + 1 };
    let outer = async {
        let mut polled = pin!(inner(1));
        let first = poll_fn(|context| polled.as_mut().poll(context)).await;
        first + block_on(inner(first))
    };
    assert_eq!(block_on(outer), 5);
}

#[test]
fn the_frames_thread_leaves_what_is_away_to_workers() {
    let mut pool = Pool::new(1).unwrap();
    let ran: Mutex<Vec<ThreadId>> = Mutex::default();
    let (away_done, other_ran) = (AtomicBool::new(false), AtomicU32::new(0));
    let away = |_: u32, _: &mut Lane| {
        ran.lock().unwrap().push(thread::current().id());
        away_done.store(true, SeqCst);
    };
    let other = |_: u32, _: &mut Lane| _ = other_ran.fetch_add(1, SeqCst);
    for _ in 0..200 {
        away_done.store(false, SeqCst);
        pool.scope(|scope| {
            let task = scope.open_away(&away, 3, 1).unwrap();
            let rest = scope.open(&other, 2, 0).unwrap();
            // It helps, but not with that.
            while scope.help() {}
            while !scope.is_done(&task) {
                let done = scope.wait_any().unwrap();
                if done == rest.index() {
                    break;
                }
            }
            scope.wait(rest).unwrap();
            while !scope.is_done(&task) {
                assert_eq!(scope.wait_any(), Some(task.index()));
            }
            scope.wait(task).unwrap();
        });
    }
    let ran = ran.lock().unwrap();
    assert_eq!((ran.len(), other_ran.load(SeqCst)), (600, 400));
    assert!(!ran.contains(&thread::current().id()));
}

#[test]
fn without_workers_what_is_away_runs_here() {
    let mut pool = Pool::new(0).unwrap();
    let ran = AtomicU32::new(0);
    let away = |_: u32, _: &mut Lane| _ = ran.fetch_add(1, SeqCst);
    pool.scope(|scope| {
        let task = scope.open_away(&away, 2, 1).unwrap();
        assert_eq!(scope.wait_any(), Some(task.index()));
        scope.wait(task).unwrap();
    });
    assert_eq!(ran.load(SeqCst), 2);
}
