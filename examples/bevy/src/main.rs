//! A Bevy application with systems that run as Peristyle's jobs, without a window.
//!
//! Boats on a lake: `drift` moves them, `wear` wears their hulls and makes those leak that are worn, `sink` takes away those
//! that leave the lake. All are offloaded; a last system, an ordinary one of Bevy's, counts who moved. The same application with systems in place runs beside it, and both have to
//! come to the same lake.
//!
//! `cargo run` in this directory; the last line says whether all agreed, and the exit code too.

mod jobs;

use std::process::ExitCode;

use bevy_app::{App, Update};
use bevy_ecs::prelude::*;
use peristyle_bevy::{Columnar, OffloadStep, Step, columns, offloaded};

const BOATS: usize = 200_000;
const FRAMES: u32 = 20;
const DT: f64 = 0.125;
/// Half the width of the lake.
const SHORE: f32 = 1000.0;

/// Where a boat is.
#[derive(Component, Columnar, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f32,
}

/// How it moves. Most boats lie at anchor.
#[derive(Component, Columnar, Clone, Copy, Debug, PartialEq)]
struct Velocity {
    x: f32,
    y: f32,
}

/// A boat's hull: not all of it is numbers, so it says itself which columns jobs see.
#[derive(Component, Clone, Debug, PartialEq)]
struct Hull {
    name: String,
    wear: f32,
}

/// How much water comes in through a worn hull. Few boats have it: the job gives it to them by a patch.
#[derive(Component, Columnar, Clone, Copy, Debug, PartialEq)]
struct Leak {
    litres: f32,
}

/// Hulls leak that are worn more than this.
const WORN: f32 = 100.0;

/// What the counting system saw.
#[derive(Resource, Default, Debug, PartialEq)]
struct Moved {
    boats: usize,
    worn: usize,
}

/// The lake, and how many boats moved and wore in all frames.
#[derive(Debug, PartialEq)]
struct Outcome {
    boats: Vec<(u32, Position, Option<Hull>, Option<Leak>)>,
    moved: Moved,
}

/// One boat in a hundred is under way, one in ten has a hull.
fn launch(world: &mut World) {
    for i in 0..BOATS {
        let angle = i as f32 * 0.37;
        let position = Position { x: (i % 1999) as f32 - 999.0, y: (i % 1777) as f32 - 888.0 };
        let velocity = if i % 100 == 0 { Velocity { x: 64.0, y: angle % 8.0 } } else { Velocity { x: 0.0, y: 0.0 } };
        let mut boat = world.spawn((position, velocity));
        if i % 10 == 0 {
            boat.insert(Hull { name: format!("boat {i}"), wear: 0.0 });
        }
    }
}

fn count(boats: Query<(), Changed<Position>>, hulls: Query<(), Changed<Hull>>, mut moved: ResMut<Moved>) {
    moved.boats += boats.iter().count();
    moved.worn += hulls.iter().count();
}

/// The systems in place, as one writes them with Bevy alone.
mod in_place {
    use bevy_ecs::prelude::*;

    use super::{DT, Hull, Leak, Position, SHORE, Velocity, WORN};

    pub fn drift(mut boats: Query<(&Velocity, &mut Position)>) {
        for (velocity, mut position) in &mut boats {
            if velocity.x != 0.0 || velocity.y != 0.0 {
                position.x += velocity.x * DT as f32;
                position.y += velocity.y * DT as f32;
            }
        }
    }

    pub fn wear(mut commands: Commands, mut boats: Query<(Entity, &Velocity, &mut Hull)>) {
        for (entity, velocity, mut hull) in &mut boats {
            if velocity.x != 0.0 {
                hull.wear += velocity.x.abs() * DT as f32;
                if hull.wear > WORN {
                    commands.entity(entity).insert(Leak { litres: hull.wear - WORN });
                }
            }
        }
    }

    pub fn sink(mut commands: Commands, boats: Query<(Entity, &Position)>) {
        for (entity, position) in &boats {
            if position.x.abs() > SHORE {
                commands.entity(entity).despawn();
            }
        }
    }
}

fn run(app: &mut App) -> Outcome {
    app.init_resource::<Moved>();
    launch(app.world_mut());
    for frame in 0..FRAMES {
        app.insert_resource(OffloadStep(Step { dt: DT, time: f64::from(frame) * DT }));
        app.update();
    }
    let world = app.world_mut();
    let moved = world.remove_resource::<Moved>().unwrap_or_default();
    let mut query = world.query::<(Entity, &Position, Option<&Hull>, Option<&Leak>)>();
    let boats = query.iter(world);
    let boats =
        boats.map(|(entity, position, hull, leak)| (entity.index_u32(), *position, hull.cloned(), leak.copied()));
    let mut boats: Vec<_> = boats.collect();
    boats.sort_by_key(|(index, ..)| *index);
    Outcome { boats, moved }
}

fn main() -> ExitCode {
    let mut theirs = App::new();
    theirs.add_systems(Update, (in_place::drift, in_place::wear, in_place::sink, count).chain());
    let theirs = run(&mut theirs);

    // Each offloaded system is one line: its job, and what that reads and writes.
    let mut ours = App::new();
    ours.add_systems(
        Update,
        (
            offloaded(jobs::drift()).reads::<Velocity>().writes::<Position>().on_report(jobs::tell("drift")),
            offloaded(jobs::wear()).reads::<Velocity>().writes_as(columns!(Hull { wear })).patches::<Leak>(),
            offloaded(jobs::sink()).reads::<Position>().despawns(),
            count,
        )
            .chain(),
    );
    let ours = run(&mut ours);

    println!(
        "{} of {BOATS} boats left after {FRAMES} frames, {} leak; Bevy saw {} moves and {} worn hulls",
        ours.boats.len(),
        ours.boats.iter().filter(|(.., leak)| leak.is_some()).count(),
        ours.moved.boats,
        ours.moved.worn
    );
    let agree = ours == theirs;
    println!("{}", if agree { "offloaded and in place agree" } else { "offloaded and in place DIFFER" });
    if agree { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
