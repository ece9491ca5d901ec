//! Patches that a job returns, and the lists of the older contract.

mod support;

use peristyle_jobs::Access;
use peristyle_layout::{Field, PatchBytes, PatchKind, Scalar};
use support::*;

const POS: &[(&str, Scalar)] = &[("x", Scalar::F32), ("y", Scalar::F32)];

fn every_scalar() -> Vec<Field> {
    let mut fields: Vec<_> = Scalar::ALL.iter().map(|scalar| Field::new(format!("a_{scalar}"), *scalar)).collect();
    fields.push(Field::entity("a_entity"));
    fields
}

fn world(rows: usize) -> World {
    World::new(rows)
        .component(7, "Pos", Access::Write, POS)
        .component(8, "Vel", Access::Read, POS)
        .patches(20, "All", &every_scalar(), false)
        .patches(21, "Note", &[], true)
        .patches(22, "Health", &[Field::new("value", Scalar::U8)], false)
        .patches(23, "Tag", &[], false)
        .patches(24, "Pair", &[Field::new("values_0", Scalar::I16), Field::new("values_1", Scalar::I16)], false)
        .despawns()
}

/// The patches as text.
fn given(world: &World) -> Vec<String> {
    let shown = world.patches.iter().map(|patch| {
        let value = match patch.value {
            PatchBytes::None => String::new(),
            PatchBytes::Packed(bytes) => format!(" {bytes:?}"),
            PatchBytes::Text(text) => format!(" {text}"),
        };
        format!("{} {} {}{value}", patch.kind, patch.entity, patch.component)
    });
    shown.collect()
}

