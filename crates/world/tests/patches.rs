//! Patches: groups, single calls and a plain map agree; what cannot be applied is reported.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use peristyle_world::{
    Added, Changed, CommandBuffer, Component, Entity, PatchBuffer, PatchBytes, PatchDecodeError, PatchError,
    PatchValue, Query, REFUSALS_KEPT, Removals, World, WorldError, WorldPatch,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Component, Clone, Copy, PartialEq, Debug)]
struct Link(Option<Entity>);

#[derive(Component, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[component(opaque)]
struct Label {
    text: String,
}

/// Every entity's components, in order.
fn rows(world: &mut World) -> BTreeMap<Entity, (Option<Pos>, Option<u32>, bool, Option<Label>)> {
    let all = seen_sorted(&mut world.query::<Entity>(), world);
    all.into_iter()
        .map(|e| {
            let (pos, health) = (world.get::<Pos>(e).ok(), world.get::<Health>(e).ok().map(|h| h.0));
            (e, (pos, health, world.has::<Tag>(e), world.get::<Label>(e).ok().cloned()))
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    SetPos,
    AddPos,
    RemovePos,
    SetHealth,
    AddHealth,
    RemoveHealth,
    AddTag,
    RemoveTag,
    SetLabel,
    AddLabel,
    RemoveLabel,
    Destroy,
    Unknown,
    TooShort,
}

const KINDS: [Kind; 14] = [
    Kind::SetPos,
    Kind::AddPos,
    Kind::RemovePos,
    Kind::SetHealth,
    Kind::AddHealth,
    Kind::RemoveHealth,
    Kind::AddTag,
    Kind::RemoveTag,
    Kind::SetLabel,
    Kind::AddLabel,
    Kind::RemoveLabel,
    Kind::Destroy,
    Kind::Unknown,
    Kind::TooShort,
];

/// The same kinds, in turn, for every `step`th of some entities.
#[derive(Debug, Clone)]
struct Run {
    kinds: Vec<Kind>,
    start: usize,
    step: usize,
    count: usize,
}

fn run() -> impl Strategy<Value = Run> {
    let kind = (0..KINDS.len()).prop_map(|at| KINDS[at]);
    (prop::collection::vec(kind, 1..4), 0..400_usize, 1..5_usize, 1..60_usize)
        .prop_map(|(kinds, start, step, count)| Run { kinds, start, step, count })
}

fn apply_single(world: &mut World, kind: Kind, e: Entity, value: u32) -> Result<(), PatchError> {
    let (p, label) = (pos(value as usize), Label { text: format!("label {value}") });
    let done = match kind {
        Kind::SetPos => world.set(e, p),
        Kind::AddPos => world.insert(e, p),
        Kind::RemovePos => world.remove::<Pos>(e),
        Kind::SetHealth => world.set(e, Health(value)),
        Kind::AddHealth => world.insert(e, Health(value)),
        Kind::RemoveHealth => world.remove::<Health>(e),
        Kind::AddTag => world.insert(e, Tag),
        Kind::RemoveTag => world.remove::<Tag>(e),
        Kind::SetLabel => world.set(e, label),
        Kind::AddLabel => world.insert(e, label),
        Kind::RemoveLabel => world.remove::<Label>(e),
        Kind::Destroy => world.despawn(e),
        Kind::Unknown => return Err(PatchError::UnknownComponent(99)),
        Kind::TooShort => {
            let component = "Pos".to_owned();
            return Err(PatchError::ValueBytes { component, expected_bytes: 8, found_bytes: 4 });
        }
    };
    Ok(done?)
}

fn write_patch(world: &mut World, out: &mut PatchBuffer, kind: Kind, entity: Entity, value: u32) {
    let (p, health) = (PatchValue::packed(pos(value as usize)), PatchValue::packed(Health(value)));
    let label = PatchValue::Json(serde_json::json!({ "text": format!("label {value}") }));
    let (cp, ch) = (world.register::<Pos>(), world.register::<Health>());
    let (ct, cl) = (world.register::<Tag>(), world.register::<Label>());
    let set = |component, value| WorldPatch::Set { entity, component, value };
    let add = |component, value| WorldPatch::Add { entity, component, value };
    let remove = |component| WorldPatch::Remove { entity, component };
    let patch = match kind {
        Kind::SetPos => set(cp, p),
        Kind::AddPos => add(cp, p),
        Kind::RemovePos => remove(cp),
        Kind::SetHealth => set(ch, health),
        Kind::AddHealth => add(ch, health),
        Kind::RemoveHealth => remove(ch),
        Kind::AddTag => add(ct, PatchValue::packed(Tag)),
        Kind::RemoveTag => remove(ct),
        Kind::SetLabel => set(cl, label),
        Kind::AddLabel => add(cl, label),
        Kind::RemoveLabel => remove(cl),
        Kind::Destroy => WorldPatch::Destroy { entity },
        Kind::Unknown => return out.set(entity, 99, PatchBytes::Packed(&[])),
        Kind::TooShort => set(cp, PatchValue::Packed(vec![0; 4])),
    };
    patch.write(out);
}

/// One consumer of everything that can be seen of changes.
struct Watcher {
    pos: Query<Entity, Changed<Pos>>,
    health: Query<Entity, Changed<Health>>,
    added: Query<Entity, Added<Health>>,
    tags: Query<Entity, Added<Tag>>,
    removed: (Removals<Pos>, Removals<Health>),
}

impl Watcher {
    fn new(world: &mut World) -> Watcher {
        let mut watcher = Watcher {
            pos: world.query_filtered(),
            health: world.query_filtered(),
            added: world.query_filtered(),
            tags: world.query_filtered(),
            removed: (world.removals(), world.removals()),
        };
        watcher.look(world);
        watcher
    }

    fn look(&mut self, world: &mut World) -> (Vec<Vec<Entity>>, Vec<Entity>, Vec<Entity>) {
        let marks = vec![
            seen_sorted(&mut self.pos, world),
            seen_sorted(&mut self.health, world),
            seen_sorted(&mut self.added, world),
            seen_sorted(&mut self.tags, world),
        ];
        let (mut pos, mut health) = (Vec::new(), Vec::new());
        self.removed.0.read(world, |entity| pos.push(entity)).unwrap();
        self.removed.1.read(world, |entity| health.push(entity)).unwrap();
        (marks, pos, health)
    }
}

fn populated(count: usize) -> (World, Vec<Entity>) {
    let mut world = world();
    world.register_serde::<Label>();
    let entities = (0..count)
        .map(|i| match i % 5 {
            0 => world.spawn(pos(i)).unwrap(),
            1 => world.spawn((pos(i), Health(i as u32))).unwrap(),
            2 => world.spawn((pos(i), Health(i as u32), Tag)).unwrap(),
            3 => world.spawn(Health(i as u32)).unwrap(),
            _ => world.spawn((pos(i), Label { text: format!("old {i}") })).unwrap(),
        })
        .collect();
    (world, entities)
}

/// What the rows should be, worked out on a plain map.
type Plain = BTreeMap<Entity, (Option<Pos>, Option<u32>, bool, Option<Label>)>;

fn apply_plain(plain: &mut Plain, kind: Kind, e: Entity, value: u32) {
    let Some(row) = plain.get_mut(&e) else { return };
    let label = Label { text: format!("label {value}") };
    match kind {
        Kind::SetPos => row.0 = row.0.map(|_| pos(value as usize)),
        Kind::AddPos => row.0 = Some(pos(value as usize)),
        Kind::RemovePos => row.0 = None,
        Kind::SetHealth => row.1 = row.1.map(|_| value),
        Kind::AddHealth => row.1 = Some(value),
        Kind::RemoveHealth => row.1 = None,
        Kind::AddTag => row.2 = true,
        Kind::RemoveTag => row.2 = false,
        Kind::SetLabel => row.3 = row.3.take().map(|_| label),
        Kind::AddLabel => row.3 = Some(label),
        Kind::RemoveLabel => row.3 = None,
        Kind::Destroy => drop(plain.remove(&e)),
        Kind::Unknown | Kind::TooShort => {}
    }
}

fn check_runs(count: usize, lists: &[Vec<Run>]) {
    let ((mut grouped, entities), (mut single, same)) = (populated(count), populated(count));
    assert_eq!(entities, same);
    let (mut seen_grouped, mut seen_single) = (Watcher::new(&mut grouped), Watcher::new(&mut single));
    let mut plain = rows(&mut single);
    let mut value = 1_000;
    for list in lists {
        let (mut patches, mut refused) = (PatchBuffer::new(), Vec::new());
        for run in list {
            for at in 0..run.count {
                for kind in &run.kinds {
                    let entity = entities[(run.start + at * run.step) % entities.len()];
                    value += 1;
                    write_patch(&mut grouped, &mut patches, *kind, entity, value);
                    if let Err(error) = apply_single(&mut single, *kind, entity, value) {
                        refused.push(format!("patches[{}]: {error}", patches.len() - 1));
                    }
                    apply_plain(&mut plain, *kind, entity, value);
                }
            }
        }
        let report = grouped.apply_patches(&patches);
        assert_eq!((report.applied, report.refused), (patches.len() - refused.len(), refused.len()));
        let told: Vec<String> = report.refusals.iter().map(ToString::to_string).collect();
        assert_eq!(told, refused[..refused.len().min(REFUSALS_KEPT)]);
        assert_eq!(rows(&mut grouped), plain);
        assert_eq!(rows(&mut single), plain);
        assert_eq!(grouped.len(), single.len());
        assert_eq!(seen_grouped.look(&mut grouped), seen_single.look(&mut single));
        for world in [&mut grouped, &mut single] {
            world.begin_tick().unwrap();
            world.end_tick().unwrap();
        }
        // Indices were freed in the same order.
        for _ in 0..3 {
            let (a, b) = (grouped.spawn(Tag).unwrap(), single.spawn(Tag).unwrap());
            assert_eq!(a, b);
            plain.insert(a, (None, None, true, None));
        }
        assert_eq!(seen_grouped.look(&mut grouped), seen_single.look(&mut single));
    }
}

proptest! {
    #[test]
    fn groups_do_what_single_calls_and_a_plain_map_do(
        count in 1..500_usize,
        lists in prop::collection::vec(prop::collection::vec(run(), 1..8), 1..4),
    ) {
        check_runs(count, &lists);
    }

    /// Whatever the bytes are, they are applied as records or refused with an offset, and the world stays whole.
    #[test]
    fn any_bytes_are_patches_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..400), bend in any::<bool>()) {
        let (mut world, _) = populated(10);
        if bend {
            // Headers that come close: known kinds and encodings, handles of the world, short values.
            for header in bytes.chunks_exact_mut(16) {
                header[1..4].fill(0);
                header[4..7].copy_from_slice(&[1, 0, 0]);
                header[7] = [0x11, 0x21, 0x30, 0x40][header[7] as usize % 4];
                header[8] %= 8;
                header[9..12].fill(0);
                header[12] %= 24;
                header[13..16].fill(0);
            }
        }
        match world.apply_patch_bytes(&bytes) {
            Ok(report) => prop_assert_eq!(report.applied + report.refused, PatchBuffer::from_bytes(&bytes).unwrap().len()),
            Err(error) => prop_assert!(error.to_string().contains("at byte"), "{}", error),
        }
        rows(&mut world);
    }
}

