//! Opaque components in jobs: values are seen as copies, in every shape of a job, and come back as patches.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use peristyle_agents::Cluster;
use peristyle_jobs::{JobError, RustJob};
use peristyle_schedule::{Finding, Job, Mode, Options, ScheduleError, Scheduler, System};
use peristyle_world::{Component, Entity, World};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Item {
    Coin,
    Sword { edge: f64 },
    Note(String),
}

#[derive(Component, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[component(opaque)]
struct Bag {
    items: Vec<Item>,
    /// Beyond what a number of JavaScript can count.
    serial: u64,
    marks: BTreeMap<u32, bool>,
    owner: Option<String>,
    n: i32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Count {
    n: f32,
}

/// Says no to being serialised if it is negative, and counts how often it is asked.
#[derive(Component, Deserialize, Clone, Debug, PartialEq)]
#[component(opaque)]
struct Shy(i32);

static ASKED: AtomicUsize = AtomicUsize::new(0);

impl Serialize for Shy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ASKED.fetch_add(1, Relaxed);
        match self.0 {
            n if n < 0 => Err(serde::ser::Error::custom("too shy")),
            n => serializer.serialize_i32(n),
        }
    }
}

/// Never registered.
#[derive(Component, Debug)]
#[component(opaque)]
struct Secret;

fn bag(n: usize) -> Bag {
    let items = match n % 3 {
        0 => vec![Item::Coin, Item::Sword { edge: n as f64 / 2.0 }],
        1 => vec![Item::Note(format!("ünï \"{n}\" \u{1f600}"))],
        _ => Vec::new(),
    };
    Bag {
        items,
        serial: u64::MAX - n as u64,
        marks: [(n as u32, n.is_multiple_of(2))].into(),
        owner: n.is_multiple_of(5).then(|| format!("owner {n}")),
        n: n as i32,
    }
}

fn world(rows: usize) -> (World, Vec<Entity>) {
    let mut world = World::new().unwrap();
    world.register_serde::<Bag>();
    world.register_serde::<Shy>();
    let entities = (0..rows).map(|n| world.spawn((bag(n), Count { n: -1.0 })).unwrap()).collect();
    (world, entities)
}

fn scheduler(world: World, workers: usize, job: Job) -> Scheduler {
    let mode = if workers == 0 { Mode::Serial } else { Mode::Parallel };
    let options = Options { workers, mode, checks: None, ..Options::default() };
    let mut scheduler = Scheduler::new(world, options).unwrap();
    scheduler.add(System::new("bags").job(job)).unwrap();
    scheduler
}

#[track_caller]
fn frame(scheduler: &mut Scheduler) {
    let report = scheduler.run_frame(0.5, 0.0).unwrap();
    let (failures, refused) = (scheduler.take_failures(), scheduler.take_refused_patches());
    assert_eq!((report.failures, report.refused_patches), (0, 0), "{failures:?} {refused:?}");
}

fn js(source: &str) -> Job {
    Job::new(Cluster::new().unwrap().job_from_source("bags.ts", source).unwrap())
}

fn get(scheduler: &Scheduler, entity: Entity) -> Bag {
    scheduler.world().get::<Bag>(entity).unwrap().clone()
}

