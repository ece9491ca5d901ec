//! What a call is lent, and that it is taken back.

mod support;

use peristyle_agents::Cluster;
use peristyle_jobs::Access::{Read, Write};
use peristyle_jobs::{JobError, JobRunner};
use peristyle_layout::Scalar;
use support::{Files, World, job_of, on_lane, run_once, threw};

const MOVE: &str = "
    type Fields = Record<string, Float32Array>;
    export function handle({ snap, dt }: { snap: any, dt: number }): void {
      const pos: Fields = snap.comps.Position.fields;
      const vel: Fields = snap.comps[7].fields;
      for (let i = 0; i < snap.rows; i++) pos.x[i] += vel.x[i] * dt;
    }";

fn moving(rows: usize) -> World {
    let mut world = World::new(rows).component(3, "Position", Write, &[("x", Scalar::F32)]).component(
        7,
        "Velocity",
        Read,
        &[("x", Scalar::F32)],
    );
    world.columns[0].get_mut::<f32>().iter_mut().enumerate().for_each(|(at, x)| *x = at as f32);
    world.columns[1].get_mut::<f32>().fill(4.0);
    world
}

#[test]
fn a_job_writes_the_memory_that_rust_reads() {
    let (_files, _cluster, job) = job_of(MOVE);
    let job = job.unwrap();
    let mut world = moving(1000);
    let before = world.columns[0].get::<f32>().as_ptr();
    on_lane(|lane| world.run(lane, &job)).unwrap();
    assert_eq!(world.columns[0].get::<f32>().as_ptr(), before);
    for (at, x) in world.columns[0].get::<f32>().iter().enumerate() {
        assert_eq!(*x, at as f32 + 2.0);
    }
}

#[test]
fn only_the_rows_of_the_call_are_lent() {
    let (_files, _cluster, job) = job_of(
        "export function handle({ snap }) {
           const x = snap.comps.Position.fields.x;
           if (x.length !== 512 || x.byteOffset !== 0 || x.buffer.byteLength !== 512 * 4) throw new Error(`${x.length}`);
           x.fill(-1);
           x[512] = -1;
           new Float32Array(x.buffer).fill(-1);
         }",
    );
    let job = job.unwrap();
    let mut world = moving(2048);
    on_lane(|lane| world.run_rows(lane, &job, 512, 512)).unwrap();
    for (at, x) in world.columns[0].get::<f32>().iter().enumerate() {
        assert_eq!(*x, if (512..1024).contains(&at) { -1.0 } else { at as f32 });
    }
}

