//! Jobs that get all chunks in one call.

mod support;

use peristyle_jobs::Access::{Read, Write};
use peristyle_jobs::{JobError, JobRunner};
use peristyle_layout::Scalar;
use support::{World, job_of, on_lane, threw};

fn world(rows: usize) -> World {
    let mut world = World::new(rows)
        .component(3, "Position", Write, &[("x", Scalar::F32)])
        .component(7, "Velocity", Read, &[("x", Scalar::F32), ("y", Scalar::F64)])
        .resource("Wind", 2, &[("speed", Scalar::F32)])
        .despawns();
    world.columns[0].get_mut::<f32>().iter_mut().enumerate().for_each(|(at, x)| *x = at as f32);
    world.columns[1].get_mut::<f32>().fill(4.0);
    world
}

#[test]
fn a_job_gets_a_part_for_each_chunk_where_it_lies() {
    let text = "
        type Part = { rows: number, eids: Int32Array, comps: any, despawn: Uint8Array, entity(row: number): number };
        export function handle({ snap, dt, extra }: { snap: { rows: number, parts: Part[], res: any }, dt: number, extra: any }) {
          if (snap.rows !== 1000 || snap.parts.length !== 3) throw new Error(`${snap.rows} in ${snap.parts.length}`);
          if (snap.parts.map((part) => part.rows).join() !== '640,64,296') throw new Error('rows');
          let sum = 0;
          for (const part of snap.parts) for (const x of part.comps.Position.fields.x) sum += x;
          let first = 0;
          for (const { rows, eids, comps, despawn, entity } of snap.parts) {
            const { fields: { x }, changed } = comps[3], v = comps.Velocity.fields;
            if (x.length !== rows || x.byteOffset !== 0 || v.y.length !== rows || eids.length !== rows) throw new Error('length');
            if (eids[0] !== 100 + first || eids[rows - 1] !== 100 + first + rows - 1) throw new Error('eids');
            if (entity(1) % 2 ** 32 !== eids[1]) throw new Error('entity');
            for (let row = 0; row < rows; row++) x[row] = sum + v.x[row] * dt + snap.res.Wind.speed[1] + extra.add;
            changed[0] |= 1 << 1;
            despawn[0] |= 1 << 2;
            first += rows;
          }
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    assert!(job.takes_parts());
    let mut world = world(1000).with_extra("{\"add\":3}");
    world.resources[0].get_mut::<f32>()[1] = 0.5;
    on_lane(|lane| world.run_parts(lane, &job, &[0, 640, 704])).unwrap();
    let sum = (999 * 1000 / 2) as f32 + 4.0 * 0.5 + 0.5 + 3.0;
    assert!(world.columns[0].get::<f32>().iter().all(|x| *x == sum));
    for (bits, bit) in [(world.changed[0].as_ref().unwrap(), 1), (world.despawn.as_ref().unwrap(), 2)] {
        let set: Vec<usize> = (0..1024).filter(|row| bits.get::<u8>()[row / 8] >> (row % 8) & 1 != 0).collect();
        assert_eq!(set, [bit, 640 + bit, 704 + bit]);
    }
}

#[test]
fn more_or_fewer_parts_than_before_and_what_a_job_keeps_is_empty() {
    let text = "
        let kept = [];
        export function handle({ snap }) {
          for (const { x, eids, part } of kept) {
            if (x.length !== 0 || eids.length !== 0) throw new Error('lent');
            if (snap.parts.includes(part) && part.comps.Position.fields.x.length !== part.rows) throw new Error('stale');
          }
          kept = snap.parts.map((part) => ({ x: part.comps.Position.fields.x, eids: part.eids, part }));
          let rows = 0;
          for (const { x } of kept) { x.fill(snap.parts.length); rows += x.length; }
          if (rows !== snap.rows) throw new Error('rows');
          try { snap.parts.push(1); } catch (error) { return; }
          throw new Error('pushed');
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    let mut world = world(640);
    on_lane(|lane| {
        for firsts in [&[0][..], &[0, 64, 128, 192], &[0, 320], &[0, 64, 128, 192, 256, 320], &[0]] {
            world.run_parts(lane, &job, firsts).unwrap();
            assert!(world.columns[0].get::<f32>().iter().all(|x| *x == firsts.len() as f32));
        }
    });
}

#[test]
fn one_job_runs_on_ranges_and_on_parts() {
    let text = "
        export function handle({ snap }) {
          for (const part of snap.parts ?? [snap]) part.comps.Position.fields.x[0] = snap.parts ? -1 : -2;
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    let mut world = world(128);
    let firsts = || (world.columns[0].get::<f32>()[0], world.columns[0].get::<f32>()[64]);
    assert_eq!(firsts(), (0.0, 64.0));
    on_lane(|lane| {
        world.run_parts(lane, &job, &[0, 64]).unwrap();
        assert_eq!((world.columns[0].get::<f32>()[0], world.columns[0].get::<f32>()[64]), (-1.0, -1.0));
        world.run(lane, &job).unwrap();
        assert_eq!((world.columns[0].get::<f32>()[0], world.columns[0].get::<f32>()[64]), (-2.0, -1.0));
    });
}

#[test]
fn a_call_of_parts_that_throws_or_waits_for_nothing_fails_and_is_taken_back() {
    let text = "
        let calls = 0, kept;
        export async function handle({ snap }) {
          if (kept && kept.length !== 0) throw new Error('lent');
          kept = snap.parts[1].comps.Position.fields.x;
          kept[0] = ++calls;
          await null;
          if (calls === 1) throw new RangeError('first');
          if (calls === 2) await new Promise(() => {});
          if (calls === 3) snap.parts[1].entity(64);
          kept[0] = 100;
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    let mut world = world(128);
    on_lane(|lane| {
        let error = threw(world.run_parts(lane, &job, &[0, 64]));
        assert_eq!((error.0.as_str(), error.1.as_str()), ("RangeError", "first"));
        let pending: JobError = world.run_parts(lane, &job, &[0, 64]).unwrap_err();
        assert!(
            pending.to_string().contains("handle returned a promise that nothing in this call settles"),
            "{pending}"
        );
        let error = threw(world.run_parts(lane, &job, &[0, 64]));
        assert_eq!(error.1, "snap.entity: no such row in this call");
        assert_eq!(world.columns[0].get::<f32>()[64], 3.0, "what it wrote stays");
        world.run_parts(lane, &job, &[0, 64]).unwrap();
        assert_eq!(world.columns[0].get::<f32>()[64], 100.0);
    });
}

/// What could settle a promise from outside of the call: nothing that a job has.
#[test]
fn a_job_has_nothing_that_settles_a_promise_later() {
    let text = "
        export function handle({ snap }) {
          const names = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'requestAnimationFrame', 'fetch',
            'MessageChannel', 'Worker', 'XMLHttpRequest'];
          const has = names.filter((name) => typeof globalThis[name] !== 'undefined');
          if (typeof Atomics !== 'undefined' && Atomics.waitAsync) has.push('Atomics.waitAsync');
          throw new Error(has.join());
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    let mut world = world(64);
    let (_, has, _) = on_lane(|lane| threw(world.run(lane, &job)));
    assert_eq!(has, "");
}
