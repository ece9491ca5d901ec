//! A mirror shows what its host's world has: random worlds, random views.

use std::collections::BTreeMap;

use peristyle_replica::{
    ComponentView, FrameError, Gone, Interest, MAGIC, Predictor, VERSION, View, ViewError, ViewSpec, ViewWorld,
};
use peristyle_world::{ColumnReader, Component, Entity, World};
use proptest::prelude::*;

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f64,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct State {
    hp: i16,
    flags: u64,
    alive: bool,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Hidden {
    since: u8,
}

const ERROR: f64 = 1.0 / 64.0;

fn spec() -> ViewSpec {
    let position = ComponentView::of::<Position>().quantised("x", ERROR).predicted("x", Predictor::Linear);
    ViewSpec::new().with(position).with(ComponentView::of::<State>().optional()).without::<Hidden>()
}

/// What a view of these entities shows: position, and state if there is one.
type Shown = BTreeMap<Entity, (Position, Option<State>)>;

fn shown_by_world(world: &mut World, bounds: Option<(f64, f64)>) -> Shown {
    let mut shown = Shown::new();
    world.query::<(Entity, &Position, Option<&State>, Option<&Hidden>)>().for_each(
        world,
        |(entity, position, state, hidden)| {
            let inside = bounds.is_none_or(|(least, end)| (least..end).contains(&f64::from(position.x)));
            if hidden.is_none() && inside {
                shown.insert(entity, (position, state));
            }
        },
    );
    shown
}

fn bit(words: &[u64], row: usize) -> bool {
    words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 != 0)
}

fn shown_by_mirror(mirror: &ViewWorld) -> Shown {
    let xs = mirror.column::<f32>("Position", "x").unwrap();
    let ys = mirror.column::<f64>("Position", "y").unwrap();
    let hps = mirror.column::<i16>("State", "hp").unwrap();
    let flags = mirror.column::<u64>("State", "flags").unwrap();
    let alive = mirror.column::<bool>("State", "alive").unwrap();
    let state = |row| State { hp: hps[row], flags: flags[row], alive: alive[row] };
    let of = |row| (Position { x: xs[row], y: ys[row] }, bit(mirror.has(1), row).then(|| state(row)));
    (0..mirror.rows()).filter_map(|row| Some((mirror.entity(row)?, of(row)))).collect()
}

fn assert_same(world: &Shown, mirror: &Shown) {
    assert!(world.keys().eq(mirror.keys()), "{world:?}\n{mirror:?}");
    for (entity, (position, state)) in world {
        let (shown, shown_state) = &mirror[entity];
        assert!((f64::from(shown.x) - f64::from(position.x)).abs() <= ERROR, "{entity}: {position:?} {shown:?}");
        assert_eq!((shown.y, shown_state), (position.y, state), "{entity}");
    }
}

#[derive(Debug, Clone)]
enum Op {
    Spawn { x: f32, state: bool, count: u8 },
    Despawn(usize),
    Move(usize, f32),
    MoveAll(f32),
    Hurt(usize, i16),
    AddState(usize),
    DropState(usize),
    Hide(usize),
    Unhide(usize),
    Interest(Option<(i8, i8)>),
    Tick,
    Join,
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0_usize..200;
    prop_oneof![
        3 => (-100_f32..100.0, any::<bool>(), 1_u8..40).prop_map(|(x, state, count)| Op::Spawn { x, state, count }),
        2 => who.clone().prop_map(Op::Despawn),
        4 => (who.clone(), -100_f32..100.0).prop_map(|(who, x)| Op::Move(who, x)),
        1 => (-3_f32..3.0).prop_map(Op::MoveAll),
        2 => (who.clone(), any::<i16>()).prop_map(|(who, hp)| Op::Hurt(who, hp)),
        1 => who.clone().prop_map(Op::AddState),
        1 => who.clone().prop_map(Op::DropState),
        1 => who.clone().prop_map(Op::Hide),
        1 => who.prop_map(Op::Unhide),
        1 => prop::option::of((-100_i8..100, -100_i8..100)).prop_map(Op::Interest),
        6 => Just(Op::Tick),
        1 => Just(Op::Join),
    ]
}

