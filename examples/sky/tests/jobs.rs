//! The TypeScript job on the world's own memory, through the public scheduler, on real flights.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use peristyle_agents::Cluster;
use peristyle_sky::{JobKind, Position, Simulation, SkyConfig};
use peristyle_timeline::Timeline;
use support::{config, loaded, positions, simulation};

fn job_file(name: &str, source: &str) -> JobKind {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}.job.ts", std::process::id()));
    fs::write(&path, source).unwrap();
    JobKind::Path(path)
}

#[test]
fn rust_and_typescript_agree_to_a_thousandth_of_a_degree() {
    // 13:40 is the peak; 23:59 lets a tick cross midnight.
    for start_seconds in [13 * 3_600 + 40 * 60, 23 * 3_600 + 59 * 60 + 50] {
        let start = |job| simulation(&SkyConfig { start_seconds, ..config(job) });
        let (mut rust, mut ts) = (start(JobKind::Rust), start(JobKind::Ts));
        for tick in 1..=4 {
            let (a, b) = (rust.tick(tick).unwrap(), ts.tick(tick).unwrap());
            assert_eq!((b.failures, a.rows, a.despawned), (0, b.rows, b.despawned), "tick {tick}: who has arrived");
        }
        let (rust, ts) = (positions(&mut rust), positions(&mut ts));
        assert_eq!(rust.len(), ts.len());
        let apart = |a: f32, b: f32, around: f32| ((a - b).abs()).min((around - (a - b).abs()).abs());
        for (row, (a, b)) in rust.iter().zip(&ts).enumerate() {
            let most = apart(a.latitude, b.latitude, f32::INFINITY)
                .max(apart(a.longitude, b.longitude, 360.0))
                .max(apart(a.heading, b.heading, 360.0));
            assert!(most <= 0.001, "row {row}: {a:?} and {b:?}");
            assert!((a.progress - b.progress).abs() < 1e-6, "row {row}: {a:?} and {b:?}");
        }
    }
}

#[test]
fn any_number_of_workers_gives_the_same_world() {
    let run = |workers| {
        let mut sky = simulation(&SkyConfig { workers: Some(workers), start_seconds: 36_000, ..config(JobKind::Ts) });
        (1..=30).for_each(|tick| assert_eq!(sky.tick(tick).unwrap().failures, 0));
        let mut query = sky.world_mut().query::<(peristyle_world::Entity, &Position)>();
        query.iter(sky.world()).map(|(entity, position)| (entity, format!("{position:?}"))).collect::<Vec<_>>()
    };
    let one = run(1);
    assert!(one.len() > 100_000);
    assert!(one == run(3), "ids, rows and values are the same");
}

/// The job writes a value and then logs; the log's sink is Rust code that runs meanwhile, on the same thread. It reads
/// the value at the address that Rust knew before the frame, and answers by writing there; the job sees the answer.
#[test]
fn the_address_that_javascript_writes_is_the_address_that_rust_reads() {
    let job = job_file(
        "address",
        "export function handle({ snap }) {
           const { latitude, longitude } = snap.comps.Position.fields;
           if (latitude[0] !== 1.5) return; // Not the range that starts with the table's first row.
           latitude[0] = 12345;
           console.log('written');
           longitude[0] = latitude[0];
         }",
    );
    let cluster = Cluster::new().unwrap();
    let address = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(Mutex::new(Vec::new()));
    cluster.set_console({
        let (address, seen) = (address.clone(), seen.clone());
        move |_, _| {
            let at = address.load(Ordering::Relaxed) as *mut f32;
            // SAFETY: the column lives in the simulation's world, which outlives the frame; the job that is lent it is
            // waiting for this call, on this thread.
            unsafe {
                seen.lock().unwrap().push(at.read_volatile());
                at.write_volatile(54321.0);
            }
        }
    });
    let config = SkyConfig { start_seconds: 43_200, ..config(job) };
    let mut sky = Simulation::with_cluster(&config, loaded(), Timeline::off(), &cluster).unwrap();
    let mut query = sky.world_mut().query::<&mut Position>();
    let mut first = 0;
    query.for_each_chunk(sky.world_mut(), |position| {
        if first == 0 {
            position.latitude[0] = 1.5;
            first = position.latitude.as_ptr() as usize;
        }
    });
    address.store(first, Ordering::Relaxed);
    let frame = sky.tick(1).unwrap();
    assert_eq!((frame.failures, frame.bytes_copied), (0, 0));
    assert_eq!(*seen.lock().unwrap(), [12345.0], "Rust reads what the job wrote, while the job runs");
    let row = positions(&mut sky)[0];
    assert_eq!((row.latitude, row.longitude), (54321.0, 54321.0), "the job reads what Rust wrote, while it runs");
}