#[test]
fn groups_that_span_chunks_and_handles_beyond_65_536() {
    // A first chunk that grows, full ones, and one that is given back.
    let all = |kinds: &[Kind], step, count| Run { kinds: kinds.to_vec(), start: 0, step, count };
    check_runs(
        90_000,
        &[
            vec![all(&[Kind::AddHealth], 5, 18_000), all(&[Kind::SetPos, Kind::RemoveHealth], 3, 30_000)],
            vec![all(&[Kind::AddTag], 1, 90_000), all(&[Kind::Destroy], 2, 45_000), all(&[Kind::AddPos], 1, 90_000)],
            vec![all(&[Kind::RemovePos, Kind::AddHealth, Kind::Destroy], 7, 4_000)],
        ],
    );
}

#[test]
fn hooks_fire_as_with_single_calls_and_see_what_came_before() {
    let log = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (mut world, entities) = populated(40);
    let told = log.clone();
    world.on_add::<Health>(move |world, entity, commands| {
        let health = world.get::<Health>(entity).unwrap().0;
        told.lock().unwrap().push(format!("+{health} of {}", world.len()));
        commands.insert(entity, Vel { x: health as f32, y: 0.0 });
    });
    let told = log.clone();
    world.on_remove::<Health>(move |world, entity, _| {
        told.lock().unwrap().push(format!("-{}", world.get::<Health>(entity).unwrap().0));
    });
    let mut patches = PatchBuffer::new();
    WorldPatch::Destroy { entity: entities[4] }.write(&mut patches);
    WorldPatch::add(&mut world, entities[0], Health(500)).write(&mut patches);
    WorldPatch::set(&mut world, entities[0], Health(501)).write(&mut patches);
    WorldPatch::add(&mut world, entities[0], Health(502)).write(&mut patches);
    WorldPatch::Destroy { entity: entities[0] }.write(&mut patches);
    let report = world.apply_patches(&patches);
    assert_eq!((report.applied, report.refused), (5, 0));
    assert_eq!(*log.lock().unwrap(), ["+500 of 39", "-502"]);
    let mut patches = PatchBuffer::new();
    WorldPatch::add(&mut world, entities[5], Health(9)).write(&mut patches);
    world.apply_patches(&patches);
    assert_eq!(world.get::<Vel>(entities[5]).unwrap().x, 9.0);
}