struct Scene {
    world: World,
    view: View,
    entities: Vec<Entity>,
    bounds: Option<(f64, f64)>,
    mirrors: Vec<ViewWorld>,
    tick: u64,
    frame: Vec<u8>,
}

impl Scene {
    fn new(spec: ViewSpec) -> Scene {
        let mut world = World::new().unwrap();
        let view = View::new(&mut world, spec).unwrap();
        let mirrors = vec![ViewWorld::with_schema(view.schema().clone())];
        Scene { world, view, entities: Vec::new(), bounds: None, mirrors, tick: 0, frame: Vec::new() }
    }

    fn publish(&mut self) {
        self.tick += 1;
        self.frame.clear();
        self.view.publish(ColumnReader::new(&mut self.world), self.tick, None, &mut self.frame);
        for mirror in &mut self.mirrors {
            let before: BTreeMap<Entity, usize> =
                (0..mirror.rows()).filter_map(|row| Some((mirror.entity(row)?, row))).collect();
            let applied = mirror.apply(&self.frame).unwrap();
            assert_eq!(applied.tick, self.tick);
            assert_eq!(mirror.hash(), self.view.hash());
            for gone in mirror.removed() {
                assert_eq!(before[&gone.entity], gone.row as usize);
                let destroyed = !self.world.is_alive(gone.entity);
                assert_eq!(gone.why, if destroyed { Gone::Destroyed } else { Gone::LeftView });
            }
            for row in mirror.added() {
                assert!(!before.contains_key(&mirror.entity(*row as usize).unwrap()));
                assert!(bit(mirror.changed(0), *row as usize));
            }
        }
        // A world's ticks free indices for others.
        self.world.begin_tick().unwrap();
        self.world.end_tick().unwrap();
    }

    fn run(&mut self, op: &Op) {
        let (world, entities) = (&mut self.world, &mut self.entities);
        let pick = |who: &usize| entities.get(who % entities.len().max(1)).copied();
        match op {
            Op::Spawn { x, state, count } => {
                for at in 0..*count {
                    let position = Position { x: x + f32::from(at), y: f64::from(*x) };
                    entities.push(if *state {
                        world.spawn((position, State { hp: 1, flags: u64::MAX, alive: true })).unwrap()
                    } else {
                        world.spawn((position,)).unwrap()
                    });
                }
            }
            Op::Despawn(who) => {
                if !entities.is_empty() {
                    let entity = entities.swap_remove(who % entities.len());
                    world.despawn(entity).unwrap();
                }
            }
            Op::Move(who, x) => {
                if let Some(entity) = pick(who) {
                    world.set(entity, Position { x: *x, y: 0.5 }).unwrap();
                }
            }
            Op::MoveAll(by) => {
                let by = *by;
                world.query::<&mut Position>().for_each(world, |position| *position.x += by);
            }
            Op::Hurt(who, hp) => {
                if let Some(entity) = pick(who) {
                    let _ = world.set(entity, State { hp: *hp, flags: *hp as u64, alive: *hp > 0 });
                }
            }
            Op::AddState(who) => {
                if let Some(entity) = pick(who) {
                    world.insert(entity, (State { hp: 7, flags: 1 << 40, alive: true },)).unwrap();
                }
            }
            Op::DropState(who) => {
                if let Some(entity) = pick(who) {
                    let _ = world.remove::<State>(entity);
                }
            }
            Op::Hide(who) => {
                if let Some(entity) = pick(who) {
                    world.insert(entity, (Hidden { since: 1 },)).unwrap();
                }
            }
            Op::Unhide(who) => {
                if let Some(entity) = pick(who) {
                    let _ = world.remove::<Hidden>(entity);
                }
            }
            Op::Interest(bounds) => {
                self.bounds = bounds.map(|(a, b)| (f64::from(a.min(b)), f64::from(a.max(b))));
                let interest = self.bounds.map(|(least, end)| Interest::on("Position").within("x", least, end));
                self.view.set_interest(&self.world, interest).unwrap();
            }
            Op::Tick => self.publish(),
            Op::Join => {
                if self.tick > 0 {
                    let (mut schema, mut snapshot) = (Vec::new(), Vec::new());
                    self.view.schema().encode(&mut schema);
                    let mut mirror = ViewWorld::open(&schema).unwrap();
                    self.view.snapshot(None, &mut snapshot);
                    assert!(mirror.apply(&snapshot).unwrap().snapshot);
                    assert_eq!(mirror.hash(), self.view.hash());
                    self.mirrors.push(mirror);
                }
            }
        }
    }