#[test]
fn what_a_job_keeps_is_empty_and_what_it_did_not_declare_is_not_there() {
    let job = job_file(
        "keeps",
        "let kept;
         export function handle({ snap }) {
           const lost = kept === undefined || kept.every((view) => view.length === 0);
           const { Flight, Position } = snap.comps;
           kept = [Flight.fields.departs, Position.fields.latitude, Position.changed, snap.res.Airport.x];
           const full = kept.every((view) => view.length > 0);
           const others = Object.keys(snap.comps).filter((key) => isNaN(+key)).sort().join();
           const reach = new Float32Array(Position.fields.latitude.buffer).length;
           if (!lost || !full || others !== 'Flight,Position,Route' || reach !== snap.rows || snap.res.Timetable)
             throw new Error(JSON.stringify({ lost, full, others, reach, rows: snap.rows }));
           Position.fields.progress[0] = 7;
         }",
    );
    let mut sky = simulation(&SkyConfig { start_seconds: 43_200, ..config(job) });
    for tick in 1..=3 {
        let frame = sky.tick(tick).unwrap();
        assert_eq!(frame.failures, 0, "{:?}", sky.take_failures());
    }
    assert_eq!(positions(&mut sky)[0].progress, 7.0);
}

#[test]
fn a_job_that_throws_fails_its_range_and_the_frame_goes_on() {
    let job = job_file(
        "throws",
        "export function handle({ snap }) {
           snap.comps.Position.fields.heading[0] = 500;
           throw new RangeError('no fuel');
         }",
    );
    let mut sky = simulation(&SkyConfig { start_seconds: 43_200, ..config(job) });
    let frame = sky.tick(1).unwrap();
    assert!(frame.failures > 0);
    let failure = sky.take_failures()[0].to_string();
    assert!(failure.contains("RangeError: no fuel") && failure.contains("throws.job.ts:3:"), "{failure}");
    assert_eq!(positions(&mut sky)[0].heading, 500.0, "what it wrote stays");
    assert!(sky.tick(2).is_ok());
}

#[test]
fn a_job_that_cannot_be_loaded_says_why_and_where() {
    let refused = |job: JobKind| {
        let config = config(job);
        Simulation::new(&config, loaded(), Timeline::off()).map(|_| ()).unwrap_err().to_string()
    };
    let syntax = refused(job_file("syntax", "export function handle() {\n  const x: number = ;\n}"));
    assert!(syntax.contains("syntax.job.ts:2:21"), "{syntax}");
    let exports = refused(job_file("exports", "export const other = 1;"));
    assert!(exports.contains("handle") && exports.contains("exports.job.ts"), "{exports}");
    let missing = refused(JobKind::Path(PathBuf::from("nowhere.job.ts")));
    assert!(missing.contains("nowhere.job.ts"), "{missing}");
}

#[test]
fn a_memory_that_is_too_small_is_an_error_that_names_it() {
    let config = SkyConfig { memory_bytes_max: Some(8 << 20), ..config(JobKind::Rust) };
    let error = Simulation::new(&config, loaded(), Timeline::off()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("out of memory") && error.contains("8388608"), "{error}");
    // Enough for the timetable, not for the peak: the run ends with an error, and no panic.
    let config = SkyConfig { memory_bytes_max: Some(66 << 20), speed: 8_640.0, ..config };
    let mut sky = simulation(&config);
    let error = (1..=600).find_map(|tick| sky.tick(tick).err()).expect("the memory does not hold the peak");
    assert!(error.to_string().contains("out of memory"), "{error}");
    assert_eq!(sky.spawned() - sky.despawned(), sky.airborne(), "the books balance even so");
}