#[test]
fn a_view_kept_by_a_job_is_empty_in_the_next_call() {
    let text = "
        let kept;
        export function handle({ snap }) {
          const { x } = snap.comps.Position.fields;
          if (kept) {
            if (kept.x.length !== 0 || kept.x[0] !== undefined || kept.buffer.byteLength !== 0) throw new Error('lent');
            if (!kept.buffer.detached || kept.changed.length !== 0 || kept.eids.length !== 0) throw new Error('attached');
            kept.x[0] = 99;
            let fill;
            try { kept.x.fill(99); } catch (error) { fill = error; }
            if (!(fill instanceof TypeError)) throw new Error('fill');
            let again;
            try { new Float32Array(kept.buffer); } catch (error) { again = error; }
            if (!(again instanceof TypeError)) throw new Error('again');
          }
          kept = { x, buffer: x.buffer, changed: snap.comps.Position.changed, eids: snap.eids };
          x[1] = 5;
          if (kept.x.length !== snap.rows) throw new Error('own call');
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    let (mut one, mut two) = (moving(64), moving(128));
    on_lane(|lane| {
        one.run(lane, &job).unwrap();
        two.run(lane, &job).unwrap();
        one.run(lane, &job).unwrap();
    });
    assert_eq!(one.columns[0].get::<f32>()[..2], [0.0, 5.0]);
    assert_eq!(two.columns[0].get::<f32>()[..2], [0.0, 5.0]);
}

#[test]
fn a_buffer_that_a_job_transferred_is_a_copy() {
    let text = "
        let taken;
        export function handle({ snap }) {
          if (taken) {
            if (taken.byteLength === 0) throw new Error('a copy is the job\\'s own');
            new Float32Array(taken).fill(77);
            return;
          }
          const { x } = snap.comps.Position.fields;
          taken = x.buffer.transfer();
          if (x.length !== 0) throw new Error('not detached');
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    let mut world = moving(64);
    on_lane(|lane| {
        world.run(lane, &job).unwrap();
        world.run(lane, &job).unwrap();
    });
    assert!(world.columns[0].get::<f32>().iter().enumerate().all(|(at, x)| *x == at as f32));
}

#[test]
fn views_are_taken_back_after_a_throw_and_after_a_stop() {
    let text = "
        let kept, count = 0;
        export function handle({ snap }) {
          if (kept && kept.length !== 0) throw new Error('lent');
          kept = snap.comps.Position.fields.x;
          kept[0] = ++count;
          if (count === 1) throw new RangeError('first');
          if (count === 2) for (;;) { Promise.resolve().then(() => { kept[0] = 1000; }); if (!kept.length) break; }
        }";
    let files = Files::with(&[("test.job.ts", text)]);
    let limits = peristyle_agents::Limits { call_time: Some(std::time::Duration::from_secs(1)), ..Default::default() };
    let cluster = Cluster::with_limits(limits).unwrap();
    let job = cluster.job(files.path("test.job.ts")).unwrap();
    let mut world = moving(64);
    on_lane(|lane| {
        job.prepare(lane).unwrap();
        assert_eq!(threw(world.run(lane, &job)).0, "RangeError");
        assert_eq!(world.columns[0].get::<f32>()[0], 1.0, "what it wrote stays");
        assert!(matches!(world.run(lane, &job), Err(JobError::Terminated(_))));
        assert_eq!(world.columns[0].get::<f32>()[0], 2.0);
        world.run(lane, &job).unwrap();
        assert_eq!(world.columns[0].get::<f32>()[0], 3.0, "microtasks of a stopped call are gone");
    });
}

#[test]
fn undeclared_columns_cannot_be_reached() {
    let text = "
        export function handle({ snap }) {
          const names = Object.keys(snap.comps).join();
          if (names !== '3,7,Position,Velocity') throw new Error(names);
          if (snap.comps.Secret !== undefined || snap.comps[1] !== undefined || snap.res.Secret !== undefined) throw 1;
          const fields = Object.keys(snap.comps.Position.fields).join();
          if (fields !== 'x') throw new Error(fields);
          const buffers = new Set([snap.comps[3].fields.x.buffer, snap.comps[7].fields.x.buffer,
                                   snap.comps[3].changed.buffer, snap.eids.buffer]);
          if (buffers.size !== 4) throw new Error('shared buffers');
          if (snap.comps[7].changed !== undefined || snap.despawn !== undefined) throw new Error('bits');
          if (snap.shared !== false) throw new Error('shared');
        }";
    run_once(text, &mut moving(100)).unwrap();
}

#[test]
fn a_job_cannot_replace_what_holds_its_columns() {
    let text = "
        let calls = 0;
        export function handle({ snap }) {
          if (++calls === 1) {
            for (const break_ of [
              () => { snap.comps = {}; }, () => { snap.comps.Position = 1; }, () => { snap.comps[3].fields = {}; },
              () => { delete snap.res; }, () => { snap.more = 1; }, () => { snap.entity = 1; },
              () => { snap.comps.Position.fields.y = 1; }, () => { delete snap.comps.Position.fields.x; },
            ]) {
              let thrown;
              try { break_(); } catch (error) { thrown = error; }
              if (!(thrown instanceof TypeError)) throw new Error(String(break_));
            }
            snap.rows = 3;
            snap.comps.Position.fields.x = 4;
          } else if (snap.rows !== 100 || snap.comps.Position.fields.x.length !== 100) throw new Error('kept');
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    let mut world = moving(100);
    on_lane(|lane| {
        world.run(lane, &job).unwrap();
        world.run(lane, &job).unwrap();
    });
}

#[test]
fn changed_and_despawn_bits_reach_rust() {
    let text = "
        export function handle({ snap }) {
          const { changed } = snap.comps.Position;
          for (const i of [0, 9, 511]) changed[i >> 3] |= 1 << (i & 7);
          snap.despawn[100 >> 3] |= 1 << (100 & 7);
          if (changed.length !== 64 || snap.despawn.length !== 64) throw new Error('length');
          const seen = snap.comps.Velocity.changed;
          if (seen[1] !== 0b10) throw new Error('the bits of a filter');
        }";
    let mut world = moving(1024).despawns();
    let mut filter = support::Column::new(Scalar::U8, 1024 / 8);
    filter.get_mut::<u8>()[64 + 1] = 0b10;
    world.changed[1] = Some(filter);
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    on_lane(|lane| world.run_rows(lane, &job, 512, 512)).unwrap();
    let set = |bits: &[u8]| (0..1024).filter(|i| bits[i >> 3] & 1 << (i & 7) != 0).collect::<Vec<usize>>();
    assert_eq!(set(world.changed[0].as_ref().unwrap().get()), [512, 521, 1023]);
    assert_eq!(set(world.despawn.as_ref().unwrap().get()), [612]);
}

#[test]
fn every_scalar_is_its_typed_array() {
    let text = "
        export function handle({ snap }) {
          const { fields } = snap.comps.All;
          const names = Object.entries(fields).map(([name, array]) => `${name}:${array.constructor.name}`).join();
          const want = 'f32:Float32Array,f64:Float64Array,i8:Int8Array,u8:Uint8Array,i16:Int16Array,u16:Uint16Array,' +
            'i32:Int32Array,u32:Uint32Array,i64:BigInt64Array,u64:BigUint64Array,bool:Uint8Array';
          if (names !== want) throw new Error(names);
          for (const name in fields) {
            const big = name === 'i64' || name === 'u64';
            fields[name][0] = big ? -2n : name === 'bool' ? 1 : -2.5;
            if (fields[name][1] !== (big ? 7n : 7)) throw new Error(`${name}: ${fields[name][1]}`);
          }
        }";
    let fields: Vec<_> = Scalar::ALL.iter().map(|scalar| (scalar.name(), *scalar)).collect();
    let mut world = World::new(5).component(1, "All", Write, &fields);
    macro_rules! seven { ($($at:literal $element:ty)*) => { $(world.columns[$at].get_mut::<$element>()[1] = 7 as $element;)* } }
    seven!(0 f32 1 f64 2 i8 3 u8 4 i16 5 u16 6 i32 7 u32 8 i64 9 u64 10 u8);
    run_once(text, &mut world).unwrap();
    assert_eq!(world.columns[0].get::<f32>()[0], -2.5);
    assert_eq!(world.columns[1].get::<f64>()[0], -2.5);
    assert_eq!(world.columns[2].get::<i8>()[0], -2);
    assert_eq!(world.columns[3].get::<u8>()[0], 254);
    assert_eq!(world.columns[4].get::<i16>()[0], -2);
    assert_eq!(world.columns[5].get::<u16>()[0], 65534);
    assert_eq!(world.columns[6].get::<i32>()[0], -2);
    assert_eq!(world.columns[7].get::<u32>()[0], u32::MAX - 1);
    assert_eq!(world.columns[8].get::<i64>()[0], -2);
    assert_eq!(world.columns[9].get::<u64>()[0], u64::MAX - 1);
    assert_eq!(world.columns[10].get::<u8>()[0], 1);
}

#[test]
fn resources_are_lent_too_also_when_empty() {
    let text = "
        let kept;
        export function handle({ snap }) {
          const { lat } = snap.res['all airports'];
          if (lat.length !== 3 || lat[2] !== 1.5) throw new Error(`${lat}`);
          if (kept && kept.length !== 0) throw new Error('lent');
          kept = lat;
          const { none } = snap.res.__proto__;
          if (none.length !== 0) throw new Error('none');
          snap.comps.P.fields.x[0] = lat[2];
        }";
    let mut world = World::new(8)
        .component(0, "P", Write, &[("x", Scalar::F64)])
        .resource("all airports", 3, &[("lat", Scalar::F64)])
        .resource("__proto__", 0, &[("none", Scalar::I64)]);
    world.resources[0].get_mut::<f64>()[2] = 1.5;
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    on_lane(|lane| {
        world.run(lane, &job).unwrap();
        world.run(lane, &job).unwrap();
    });
    assert_eq!(world.columns[0].get::<f64>()[0], 1.5);
}

#[test]
fn a_call_without_rows_or_components_runs() {
    run_once(
        "export default ({ snap }) => { if (snap.rows !== 0 || snap.eids.length !== 0) throw 1; }",
        &mut World::new(0),
    )
    .unwrap();
    let mut world = World::new(0).component(1, "P", Write, &[("x", Scalar::F32), ("b", Scalar::U64)]).despawns();
    run_once("export default ({ snap }) => { if (snap.comps.P.fields.b.length) throw 1; }", &mut world).unwrap();
}

#[test]
fn entities_are_told_and_their_indices_are_a_copy() {
    let text = "
        export function handle({ snap, dt, time }) {
          if (dt !== 0.5 || time !== 2) throw new Error('time');
          const { eids, entity } = snap;
          if (!(eids instanceof Int32Array) || eids.length !== 64 || eids[3] !== 167) throw new Error(`${eids[3]}`);
          if (snap.eids !== eids) throw new Error('made once a call');
          const { handle } = snap.comps.Handle.fields;
          for (let i = 0; i < snap.rows; i++) handle[i] = entity(i);
          eids.fill(0);
          if (snap.entity(0) !== handle[0] || entity(1.0) !== handle[1]) throw new Error('fill');
          for (const row of [-1, 64, 0.5, NaN, undefined, '1', 2 ** 40, -0.5, {}]) {
            let thrown;
            try { entity(row); } catch (error) { thrown = error; }
            if (!(thrown instanceof RangeError)) throw new Error(`${row}`);
          }
          globalThis.late = entity;
        }";
    let (files, cluster, job) = job_of(text);
    let job = job.unwrap();
    let mut world = World::new(128).component(1, "Handle", Write, &[("handle", Scalar::F64)]);
    on_lane(|lane| world.run_rows(lane, &job, 64, 64)).unwrap();
    for (at, handle) in world.columns[0].get::<f64>()[64..].iter().enumerate() {
        let index = 164 + at as u32;
        assert_eq!(*handle, peristyle_layout::Entity::new(index, index + 1).to_f64());
    }
    assert_eq!(world.eids.get::<u32>()[64], 164);
    let late = files.write("late.ts", "export default () => 1; if (globalThis.late) globalThis.late(0);");
    assert!(cluster.job(late).is_ok());
}

#[test]
fn extra_is_parsed_once_per_version_and_frozen() {
    let text = "
        let kept, calls = 0;
        export function handle({ snap, extra }) {
          const out = snap.comps.Out.fields.x;
          out[0] = extra === undefined ? -1 : extra.list[1].deep;
          out[1] = kept === extra ? 1 : 0;
          kept = extra;
          if (extra) for (const write of [() => { extra.a = 1; }, () => { extra.list.push(1); }, () => { extra.list[1].deep = 9; }]) {
            let thrown;
            try { write(); } catch (error) { thrown = error; }
            if (!(thrown instanceof TypeError)) throw new Error('not frozen');
          }
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    let mut world = World::new(2).component(1, "Out", Write, &[("x", Scalar::F32)]);
    let step = |world: &mut World, extra: Option<(&str, u64)>, want: [f32; 2], lane: &mut _| {
        world.extra = extra.map(|(json, version)| (json.into(), version));
        world.run(lane, &job).unwrap();
        assert_eq!(world.columns[0].get::<f32>(), want);
    };
    on_lane(|lane| {
        step(&mut world, None, [-1.0, 1.0], lane);
        step(&mut world, Some((r#"{"list":[0,{"deep":4}],"ü":"€"}"#, 1)), [4.0, 0.0], lane);
        step(&mut world, Some((r#"{"list":[0,{"deep":4}],"ü":"€"}"#, 1)), [4.0, 1.0], lane);
        step(&mut world, Some((r#"{"list":[0,{"deep":5}]}"#, 2)), [5.0, 0.0], lane);
        // Another system's value of the same version.
        step(&mut world, Some((r#"{"list":[0,{"deep":6}]}"#, 2)), [6.0, 0.0], lane);
        step(&mut world, None, [-1.0, 0.0], lane);
        world.extra = Some(("{".into(), 3));
        let (name, message, _) = threw(world.run(lane, &job));
        assert_eq!(name, "SyntaxError");
        assert!(message.starts_with("extra: "), "{message}");
    });
}

#[test]
fn one_job_serves_several_shapes() {
    let text = "export function handle({ snap }) { for (const id in snap.comps) for (const array of Object.values(snap.comps[id].fields)) array[0]++; }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    on_lane(|lane| {
        for _ in 0..3 {
            let mut one = World::new(1).component(1, "A", Write, &[("x", Scalar::F32)]);
            let mut two = World::new(1).component(1, "A", Write, &[("x", Scalar::F64), ("y", Scalar::I8)]);
            one.run(lane, &job).unwrap();
            two.run(lane, &job).unwrap();
            assert_eq!(one.columns[0].get::<f32>()[0], 2.0, "by number and by name");
            assert_eq!(two.columns[1].get::<i8>()[0], 2);
        }
    });
}