    fn assert_shown(&mut self) {
        let world = shown_by_world(&mut self.world, self.bounds);
        for mirror in &self.mirrors {
            assert_same(&world, &shown_by_mirror(mirror));
        }
    }
}

proptest! {
    #[test]
    fn mirrors_show_the_world(ops in prop::collection::vec(op(), 1..80)) {
        let mut scene = Scene::new(spec().hash_every(3));
        for op in &ops {
            scene.run(op);
            if matches!(op, Op::Tick) {
                scene.assert_shown();
            }
        }
        scene.publish();
        scene.assert_shown();
    }

    #[test]
    fn short_of_bytes_mirrors_catch_up_when_the_world_rests(ops in prop::collection::vec(op(), 1..60)) {
        let mut scene = Scene::new(spec().bytes_per_tick(40));
        ops.iter().for_each(|op| scene.run(op));
        for _ in 0..600 {
            scene.publish();
        }
        scene.assert_shown();
    }

    #[test]
    fn a_cut_or_bent_frame_changes_nothing(
        ops in prop::collection::vec(op(), 1..30), cut: prop::sample::Index, bend in prop::option::of(1_u8..255),
    ) {
        let mut scene = Scene::new(spec());
        ops.iter().for_each(|op| scene.run(op));
        scene.publish();
        let mirror = scene.mirrors.remove(0);
        scene.mirrors.clear();
        ops.iter().take(10).filter(|op| !matches!(op, Op::Tick | Op::Join)).for_each(|op| scene.run(op));
        scene.mirrors.push(mirror);
        scene.tick += 1;
        scene.frame.clear();
        scene.view.publish(ColumnReader::new(&mut scene.world), scene.tick, None, &mut scene.frame);
        let mirror = &mut scene.mirrors[0];
        let (before, shown) = (mirror.hash(), shown_by_mirror(mirror));
        let mut bad = scene.frame.clone();
        let at = cut.index(bad.len());
        match bend {
            Some(bend) => bad[at] ^= bend,
            None => bad.truncate(at),
        }
        match mirror.apply(&bad) {
            // Some bent bytes are another frame that is as good.
            Ok(_) => prop_assert!(bend.is_some()),
            Err(_) => {
                prop_assert_eq!(mirror.hash(), before);
                prop_assert_eq!(shown_by_mirror(mirror), shown);
                mirror.apply(&scene.frame).unwrap();
                prop_assert_eq!(mirror.hash(), scene.view.hash());
            }
        }
    }
}

#[test]
fn errors_do_not_add_up_over_many_steps() {
    let mut scene = Scene::new(spec());
    let entity = scene.world.spawn((Position { x: 0.0, y: 0.0 },)).unwrap();
    scene.entities.push(entity);
    for step in 0..20_000 {
        // Steps that are no multiple of the coding's.
        let x = (step as f32 * 0.0137).sin() * 50.0;
        scene.world.set(entity, Position { x, y: 0.0 }).unwrap();
        scene.publish();
        let shown = scene.mirrors[0].column::<f32>("Position", "x").unwrap()[0];
        assert!((shown - x).abs() <= ERROR as f32, "{shown} for {x} in step {step}");
    }
}

#[test]
fn a_lost_frame_is_a_gap_and_a_snapshot_heals_it() {
    let mut scene = Scene::new(spec());
    let entity = scene.world.spawn((Position { x: 0.0, y: 0.0 },)).unwrap();
    scene.publish();
    let mut mirror = scene.mirrors.pop().unwrap();
    scene.world.set(entity, Position { x: 1.0, y: 0.0 }).unwrap();
    scene.publish();
    scene.world.set(entity, Position { x: 2.0, y: 0.0 }).unwrap();
    scene.publish();
    assert_eq!(mirror.apply(&scene.frame), Err(FrameError::Gap { tick: 3, base: 2, have: 1 }));
    let mut snapshot = Vec::new();
    scene.view.snapshot(None, &mut snapshot);
    let applied = mirror.apply(&snapshot).unwrap();
    assert_eq!((applied.tick, applied.snapshot), (3, true));
    assert_eq!(mirror.column::<f32>("Position", "x").unwrap()[..1], [2.0]);
    assert_eq!(mirror.removed(), [], "who stays was not removed");
}