#[test]
fn a_patch_for_nobody_or_nothing_is_reported_and_the_rest_goes_on() {
    let (mut world, entities) = populated(10);
    let dead = entities[0];
    world.despawn(dead).unwrap();
    let (health, label) = (world.register::<Health>(), world.register::<Label>());
    let parent = world.spawn(()).unwrap();
    world.set_parent(entities[1], Some(parent)).unwrap();
    let parent_id = world.components().by_name("Parent").unwrap().id();
    let e = entities[1];
    let patches: PatchBuffer = [
        WorldPatch::Destroy { entity: dead },
        WorldPatch::Remove { entity: e, component: label },
        WorldPatch::Set { entity: e, component: label, value: PatchValue::Packed(vec![1]) },
        WorldPatch::Set { entity: e, component: health, value: PatchValue::Json(5.into()) },
        WorldPatch::Add { entity: e, component: label, value: PatchValue::Json(5.into()) },
        WorldPatch::Remove { entity: e, component: parent_id },
        WorldPatch::Set { entity: Entity::provisional(0, 0), component: health, value: PatchValue::packed(Health(1)) },
        WorldPatch::Set { entity: e, component: health, value: PatchValue::packed(Health(77)) },
    ]
    .iter()
    .collect();
    let report = world.apply_patches(&patches);
    assert_eq!((report.applied, report.refused, report.stale), (1, 7, 3));
    let told: Vec<_> = report.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            format!("patches[0]: entity {dead} does not live (any more)"),
            format!("patches[1]: entity {e} has no component `Label`"),
            "patches[2]: component `Label` is opaque: its value is JSON text, not packed".to_owned(),
            "patches[3]: component `Health` lies in columns: its value is packed, not JSON text".to_owned(),
            "patches[4]: component `Label`: invalid type: integer `5`, expected struct Label at line 1 column 1"
                .to_owned(),
            "patches[5]: component `Parent` follows from the hierarchy: no patch changes it".to_owned(),
            "patches[6]: entity 0?v0 is provisional until commands are merged".to_owned(),
        ]
    );
    assert_eq!(world.get::<Health>(e).unwrap(), Health(77));
    assert_eq!(world.parent(e), Some(parent));
}

