//! What a scheduler records can be read again, and says what ran where.

use peristyle_schedule::{Mode, Options, Scheduler, Stage, System};
use peristyle_timeline::{
    Timeline,
    gantt::{Select, Stats, Trace},
};
use peristyle_world::{Component, World};

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f32,
}

/// A recorded run of `frames` frames, read again.
fn run(workers: usize, mode: Mode, frames: u64) -> Trace {
    let timeline = Timeline::new(workers + 1, 1 << 12);
    let mut world = World::new().unwrap();
    world.spawn_batch((0..100_000).map(|i| (Position { x: i as f32, y: 0.0 },))).unwrap();
    let options = Options { workers, mode, timeline: timeline.clone(), ..Options::default() };
    let mut scheduler = Scheduler::new(world, options).unwrap();
    let move_all = System::new("move").each_chunk::<&mut Position>(|_, position| {
        for (x, y) in position.x.iter_mut().zip(position.y) {
            *y = x.sin();
            *x += *y;
        }
    });
    scheduler.add(move_all).unwrap();
    scheduler.add(System::new("weather").run(|_| |_| ())).unwrap();
    scheduler.add(System::new("spawn").stage(Stage::Late).exclusive(|_, _| ())).unwrap();
    scheduler.add(System::new("draw").stage(Stage::Render).run(|_| |_| ())).unwrap();
    timeline.set_enabled(true);
    for frame in 1..=frames {
        scheduler.run_frame(1.0 / 60.0, frame as f64 / 60.0).unwrap();
    }
    let mut bytes = Vec::new();
    timeline.write_chrome_trace(&mut bytes).unwrap();
    Trace::read(&bytes).unwrap()
}

#[test]
fn a_recorded_run_names_its_systems_stages_lanes_and_frames() {
    for (workers, mode) in [(1, Mode::Parallel), (2, Mode::Parallel), (0, Mode::Serial)] {
        let trace = run(workers, mode, 30);
        assert_eq!((trace.lanes().len(), trace.skipped()), (workers + 1, 0));
        let numbers: Vec<_> = trace.frames().iter().map(|frame| frame.number).collect();
        assert_eq!(numbers, (1..=30).collect::<Vec<_>>());
        let chart = trace.chart(trace.select(Select::All).unwrap());
        assert_eq!(chart.stages(), ["update", "late", "render"]);

        let stats = Stats::new(&chart);
        let mut systems: Vec<_> =
            stats.systems.iter().map(|system| (&system.name[..], system.stage.as_deref(), system.count)).collect();
        systems.sort_unstable();
        let (late, render, update) = (Some("late"), Some("render"), Some("update"));
        let expected = [("draw", render, 30), ("move", update, 30), ("spawn", late, 30), ("weather", update, 30)];
        assert_eq!(systems, expected);
        let moved = stats.systems.iter().find(|system| system.name == "move").unwrap();
        assert_eq!(moved.rows, 30 * 100_000, "every row of every frame is in one span");
        // All of each frame is on its path, so something on it is of the system that does all the work.
        assert!(moved.critical_share > 0.0);
        let (_, commits) = stats.rest.iter().find(|(name, _)| *name == "commits").unwrap();
        assert_eq!(commits.count, 60, "one for each stage, except where a system has the world to itself");

        let svg = chart.svg("a run");
        for name in ["move", "weather", "spawn", "draw", "frame"] {
            assert!(svg.contains(&format!(">{name}<")), "{name} is in the picture");
        }
    }
}