const READS: &str = "
    const look = (part: any, comps: any) => {
        const { values } = comps.Bag, { n } = comps.Count.fields;
        if (values.length !== part.rows || values !== comps.Bag.values) throw new Error('one list, one value a row');
        if (Object.keys(comps.Bag.fields).length !== 0 || comps.Bag.changed !== undefined) throw new Error('no columns');
        for (let i = 0; i < part.rows; i++) {
            const { items, serial, marks, owner } = values[i];
            if (serial + BigInt(values[i].n) !== 2n ** 64n - 1n) throw new Error(`serial ${serial}`);
            if (marks[values[i].n] !== (values[i].n % 2 === 0)) throw new Error('marks');
            if (owner !== (values[i].n % 5 === 0 ? `owner ${values[i].n}` : null)) throw new Error(`owner ${owner}`);
            if (items.length === 2 && items[0] === 'Coin') n[i] = items[1].Sword.edge * 2;
            else n[i] = items.length ? Number(items[0].Note.match(/ünï \"(\\d+)\" 😀/u)[1]) : values[i].n;
        }
        comps.Count.changed.fill(255);
    };
    export const handle = ({ snap }: any) => (snap.parts ?? [snap]).forEach((part: any) => look(part, part.comps));";

#[test]
fn values_are_those_of_the_rows_in_every_shape_on_one_lane_and_on_several() {
    // Some chunks, so that parts and staged wholes have something to do.
    const ROWS: usize = 40_000;
    let shapes: [fn(Job) -> Job; 4] = [|job| job, Job::parts, Job::whole, Job::atomic];
    for (shape, workers) in shapes.into_iter().flat_map(|shape| [(shape, 0), (shape, 2)]) {
        let (world, entities) = world(ROWS);
        let mut scheduler = scheduler(world, workers, shape(js(READS).reads::<Bag>().writes::<Count>()));
        (0..2).for_each(|_| frame(&mut scheduler));
        for (n, entity) in entities.iter().enumerate() {
            assert_eq!(scheduler.world().get::<Count>(*entity).unwrap().n, n as f32);
        }
    }
}

#[test]
fn what_a_patch_carries_back_is_what_was_seen_with_every_digit() {
    let (mut world, entities) = world(60);
    let source = "
        export const handle = ({ cols, eids, writes, extra }: any) => {
            if (writes.length !== 1 || writes[0] !== extra || cols[extra] !== cols.Bag) throw new Error('writes');
            return eids.map((eid: number, i: number) => {
                const value = cols.Bag[i];
                value.n = -value.n;
                value.items.push('Coin');
                return { kind: 'set', eid, cid: 'Bag', value };
            });
        };";
    let id = world.register::<Bag>().index();
    let mut scheduler = scheduler(world, 0, js(source).writes::<Bag>().extra(move |_| id));
    frame(&mut scheduler);
    for (n, entity) in entities.iter().enumerate() {
        let mut expected = bag(n);
        expected.n = -expected.n;
        expected.items.push(Item::Coin);
        assert_eq!(get(&scheduler, *entity), expected);
    }
}

#[test]
fn a_changed_copy_is_not_written_and_a_check_says_so() {
    let source = "
        export const handle = ({ snap, time }: any) => {
            const { values } = snap.comps.Bag;
            const patches = [];
            for (let i = 0; i < snap.rows; i++) {
                // One changes nothing, one goes deep and gives no patch, one gives its patch.
                const at = values[i].n;
                if (at === 7) values[i].items[0].Note += '!';
                if (at === 8) values[i] = { ...values[i] };
                if (at === 9) values[i].owner = 'me';
                if (at === 9) patches.push({ kind: 'set', eid: snap.entity(i), cid: 'Bag', value: values[i] });
            }
            return patches;
        };";
    for checks in [None, Some(3)] {
        for shape in [|job: Job| job, Job::whole] {
            let (world, entities) = world(1_000);
            let mut scheduler = scheduler(world, 0, shape(js(source).writes::<Bag>()));
            scheduler.set_checks(checks);
            frame(&mut scheduler);
            assert_eq!(get(&scheduler, entities[7]), bag(7));
            assert_eq!(get(&scheduler, entities[9]).owner.as_deref(), Some("me"));
            let reports = scheduler.take_check_reports();
            let Some(report) = reports.first() else {
                assert!(checks.is_none());
                continue;
            };
            assert_eq!(reports.len(), 1, "{reports:?}");
            assert_eq!(report.finding, Finding::ChangedValue { component: "Bag".into() });
            assert_eq!(report.entity, Some(entities[7]));
            assert!(report.to_string().contains("copy of the value of `Bag`"), "{report}");
        }
    }
}

#[test]
fn a_changed_filter_tells_which_values_are_new() {
    let (world, entities) = world(30_000);
    let source = "
        export const handle = ({ snap }: any) => {
            const { values, changed } = snap.comps.Bag, count = snap.comps.Count;
            for (let i = 0; i < snap.rows; i++) {
                if (!(changed[i >> 3] & (1 << (i & 7)))) continue;
                count.fields.n[i] = values[i].n;
                count.changed[i >> 3] |= 1 << (i & 7);
            }
        };";
    let mut scheduler = scheduler(world, 0, js(source).changed::<Bag>().writes::<Count>());
    frame(&mut scheduler);
    scheduler.world_mut().set(entities[20_000], Bag { n: -5, ..bag(0) }).unwrap();
    scheduler.world_mut().set(entities[20_001], Count { n: 99.0 }).unwrap();
    frame(&mut scheduler);
    let n = |row: usize| scheduler.world().get::<Count>(entities[row]).unwrap().n;
    assert_eq!([n(19_999), n(20_000), n(20_001)], [19_999.0, -5.0, 99.0]);
}

#[test]
fn an_atomic_call_that_fails_writes_nothing_of_either_kind() {
    let (world, entities) = world(100);
    let source = "
        export const handle = ({ snap, cols, eids }: any) => {
            snap.comps.Count.fields.n.fill(5);
            eids.forEach((eid: number, i: number) => { cols.Bag[i].n = 5; });
            return [{ kind: 'set', eid: eids[3], cid: 'Bag', value: cols.Bag[3] }, { kind: 'set', eid: eids[4], cid: 'Bag' }];
        };";
    let mut scheduler = scheduler(world, 0, js(source).writes::<Bag>().writes::<Count>().atomic());
    assert_eq!(scheduler.run_frame(0.5, 0.0).unwrap().failures, 1);
    let error = scheduler.take_failures().remove(0).error.to_string();
    assert!(error.contains("patches[1]") && error.contains("Bag"), "{error}");
    assert_eq!(get(&scheduler, entities[3]), bag(3));
    assert_eq!(scheduler.world().get::<Count>(entities[3]).unwrap().n, -1.0);
}

#[test]
fn what_cannot_be_serialised_fails_the_call_with_component_and_entity_and_what_nobody_asks_for_is_not_made() {
    let (mut world, entities) = world(50);
    for (n, entity) in entities.iter().enumerate() {
        world.insert(*entity, Shy(if n == 30 { -1 } else { n as i32 })).unwrap();
    }
    let unread = "export const handle = ({ snap }: any) => { if (snap.rows !== 50) throw new Error('rows'); };";
    let mut without = scheduler(world, 0, js(unread).reads::<Shy>().reads::<Bag>());
    frame(&mut without);
    assert_eq!(ASKED.load(Relaxed), 0);

    let expected = JobError::Value { component: "Shy".into(), entity: entities[30], message: "too shy".to_owned() };
    assert!(expected.to_string().contains(&format!("`Shy` of entity {}", entities[30])), "{expected}");
    // Also if the job catches it: it saw no whole snapshot.
    let asks = "export const handle = ({ snap }: any) => { snap.comps.Shy.values; };";
    let catches = "export const handle = ({ snap }: any) => { try { snap.comps.Shy.values; } catch {} };";
    let rust =
        RustJob::new("bags", |call| (0..call.rows()).try_for_each(|row| call.value::<i32>("Shy", row).map(drop)));
    let mut world = without.into_world();
    for job in [js(asks), js(catches), Job::new(rust)] {
        let mut scheduler = scheduler(world, 0, job.reads::<Shy>());
        assert_eq!(scheduler.run_frame(0.5, 0.0).unwrap().failures, 1);
        assert_eq!(scheduler.take_failures().remove(0).error, expected);
        world = scheduler.into_world();
    }
    assert!(ASKED.load(Relaxed) > 0);
}

#[test]
fn a_rust_job_reads_values_and_gives_patches() {
    let (world, entities) = world(20_000);
    let job = RustJob::new("bags", |call| {
        for row in 0..call.rows() {
            let mut bag: Bag = call.value("Bag", row)?;
            match bag.n % 4 {
                0 => {
                    bag.n = -bag.n;
                    call.set("Bag", call.entity(row), &bag)?;
                }
                1 => call.remove("Bag", call.entity(row))?,
                2 => call.add_packed("Count", call.entity(row), &2.0_f32.to_le_bytes())?,
                _ => call.destroy(call.entity(row))?,
            }
        }
        let wrong = call.value::<i32>("Bag", 0);
        assert!(matches!(wrong, Err(JobError::Value { component, .. }) if component == "Bag"));
        let columns = call.value::<f32>("Count", 0);
        assert!(columns.unwrap_err().to_string().contains("`Count` lies in columns"));
        assert!(call.value::<f32>("Nothing", 0).unwrap_err().to_string().contains("`Nothing` is not declared"));
        assert!(
            matches!(call.set_packed("Bag", Entity::new(0, 1), &[]), Ok(())),
            "declared: the world judges the value"
        );
        Ok(())
    });
    let job = Job::new(job).writes::<Bag>().writes::<Count>().despawns();
    let mut scheduler = scheduler(world, 2, job);
    let report = scheduler.run_frame(0.5, 0.0).unwrap();
    assert_eq!(report.failures, 0, "{:?}", scheduler.take_failures());
    let refused = scheduler.take_refused_patches();
    assert!(!refused.is_empty() && refused.iter().all(|refused| refused.error.to_string().contains("Bag")));
    for (n, entity) in entities.iter().enumerate() {
        let (bag, count) = (scheduler.world().get::<Bag>(*entity).ok(), scheduler.world().get::<Count>(*entity).ok());
        match n % 4 {
            0 => assert_eq!(bag.map(|bag| bag.n), Some(-(n as i32))),
            1 => assert!(bag.is_none() && count.is_some()),
            2 => assert_eq!(count, Some(Count { n: 2.0 })),
            _ => assert!(!scheduler.world().is_alive(*entity)),
        }
    }
}

#[test]
fn what_cannot_be_seen_is_refused_when_the_system_is_added() {
    let (mut world, _) = world(1);
    world.spawn((Secret,)).unwrap();
    let mut elsewhere = Scheduler::new(world, Options { workers: 0, ..Options::default() }).unwrap();
    let error = elsewhere.add(System::new("spies").job(js(READS).reads::<Secret>())).map(drop).unwrap_err();
    assert!(
        matches!(&error, ScheduleError::NoSerde { system, component } if system == "spies" && component == "Secret")
    );
    assert!(error.to_string().contains("`World::register_serde`"), "{error}");

    let cluster = Cluster::new().unwrap();
    let text = r#"(module (import "env" "memory" (memory 1 65536 shared))
        (global (export "__stack_pointer") (mut i32) (i32.const 0)) (func (export "handle") (param i32)))"#;
    // SAFETY: the module does nothing.
    let kernel = unsafe { cluster.kernel_from_bytes("bags.wasm", &wat::parse_str(text).unwrap()) }.unwrap();
    let mut world = World::on(cluster.memory(1 << 20).unwrap());
    world.register_serde::<Bag>();
    let mut scheduler = Scheduler::new(world, Options { workers: 0, ..Options::default() }).unwrap();
    let error = scheduler.add(System::new("kernel").job(Job::new(kernel).reads::<Bag>())).map(drop).unwrap_err();
    match &error {
        ScheduleError::OpaqueComponent { system, component, job } => {
            assert_eq!([system, component, job], ["kernel", "Bag", "bags.wasm"]);
        }
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains("reaches columns only"), "{error}");
}

#[test]
fn lists_belong_to_their_call() {
    let (world, _) = world(10);
    let source = "
        let kept: any, snaps: any;
        export const handle = async ({ snap }: any) => {
            const { values } = snap.comps.Bag;
            await null;
            if (values !== snap.comps.Bag.values) throw new Error('made twice in a call');
            if (kept === values || (kept && kept[0].n !== 'mine')) throw new Error('a kept list is another, and stays');
            if (values[0].n === 'mine') throw new Error('what was done to a copy is seen again');
            values[0].n = 'mine';
            kept = values;
        };";
    let mut scheduler = scheduler(world, 0, js(source).reads::<Bag>());
    (0..3).for_each(|_| frame(&mut scheduler));
}