#[test]
fn a_destroyed_parent_takes_its_children_along() {
    let (mut world, entities) = populated(40);
    for child in &entities[1..4] {
        world.set_parent(*child, Some(entities[0])).unwrap();
    }
    let patches: PatchBuffer = [0, 10, 1, 20].map(|at| WorldPatch::Destroy { entity: entities[at] }).iter().collect();
    let report = world.apply_patches(&patches);
    assert_eq!((report.applied, report.stale, world.len()), (3, 1, 34));
}

#[test]
fn provisional_handles_in_patches_of_a_buffer_are_rewritten() {
    let (mut world, entities) = populated(10);
    let (mut a, mut b) = (CommandBuffer::new(0), CommandBuffer::new(1));
    let new = a.spawn(Health(1));
    b.patch(&WorldPatch::set(&mut world, new, Health(2)));
    b.patch(&WorldPatch::add(&mut world, new, Link(Some(new))));
    b.patch(&WorldPatch::add(&mut world, entities[0], Link(Some(new))));
    b.set(new, Health(3));
    b.patch(&WorldPatch::set(&mut world, new, Pos::default()));
    b.patch(&WorldPatch::set(&mut world, entities[0], Link(Some(entities[2]))));
    b.remove::<Pos>(entities[1]);
    b.despawn(entities[2]);
    b.patch(&WorldPatch::Destroy { entity: entities[2] });
    assert_eq!((a.len(), b.len()), (1, 9));
    let merged = world.merge([&mut a, &mut b]);
    assert_eq!((merged.applied, merged.stale, merged.refused, merged.errors.len()), (8, 2, 2, 0));
    assert_eq!(merged.refusals.iter().map(|r| (r.buffer, r.index)).collect::<Vec<_>>(), [(1, 3), (1, 5)]);
    let mut spawned = Vec::new();
    world.query::<(Entity, &Health)>().for_each(&mut world, |(entity, health)| {
        if health.0 == 3 && !entities.contains(&entity) {
            spawned.push(entity);
        }
    });
    assert_eq!(world.get::<Link>(spawned[0]).unwrap(), Link(Some(spawned[0])));
    assert_eq!(world.get::<Link>(entities[0]).unwrap(), Link(Some(entities[2])));
    assert!(!world.has::<Pos>(entities[1]) && !world.is_alive(entities[2]));
    assert!(a.is_empty() && b.is_empty());
}

