//! Apps whose world is native: frames, Rust systems beside, what is refused, and what Rust sees of the world.

use std::sync::{Arc, Mutex};

use peristyle_agents::{AgentOptions, Cluster, Code, Exit, NodeOptions};
use peristyle_runtime::{AppRuntime, AppRuntimeBuilder, Frames, RustSystem};
use peristyle_world::{Component, Entity, World};

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Velocity {
    x: f32,
    y: f32,
}

const APP: &str = r#"
    import { World, Scheduler } from "peristyle";
    const world = new World();
    const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
    const Velocity = world.defineComponent({ name: "Velocity", fields: { x: "f32", y: "f32" } });
    for (let i = 0; i < 3; i++) {
        world.createEntity({ [Position.id]: { x: i, y: 0 }, [Velocity.id]: { x: 1, y: 2 } });
    }
    export const scheduler = new Scheduler(world);
    scheduler.register({
        name: "move",
        readsComponents: [Velocity],
        writesComponents: [Position],
        run({ dt }) {
            for (const [e, , p, v] of world.iter(world.makeQuery({ all: [Position, Velocity] }), Position, Velocity)) {
                world.set(e, Position, { x: p.x + v.x * dt, y: p.y + v.y * dt });
            }
        },
    });
"#;

/// Runs an app for some frames of half a second; how it ended, and what its errors were.
fn run(builder: AppRuntimeBuilder, text: &str, ticks: u64) -> (Exit, Vec<String>) {
    let cluster = Cluster::new().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let errors = told.clone();
    let options = AgentOptions {
        node: Some(NodeOptions::default()),
        heap_bytes: 1 << 30,
        on_error: Some(Arc::new(move |thrown| errors.lock().unwrap().push(thrown.to_string()))),
        ..AgentOptions::default()
    };
    let frames = Frames { hz: 2.0, ticks: Some(ticks), waits: false };
    let app = builder.frames(frames).spawn(&cluster, Code::source("app.ts", text), options).unwrap();
    let exit = app.join().wait();
    let told = told.lock().unwrap().clone();
    (exit, told)
}

/// What a function sees of the world after each frame.
fn watched<T: Send + 'static>(
    mut see: impl FnMut(&mut World) -> T + Send + 'static,
) -> (AppRuntimeBuilder, Arc<Mutex<Vec<T>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = seen.clone();
    let builder = AppRuntime::builder().after_frame(move |world| {
        let now = see(world);
        list.lock().unwrap().push(now);
        Ok(())
    });
    (builder, seen)
}

fn positions(world: &mut World) -> Vec<(f32, f32)> {
    let mut query = world.query::<&Position>();
    query.iter(world).map(|position| (position.x, position.y)).collect()
}

#[test]
fn frames_of_an_exported_scheduler_are_run_and_seen_by_rust() {
    let (builder, seen) = watched(|world| (world.tick(), positions(world)));
    let (exit, told) = run(builder, APP, 2);
    assert_eq!((exit, told), (Exit::Exited(0), Vec::new()));
    let expected = [(0.5, 1.0), (1.0, 2.0)].map(|(x, y)| vec![(x, y), (1.0 + x, y), (2.0 + x, y)]);
    assert_eq!(*seen.lock().unwrap(), expected.into_iter().zip(1..).map(|(at, tick)| (tick, at)).collect::<Vec<_>>());
}

#[test]
fn rust_systems_run_in_their_place_of_the_plan() {
    let (builder, seen) = watched(positions);
    let mut query = None;
    let brake = RustSystem::new("brake", move |rust| {
        let (dt, world) = (rust.dt() as f32, rust.world());
        query.get_or_insert_with(|| world.query::<&mut Velocity>()).for_each(world, |velocity| *velocity.y -= dt);
    });
    let builder = builder.system(brake.uses::<Velocity>().after("move"));
    let (exit, told) = run(builder, APP, 3);
    assert_eq!((exit, told), (Exit::Exited(0), Vec::new()));
    let heights: Vec<f32> = seen.lock().unwrap().iter().map(|at| at[0].1).collect();
    // Of 2.0, 1.5 and 1.0 a second, half a second each.
    assert_eq!(heights, [1.0, 1.75, 2.25]);
}

#[test]
fn entities_that_rust_spawns_are_the_apps_too() {
    let text = format!(
        "{APP}
        scheduler.register({{ name: 'count', stage: 'late', readsComponents: [Position], run() {{
            counts.push([world.size, [...world.iter(world.makeQuery({{ all: [Position] }}), Position)].map(([, , p]) => p.x).sort((a, b) => a - b)]);
            if (counts.length === 2) throw new Error(JSON.stringify(counts));
        }} }});
        const counts = [];"
    );
    let mut first: Option<Entity> = None;
    let come = RustSystem::new("come", move |rust| {
        let world = rust.world();
        match first.take() {
            None => first = Some(world.spawn((Position { x: 90.0, y: 0.0 },)).unwrap()),
            Some(entity) => world.despawn(entity).unwrap(),
        }
    });
    let (exit, told) = run(AppRuntime::builder().system(come.uses::<Position>().before("move")), &text, 2);
    assert_eq!(exit, Exit::Exited(1));
    assert!(told[0].contains("[[4,[0.5,1.5,2.5,90]],[3,[1,2,3]]]"), "{told:?}");
}

#[test]
fn a_rust_system_names_what_does_not_fit() {
    #[derive(Component, Clone, Copy)]
    struct Mass {
        kg: f32,
    }
    #[derive(Component, Clone, Copy)]
    #[component(name = "Velocity")]
    struct Other {
        x: f64,
    }
    let system = || RustSystem::new("odd", |_| {});
    for (system, message) in [
        (system().uses::<Mass>(), "system `odd` of Rust: no component named `Mass` is defined"),
        (
            system().uses::<Other>(),
            "system `odd` of Rust: component `Velocity` is defined with the columns (x: f32, y: f32), not (x: f64)",
        ),
        (system().after("nobody"), "nobody"),
    ] {
        let (exit, told) = run(AppRuntime::builder().system(system), APP, 1);
        assert_eq!(exit, Exit::Exited(1));
        assert!(told.len() == 1 && told[0].contains(message), "{message}: {told:?}");
    }
}

#[test]
fn what_rust_refuses_after_a_frame_ends_the_app() {
    let builder = AppRuntime::builder().after_frame(|world| match world.tick() {
        2 => Err("not a third".into()),
        _ => Ok(()),
    });
    let (exit, told) = run(builder, APP, 5);
    assert_eq!(exit, Exit::Exited(1));
    assert!(told[0].contains("not a third"), "{told:?}");
}

#[test]
fn a_panic_of_rust_is_an_error_of_the_apps() {
    let builder = AppRuntime::builder().system(RustSystem::new("odd", |_| panic!("odd indeed")));
    let (exit, told) = run(builder, APP, 1);
    assert_eq!(exit, Exit::Exited(1));
    assert!(told[0].contains("odd indeed"), "{told:?}");
}

#[test]
fn an_app_without_an_exported_scheduler_runs_its_frames_itself() {
    let text = APP.replace("export const scheduler", "const scheduler");
    let text = format!("{text} setInterval(() => scheduler.runFrame(0.25), 0);");
    let (builder, seen) = watched(positions);
    let (exit, told) = run(builder, &text, 4);
    assert_eq!((exit, told), (Exit::Exited(0), Vec::new()), "it ends after as many frames all the same");
    assert_eq!(seen.lock().unwrap().last().unwrap()[0], (1.0, 2.0));
}