#[test]
fn what_did_not_change_is_not_sent() {
    let mut scene = Scene::new(spec());
    scene.world.spawn_batch((0..10_000).map(|x| (Position { x: x as f32, y: 0.0 },))).unwrap();
    scene.publish();
    let first = scene.frame.len();
    scene.publish();
    assert!(first > 10_000 && scene.frame.len() < 20, "{first} and {} bytes", scene.frame.len());
    // Written, but with the same value.
    scene.world.query::<&mut Position>().for_each(&mut scene.world, |position| *position.x += 0.0);
    scene.publish();
    assert!(scene.frame.len() < 20, "{} bytes", scene.frame.len());
}

#[test]
fn a_mirror_with_other_columns_is_told() {
    let mut scene = Scene::new(spec());
    scene.publish();
    let mirror = &scene.mirrors[0];
    assert!(mirror.column::<f64>("Position", "x").is_none(), "another type");
    assert!(mirror.column::<f32>("Position", "z").is_none(), "a field that the host lacks");
    assert!(mirror.column::<f32>("Velocity", "x").is_none(), "a component that the host lacks");
    let mut other = Scene::new(ViewSpec::new().with(ComponentView::of::<Position>()));
    other.publish();
    assert!(matches!(scene.mirrors[0].apply(&other.frame), Err(FrameError::Schema { .. })));
    let error = ViewWorld::open(b"hello there").unwrap_err();
    assert_eq!(error.to_string(), "at byte 0 of the frame: not a message of this format");
}

#[test]
fn views_that_cannot_be_are_refused_by_name() {
    let refused = |spec: ViewSpec| View::new(&mut World::new().unwrap(), spec).unwrap_err();
    let position = ComponentView::of::<Position>;
    assert_eq!(refused(ViewSpec::new()), ViewError::Empty);
    assert_eq!(refused(ViewSpec::new().with(ComponentView::named("Nobody"))), ViewError::Unknown("Nobody".into()));
    assert_eq!(refused(ViewSpec::new().with(position()).with(position())), ViewError::Twice("Position".into()));
    let error = refused(ViewSpec::new().with(position().quantised("z", 0.1)));
    assert_eq!(error.to_string(), "component `Position` has no field `z`");
    let error = refused(ViewSpec::new().with(ComponentView::of::<State>().quantised("hp", 0.1)));
    assert_eq!(error.to_string(), "field `State.hp` is i16: only f32 and f64 can be quantised");
    let error = refused(ViewSpec::new().with(position().quantised("x", -1.0)));
    assert_eq!(
        error.to_string(),
        "field `Position.x` is to be quantised with an error of -1, which is no positive number"
    );
}

#[test]
fn a_snapshot_that_names_no_rows_changes_none() {
    let mut scene = Scene::new(ViewSpec::new().with(ComponentView::of::<Position>()));
    scene.world.spawn_batch((0..64).map(|x| (Position { x: x as f32, y: 1.0 },))).unwrap();
    scene.publish();
    let mirror = &mut scene.mirrors[0];
    let before = (mirror.tick(), mirror.hash());
    // Every row has the component, so that "all rows" would be 64 of them, if a snapshot kept any.
    let mut hostile = vec![MAGIC, VERSION, 1];
    hostile.extend_from_slice(&(mirror.schema().hash() as u32).to_le_bytes());
    const SNAPSHOT: u8 = 1;
    hostile.extend_from_slice(&[SNAPSHOT, 9, 64]);
    // The first component changes, in all rows; then nothing, or a column of equal differences for each field.
    hostile.extend_from_slice(&[1, 0]);
    let columns = [1 << 6, 0, 1 << 6, 0];
    let refused = mirror.apply(&[hostile.as_slice(), &columns].concat());
    assert_eq!(
        refused,
        Err(FrameError::Invalid { offset: hostile.len(), what: "bytes after the end of the frame" }),
        "nothing is there that columns could be of"
    );
    assert_eq!((mirror.tick(), mirror.hash()), before);
    assert!(mirror.apply(&hostile).is_ok());
    assert!(mirror.is_empty() && mirror.changed(0).iter().all(|word| *word == 0));
}