#[test]
fn undo_brings_back_values_components_and_destroyed_entities() {
    let (mut world, entities) = populated(30);
    let (parent, child) = (entities[2], entities[4]);
    world.set_parent(child, Some(parent)).unwrap();
    world.insert(entities[7], Link(Some(child))).unwrap();
    world.insert(child, Link(Some(parent))).unwrap();
    let before = rows(&mut world);
    let mut patches = PatchBuffer::new();
    let mut value = 0;
    for (kind, at) in [
        (Kind::SetPos, 0),
        (Kind::AddPos, 0),
        (Kind::SetPos, 0),
        (Kind::RemovePos, 0),
        (Kind::AddHealth, 0),
        (Kind::AddTag, 4),
        (Kind::SetLabel, 4),
        (Kind::RemoveLabel, 9),
        (Kind::AddLabel, 1),
        (Kind::SetHealth, 2),
        (Kind::Unknown, 2),
        (Kind::Destroy, 2),
        (Kind::SetHealth, 2),
        (Kind::Destroy, 29),
    ] {
        value += 1;
        write_patch(&mut world, &mut patches, kind, entities[at], value);
    }
    let mut undo = peristyle_world::Undo::new();
    let report = world.apply_patches_keeping(&patches, &mut undo);
    assert_eq!((report.applied, report.refused, undo.len()), (12, 2, 12));
    assert!(undo.gaps().is_empty() && !world.is_alive(child) && !world.is_alive(parent));
    let undone = world.undo(undo);
    assert!(undone.refusals.is_empty(), "{:?}", undone.refusals);
    // Those destroyed last come back first, parents before children.
    let old: Vec<_> = undone.restored.iter().map(|(old, _)| *old).collect();
    assert_eq!(old, [entities[29], parent, child]);
    let now: BTreeMap<_, _> = undone.restored.iter().copied().collect();
    assert!(undone.restored.iter().all(|(old, new)| !world.is_alive(*old) && world.is_alive(*new)));
    let expected: Plain = before.into_iter().map(|(e, row)| (now.get(&e).copied().unwrap_or(e), row)).collect();
    assert_eq!(rows(&mut world), expected);
    assert_eq!(world.parent(now[&child]), Some(now[&parent]));
    assert_eq!(world.get::<Link>(now[&child]).unwrap(), Link(Some(now[&parent])));
    // A handle in a row that nothing undid stays stale.
    assert_eq!(world.get::<Link>(entities[7]).unwrap(), Link(Some(child)));
}