#[test]
fn a_job_of_the_older_contract_sees_lists_and_returns_patches() {
    let mut world = world(100).with_extra(r#"{ "POS": 7, "VEL": 8 }"#);
    for (i, column) in world.columns.iter_mut().enumerate() {
        column.get_mut::<f32>().iter_mut().enumerate().for_each(|(row, x)| *x = (row * (i + 1)) as f32);
    }
    let text = "
        export function handle({ eids, cols, dt, extra, writes }) {
            if (writes.length !== 1 || writes[0] !== 7 || cols.Pos !== cols[7]) throw new Error('writes or names');
            return eids.flatMap((eid, i) => {
                const p = cols[extra.POS][i], v = cols[extra.VEL][i];
                return i % 2 ? [{ kind: 'set', eid, cid: extra.POS, value: { x: p.x + v.x * dt, y: p.y + v.y * dt } }] : [];
            });
        }";
    run_once(text, &mut world).unwrap();
    let patches: Vec<_> = world.patches.iter().collect();
    assert_eq!(patches.len(), 50);
    for (n, patch) in patches.iter().enumerate() {
        let row = 2 * n + 1;
        assert_eq!((patch.kind, patch.component), (PatchKind::Set, 7));
        assert_eq!((patch.entity.index(), patch.entity.generation()), (100 + row as u32, 101 + row as u32));
        let floats: Vec<f32> =
            patch.value.bytes().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert_eq!(floats, [row as f32 + row as f32 * 1.5, (2 * row) as f32 + (row * 4) as f32 * 0.5]);
    }
    // Nothing was written in place.
    assert_eq!(world.columns[0].get::<f32>()[3], 3.0);
}

#[test]
fn every_kind_scalar_and_way_to_name_a_value_becomes_a_record() {
    let mut world = world(1);
    let text = "
        const big = 70000 + 2 ** 32 * 9;
        export const handle = async ({ eids: [eid], cols }) => {
            await null;
            if (typeof cols[7][0].x !== 'number') throw new Error('cols');
            return [
                { kind: 'add', eid: big, cid: 'All', value: { a_f32: 1.5, a_f64: -0.5, a_i8: -1, a_u8: 255, a_i16: -2, a_u16: 65535,
                    a_i32: -3, a_u32: 4294967295, a_i64: -4n, a_u64: 2n ** 64n - 1n, a: { bool: true, entity: big } } },
                { kind: 'set', eid, cid: 22, value: { value: 7 } },
                { kind: 'set', eid, cid: 22, value: 8 },
                { kind: 'add', eid, cid: 23, value: {} },
                { kind: 'add', eid, cid: 24, value: [1, -1] },
                { kind: 'add', eid, cid: 'Note', value: { text: 'ü€😀', n: [1, null] } },
                { kind: 'remove', eid, cid: 7 },
                { kind: 'destroy', eid },
            ];
        };";
    run_once(text, &mut world).unwrap();
    let all = given(&world);
    let mut bytes = Vec::new();
    bytes.extend(1.5_f32.to_le_bytes());
    bytes.extend((-0.5_f64).to_le_bytes());
    bytes.extend([255, 255, 254, 255, 255, 255, 253, 255, 255, 255, 255, 255, 255, 255]);
    bytes.extend((-4_i64).to_le_bytes());
    bytes.extend(u64::MAX.to_le_bytes());
    bytes.push(1);
    bytes.extend(((70_000_u64 + (9 << 32)) as f64).to_le_bytes());
    assert_eq!(all[0], format!("add 70000v9 20 {bytes:?}"));
    assert_eq!(
        all[1..],
        [
            "set 100v101 22 [7]",
            "set 100v101 22 [8]",
            "add 100v101 23 []",
            "add 100v101 24 [1, 0, 255, 255]",
            "add 100v101 21 {\"text\":\"ü€😀\",\"n\":[1,null]}",
            "remove 100v101 7",
            "destroy 100v101 0",
        ]
    );
}

#[test]
fn what_is_wrong_with_a_patch_names_its_index_and_field() {
    let cases = [
        ("[5]", "patches[0]: 5 is no patch"),
        ("[,]", "patches[0]: undefined is no patch"),
        ("[{ kind: 'destroy', eid: e }, null]", "patches[1]: null is no patch"),
        ("[{ eid: e }]", "patches[0]: kind is undefined, not \"set\", \"add\", \"remove\" or \"destroy\""),
        ("[{ kind: 'destroy', eid: 7 }]", "patches[0]: eid is 7, which is not an entity handle"),
        ("[{ kind: 'destroy', eid: '7' }]", "patches[0]: eid is \"7\", which is not an entity handle"),
        (
            "[{ kind: 'remove', eid: e, cid: 99 }]",
            "patches[0]: cid is 99, which the job did not declare that it writes or patches",
        ),
        (
            "[{ kind: 'set', eid: e, cid: 8, value: {} }]",
            "patches[0]: cid is 8, which the job did not declare that it writes or patches",
        ),
        (
            "[{ kind: 'set', eid: e, cid: 7, value: { x: 1 } }]",
            "patches[0]: the value of component \"Pos\" has no field \"y\"",
        ),
        (
            "[{ kind: 'set', eid: e, cid: 7, value: { x: 1, y: '2' } }]",
            "patches[0]: field \"y\" of component \"Pos\" is f32, which \"2\" is not",
        ),
        (
            "[{ kind: 'set', eid: e, cid: 7, value: 5 }]",
            "patches[0]: the value of component \"Pos\" is 5, not an object with its fields",
        ),
        (
            "[{ kind: 'set', eid: e, cid: 7 }]",
            "patches[0]: the value of component \"Pos\" is undefined, not an object with its fields",
        ),
        (
            "[{ kind: 'add', eid: e, cid: 22, value: 256 }]",
            "patches[0]: field \"value\" of component \"Health\" is u8, which 256 is not",
        ),
        (
            "[{ kind: 'add', eid: e, cid: 22, value: 0.5 }]",
            "patches[0]: field \"value\" of component \"Health\" is u8, which 0.5 is not",
        ),
        (
            "[{ kind: 'add', eid: e, cid: 21 }]",
            "patches[0]: the value of component \"Note\" is undefined, which JSON does not have",
        ),
        ("[{ get kind() { throw new RangeError('mine'); } }]", "mine"),
    ];
    for (list, expected) in cases {
        let mut world = world(1);
        let text = format!("export const handle = ({{ eids: [e] }}) => {list};");
        let (_, message, _) = threw(run_once(&text, &mut world));
        assert_eq!(message, expected);
        assert!(world.patches.is_empty());
    }
}

#[test]
fn a_job_that_did_not_declare_to_despawn_destroys_nothing() {
    let mut world = World::new(1);
    let text = "export const handle = ({ eids: [eid] }) => [{ kind: 'destroy', eid }];";
    let (_, message, _) = threw(run_once(text, &mut world));
    assert_eq!(message, "patches[0]: the job did not declare that it despawns");
}

#[test]
fn a_job_that_bends_its_realm_gets_a_refused_list_at_worst() {
    for text in [
        "ArrayBuffer.prototype.slice = () => 5; export const handle = ({ eids: [eid] }) => [{ kind: 'destroy', eid }];",
        "ArrayBuffer.prototype.slice = () => new ArrayBuffer(24); \
         export const handle = ({ eids: [eid] }) => [{ kind: 'destroy', eid }];",
        "DataView.prototype.setUint32 = () => {}; export const handle = ({ eids: [eid] }) => [{ kind: 'destroy', eid }];",
    ] {
        let mut world = world(1);
        threw(run_once(text, &mut world));
        assert!(world.patches.is_empty());
    }
}

#[test]
fn lists_are_those_of_the_call_and_are_kept_safely() {
    let text = "
        let kept;
        export const handle = ({ snap, eids, cols }) => {
            if (kept && (kept.eids === eids || kept.cols === cols[7])) throw new Error('the last call\\'s lists');
            if (kept && kept.cols[0].x !== 1) throw new Error('a kept list changed');
            kept = { eids, cols: cols[7] };
            if (eids.length !== snap.rows || cols[7].length !== snap.rows || eids[1] !== snap.entity(1)) throw new Error('length');
            if (cols[7] !== cols[7]) throw new Error('made twice');
        };";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    let mut world = world(128);
    on_lane(|lane| {
        world.columns[0].get_mut::<f32>().fill(1.0);
        world.run_rows(lane, &job, 0, 64).unwrap();
        world.columns[0].get_mut::<f32>().fill(2.0);
        world.run_rows(lane, &job, 64, 10).unwrap();
    });
}