#[test]
fn what_undo_cannot_keep_is_named() {
    let mut world = world();
    let entity = world.spawn((Name("old".into()), pos(1))).unwrap();
    let patches: PatchBuffer = [WorldPatch::Destroy { entity }].iter().collect();
    let mut undo = peristyle_world::Undo::new();
    world.apply_patches_keeping(&patches, &mut undo);
    assert!(matches!(undo.gaps(), [gap] if gap.entity == entity && gap.to_string().contains("register_serde")));
    let undone = world.undo(undo);
    let new = undone.restored[0].1;
    assert_eq!((world.get::<Pos>(new).unwrap(), world.has::<Name>(new)), (pos(1), false));
}

#[test]
fn the_json_form_comes_back_as_it_was() {
    let (mut world, entities) = populated(5);
    let far = Entity::new(70_000, 3);
    for patch in [
        WorldPatch::set(&mut world, far, Pos { x: 1.5, y: f32::NEG_INFINITY }),
        WorldPatch::add(&mut world, entities[0], Link(Some(far))),
        WorldPatch::add(&mut world, entities[0], Link(None)),
        WorldPatch::set(&mut world, entities[1], Health(u32::MAX)),
        WorldPatch::Add {
            entity: far,
            component: world.register::<Label>(),
            value: PatchValue::Json(serde_json::json!({ "text": "ü" })),
        },
        WorldPatch::Remove { entity: far, component: world.register::<Pos>() },
        WorldPatch::Destroy { entity: far },
    ] {
        let json = patch.to_json(&world).unwrap();
        assert_eq!(WorldPatch::from_json(&world, &json), Ok(patch.clone()), "{json}");
        let records: PatchBuffer = [patch.clone()].iter().collect();
        assert_eq!(WorldPatch::read(&records.iter().next().unwrap()).unwrap(), patch);
    }
    let json = WorldPatch::set(&mut world, far, pos(2)).to_json(&world).unwrap();
    assert_eq!(
        json,
        serde_json::json!({ "kind": "set", "eid": 12_884_971_888_u64, "cid": "Pos", "value": { "x": 2.0, "y": -2.0 } })
    );
}

#[derive(Component, Clone, Copy, PartialEq, Debug, Default)]
struct Everything {
    wide: f64,
    small: i8,
    count: u64,
    on: bool,
    points: [Pos; 2],
}

#[test]
fn json_names_fields_by_path_and_says_which_one_is_wrong() {
    let mut world = world();
    let component = world.register::<Everything>();
    let entity = world.spawn(Everything::default()).unwrap();
    let eid = entity.to_bits();
    let text = format!(
        r#"[{{ "kind": "set", "eid": {eid}, "cid": {}, "value": {{ "wide": "NaN", "small": -1.0, "count": 18446744073709551615,
            "on": true, "points": [{{ "x": 1, "y": 2 }}], "points[1].x": 3, "points_1_y": 4 }} }}]"#,
        component.index()
    );
    let report = world.apply_patches_json(&text).unwrap();
    assert_eq!((report.applied, report.refusals.len()), (1, 0), "{:?}", report.refusals);
    let now = world.get::<Everything>(entity).unwrap();
    assert!(now.wide.is_nan());
    assert_eq!((now.small, now.count, now.on), (-1, u64::MAX, true));
    assert_eq!(now.points, [Pos { x: 1.0, y: 2.0 }, Pos { x: 3.0, y: 4.0 }]);

    world.register::<Health>();
    let good = r#""wide": 0, "small": 0, "count": 0, "on": false, "points": [{"x":0,"y":0},{"x":0,"y":0}]"#;
    let cases = [
        ("5".to_owned(), "a patch is an object, not a number"),
        (r#"{ "eid": 1 }"#.to_owned(), "the patch has no `kind`"),
        (format!(r#"{{ "kind": "swap", "eid": {eid} }}"#), "`swap` is no kind of patch (set, add, remove, destroy)"),
        (r#"{ "kind": "destroy", "eid": 7 }"#.to_owned(), "`eid` is 7, which is not an entity handle"),
        (format!(r#"{{ "kind": "remove", "eid": {eid}, "cid": "Nobody" }}"#), "the world has no component \"Nobody\""),
        (format!(r#"{{ "kind": "remove", "eid": {eid}, "cid": 1e9 }}"#), "the world has no component 1000000000.0"),
        (format!(r#"{{ "kind": "add", "eid": {eid}, "cid": "Health" }}"#), "the patch has no `value`"),
        (
            format!(r#"{{ "kind": "add", "eid": {eid}, "cid": "Health", "value": -1 }}"#),
            "component `Health`: field `value` is u32, which -1 is not",
        ),
        (
            format!(r#"{{ "kind": "set", "eid": {eid}, "cid": "Everything", "value": {{}} }}"#),
            "component `Everything`: the value has no field `wide`",
        ),
        (
            format!(r#"{{ "kind": "set", "eid": {eid}, "cid": "Everything", "value": {{ {good}, "small": 128 }} }}"#),
            "component `Everything`: field `small` is i8, which 128 is not",
        ),
        (
            format!(
                r#"{{ "kind": "set", "eid": {eid}, "cid": "Everything", "value": {{ {good}, "points.2.x": 0 }} }}"#
            ),
            "component `Everything` has no field `points_2_x`",
        ),
        (
            format!(
                r#"{{ "kind": "set", "eid": {eid}, "cid": "Everything", "value": {{ {good}, "points_1_x": 0 }} }}"#
            ),
            "component `Everything`: the value has field `points_1_x` twice",
        ),
    ];
    let list = cases.iter().map(|(json, _)| json.as_str()).collect::<Vec<_>>().join(",");
    let text = format!(r#"[{list}, {{ "kind": "add", "eid": {eid}, "cid": "Health", "value": 3 }}]"#);
    let report = world.apply_patches_json(&text).unwrap();
    assert_eq!((report.applied, report.refused), (1, cases.len()));
    for (at, (refused, (_, expected))) in report.refusals.iter().zip(&cases).enumerate() {
        assert_eq!(refused.to_string(), format!("patches[{at}]: {expected}"));
    }
    assert_eq!(world.get::<Health>(entity).unwrap(), Health(3));
    assert!(world.apply_patches_json("{}").is_err());
}

#[test]
fn bytes_that_are_no_records_change_nothing() {
    let (mut world, entities) = populated(5);
    let mut patches = PatchBuffer::new();
    WorldPatch::Destroy { entity: entities[0] }.write(&mut patches);
    let mut bytes = patches.bytes().to_vec();
    bytes.extend_from_slice(&[0; 15]);
    let error = world.apply_patch_bytes(&bytes).unwrap_err();
    assert_eq!(error, PatchDecodeError::Truncated { offset: 16, missing_bytes: 1 });
    assert!(world.is_alive(entities[0]));
}

#[test]
fn reports_keep_a_bounded_number_of_refusals_and_count_all() {
    let (mut world, entities) = populated(1);
    let patches: PatchBuffer =
        vec![WorldPatch::Remove { entity: entities[0], component: world.register::<Tag>() }; 1_000].iter().collect();
    let report = world.apply_patches(&patches);
    assert_eq!((report.refused, report.stale, report.refusals.len()), (1_000, 1_000, REFUSALS_KEPT));
    assert!(matches!(report.refusals[0].error, PatchError::World(WorldError::Missing { .. })));
}

#[test]
fn a_full_memory_refuses_the_patch_that_finds_no_room() {
    let mut world = World::on(peristyle_world::Memory::reserve(2 << 20).unwrap());
    let entities: Vec<Entity> = spawn_positions(&mut world, 40_000);
    let patches: PatchBuffer = entities
        .iter()
        .map(|e| WorldPatch::add(&mut world, *e, Everything::default()))
        .collect::<Vec<_>>()
        .iter()
        .collect();
    let report = world.apply_patches(&patches);
    assert!(report.applied > 0 && report.refused > 0);
    assert_eq!(report.applied + report.refused, 40_000);
    assert!(matches!(report.refusals[0].error, PatchError::World(WorldError::OutOfMemory(_))));
    let mut with = world.query_filtered::<Entity, peristyle_world::With<Everything>>();
    assert_eq!(count(&mut with, &mut world), report.applied);
    let all: BTreeSet<Entity> = seen(&mut world.query::<Entity>(), &mut world).into_iter().collect();
    assert_eq!(all.len(), 40_000);
    let (first, last) = (world.get::<Pos>(entities[0]).unwrap(), world.get::<Pos>(entities[39_999]).unwrap());
    assert_eq!((first, last), (pos(0), pos(39_999)));
}
