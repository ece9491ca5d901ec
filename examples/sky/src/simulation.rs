//! The simulation: a world with the timetable in it, and the systems that spawn, move and despawn flights.
//!
//! Two systems make a tick. `depart` has the world to itself and spawns what left since the last tick, filling columns in
//! place. `fly` moves every flight on all lanes, as the TypeScript job or in Rust, and sets the despawn bit of those that
//! arrived; they go at the end of the stage.

use std::collections::HashMap;

use peristyle_agents::{Cluster, JsJob};
use peristyle_memory::Memory;
use peristyle_schedule::{CheckReport, FrameReport, Job, JobFailure, Options, Scheduler, System};
use peristyle_timeline::Timeline;
use peristyle_world::{Component, World, WorldError};

use crate::{
    FLY_JOB_NAME, FLY_JOB_SOURCE,
    config::{JobKind, SkyConfig},
    route::{AirportColumns, FlightColumns, PositionColumns, Route, RouteColumns, step},
    sky::{Loaded, SkyError},
    timetable::{airborne_at, departures},
};

/// Where checks begin to choose borders: any number, the same for every run.
const CHECK_SEED: u64 = 2001;

/// What a flight is.
#[derive(Debug, Clone, Copy, PartialEq, Component)]
pub struct Flight {
    /// Departure in seconds of the day.
    pub departs: f32,
    /// Arrival in seconds of the day.
    pub arrives: f32,
    /// Index of the airport of departure.
    pub origin: u16,
    /// Index of the airport of arrival.
    pub destination: u16,
    /// Minutes late; negative is early.
    pub delay: i16,
}

/// Where a flight is.
#[derive(Debug, Clone, Copy, PartialEq, Component)]
pub struct Position {
    /// Degrees north, from -90 to 90.
    pub latitude: f32,
    /// Degrees east, from -180 to 180.
    pub longitude: f32,
    /// Degrees clockwise from north, from 0 to 360.
    pub heading: f32,
    /// From 0 at departure to 1 at arrival.
    pub progress: f32,
}

/// A row of the columns `Airport`, which the world has once.
#[derive(Debug, Clone, Copy, PartialEq, Component)]
pub struct Airport {
    /// First coordinate of its unit vector.
    pub x: f32,
    /// Second coordinate.
    pub y: f32,
    /// Third coordinate.
    pub z: f32,
    /// Degrees north.
    pub latitude: f32,
    /// Degrees east.
    pub longitude: f32,
}

/// A row of the columns `Timetable`, which the world has once, sorted by departure.
#[derive(Debug, Clone, Copy, PartialEq, Component)]
#[component(name = "Timetable")]
pub struct ScheduledFlight {
    /// Departure in seconds of the day.
    pub departs: f32,
    /// Arrival in seconds of the day.
    pub arrives: f32,
    /// Index of the airport of departure.
    pub origin: u16,
    /// Index of the airport of arrival.
    pub destination: u16,
    /// Minutes late; negative is early.
    pub delay: i16,
    /// Which of the columns `Route` it flies.
    pub route: u32,
}

/// Flights spawned so far.
struct Spawned(u64);

/// Sky's world and its systems.
pub struct Simulation {
    scheduler: Scheduler,
    despawned: u64,
    bytes_copied: u64,
    seconds: f64,
    start_seconds: f64,
    tick_seconds: f64,
}

impl Simulation {
    /// Builds the world: timetable, airports and routes as columns, and the flights that are in the air at the start.
    ///
    /// # Errors
    /// [`SkyError::Memory`] and [`SkyError::World`] if the memory is too small, [`SkyError::Agents`] if the job cannot be
    /// loaded.
    pub fn new(config: &SkyConfig, loaded: &Loaded, timeline: Timeline) -> Result<Simulation, SkyError> {
        match config.job {
            JobKind::Rust => Simulation::build(config, loaded, timeline, None),
            JobKind::Ts | JobKind::Path(_) => Simulation::with_cluster(config, loaded, timeline, &Cluster::new()?),
        }
    }

    /// As [`Simulation::new`], with a job that is run by agents of `cluster`.
    ///
    /// # Errors
    /// As [`Simulation::new`].
    pub fn with_cluster(
        config: &SkyConfig,
        loaded: &Loaded,
        timeline: Timeline,
        cluster: &Cluster,
    ) -> Result<Simulation, SkyError> {
        let job = match &config.job {
            JobKind::Rust => None,
            JobKind::Ts => Some(cluster.job_from_source(FLY_JOB_NAME, FLY_JOB_SOURCE)?),
            JobKind::Path(path) => Some(cluster.job(path)?),
        };
        Simulation::build(config, loaded, timeline, job)
    }

    fn build(
        config: &SkyConfig,
        loaded: &Loaded,
        timeline: Timeline,
        job: Option<JsJob>,
    ) -> Result<Simulation, SkyError> {
        let memory = Memory::reserve(config.memory_bytes_max.unwrap_or(Memory::DEFAULT_MAX_BYTES))?;
        let mut world = World::on(memory);
        insert_columns(&mut world, loaded)?;
        world.insert_resource(Spawned(0));

        let start_seconds = f64::from(config.start_seconds);
        let timetable = &loaded.timetable;
        let airborne: Vec<u32> =
            airborne_at(timetable.departs(), timetable.arrives(), start_seconds).map(|row| row as u32).collect();
        spawn(&mut world, airborne.len(), |index| airborne[index] as usize)?;

        let options = Options { timeline, ..Options::default() };
        let options = Options { workers: config.workers.unwrap_or(options.workers), ..options };
        let options = Options { checks: if config.check { Some(CHECK_SEED) } else { options.checks }, ..options };
        let mut scheduler = Scheduler::new(world, options)?;
        scheduler.add(depart(start_seconds))?;
        scheduler.add(fly(job).after("depart"))?;
        let tick_seconds = config.tick_seconds();
        Ok(Simulation { scheduler, despawned: 0, bytes_copied: 0, seconds: start_seconds, start_seconds, tick_seconds })
    }

    /// Runs tick number `tick`, from 1.
    ///
    /// # Errors
    /// [`SkyError::Schedule`] if the memory is used up.
    pub fn tick(&mut self, tick: u64) -> Result<FrameReport, SkyError> {
        // Made by one multiplication, so that many days gather no rounding.
        self.tick_to(self.start_seconds + tick as f64 * self.tick_seconds)
    }

    /// Runs a tick that ends at a simulated time, in seconds since the midnight before the start; not before the last one.
    ///
    /// # Errors
    /// As [`Simulation::tick`].
    pub fn tick_to(&mut self, seconds: f64) -> Result<FrameReport, SkyError> {
        let frame = self.scheduler.run_frame(seconds - self.seconds, seconds)?;
        self.seconds = seconds;
        self.despawned += frame.despawned;
        self.bytes_copied += frame.bytes_copied;
        if let Some(error) = self.scheduler.world_mut().remove_resource::<DepartFailed>() {
            return Err(error.0.into());
        }
        Ok(frame)
    }

    /// Simulated time, in seconds since the midnight before the start.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The world.
    pub fn world(&self) -> &World {
        self.scheduler.world()
    }

    /// The world, to query it.
    pub fn world_mut(&mut self) -> &mut World {
        self.scheduler.world_mut()
    }

    /// Flights spawned, those that were in the air at the start included.
    pub fn spawned(&self) -> u64 {
        self.world().resource::<Spawned>().map_or(0, |spawned| spawned.0)
    }

    /// Flights despawned.
    pub fn despawned(&self) -> u64 {
        self.despawned
    }

    /// Column bytes copied to run jobs.
    pub fn bytes_copied(&self) -> u64 {
        self.bytes_copied
    }

    /// Flights in the air.
    pub fn airborne(&self) -> u64 {
        self.world().len() as u64
    }

    /// Threads of the pool.
    pub fn workers(&self) -> usize {
        self.scheduler.pool().workers()
    }

    /// Threads that ran jobs, the frame's own included.
    pub fn lanes(&self) -> usize {
        let pool = self.scheduler.pool();
        1 + (1..pool.lanes()).filter(|lane| pool.ranges_run(*lane) > 0).count()
    }

    /// What checks of the job found since the last call.
    pub fn take_check_reports(&mut self) -> Vec<CheckReport> {
        self.scheduler.take_check_reports()
    }

    /// Failures of the job since the last call.
    pub fn take_failures(&mut self) -> Vec<JobFailure> {
        self.scheduler.take_failures()
    }
}

fn insert_columns(world: &mut World, loaded: &Loaded) -> Result<(), SkyError> {
    let (airports, timetable) = (&loaded.airports, &loaded.timetable);
    world.insert_columns::<Airport>(airports.len(), |columns| {
        columns.x.copy_from_slice(airports.x());
        columns.y.copy_from_slice(airports.y());
        columns.z.copy_from_slice(airports.z());
        columns.latitude.iter_mut().zip(airports.latitude()).for_each(|(to, from)| *to = *from as f32);
        columns.longitude.iter_mut().zip(airports.longitude()).for_each(|(to, from)| *to = *from as f32);
    })?;
    // The same few thousand pairs of airports come again and again.
    let (mut route_of, mut routes) = (HashMap::<(u16, u16), u32>::new(), Vec::new());
    world.insert_columns::<ScheduledFlight>(timetable.len(), |columns| {
        columns.departs.copy_from_slice(timetable.departs());
        columns.arrives.copy_from_slice(timetable.arrives());
        columns.origin.copy_from_slice(timetable.origin());
        columns.destination.copy_from_slice(timetable.destination());
        columns.delay.copy_from_slice(timetable.delay());
        for (row, pair) in timetable.origin().iter().copied().zip(timetable.destination().iter().copied()).enumerate() {
            columns.route[row] = *route_of.entry(pair).or_insert_with(|| {
                let unit = airports.unit();
                routes.push(Route::between(unit[usize::from(pair.0)], unit[usize::from(pair.1)]));
                routes.len() as u32 - 1
            });
        }
    })?;
    world.insert_columns::<Route>(routes.len(), |columns| {
        for (row, route) in routes.iter().enumerate() {
            columns.angle[row] = route.angle;
            columns.ahead_x[row] = route.ahead_x;
            columns.ahead_y[row] = route.ahead_y;
            columns.ahead_z[row] = route.ahead_z;
        }
    })?;
    Ok(())
}

/// Spawns the flights of `count` rows of the timetable, straight into their columns.
fn spawn(world: &mut World, count: usize, row_of: impl Fn(usize) -> usize) -> Result<(), WorldError> {
    let spawned = world.columns_scope::<ScheduledFlight, _>(|world, timetable| {
        world.columns_scope::<Route, _>(|world, routes| {
            world.columns_scope::<Airport, _>(|world, airports| {
                let spawned =
                    world.spawn_fill::<(Flight, Route, Position)>(count, |(flight, route, position), first| {
                        for at in 0..flight.departs.len() {
                            let row = row_of(first + at);
                            let (origin, way) = (timetable.origin[row], timetable.route[row] as usize);
                            flight.departs[at] = timetable.departs[row];
                            flight.arrives[at] = timetable.arrives[row];
                            flight.origin[at] = origin;
                            flight.destination[at] = timetable.destination[row];
                            flight.delay[at] = timetable.delay[row];
                            route.angle[at] = routes.angle[way];
                            route.ahead_x[at] = routes.ahead_x[way];
                            route.ahead_y[at] = routes.ahead_y[way];
                            route.ahead_z[at] = routes.ahead_z[way];
                            position.latitude[at] = airports.latitude[usize::from(origin)];
                            position.longitude[at] = airports.longitude[usize::from(origin)];
                            position.heading[at] = 0.0;
                            position.progress[at] = 0.0;
                        }
                    });
                spawned.map(drop)
            })
        })
    });
    spawned.flatten().flatten().unwrap_or(Ok(()))?;
    if let Some(spawned) = world.resource_mut::<Spawned>() {
        spawned.0 += count as u64;
    }
    Ok(())
}

/// Why `depart` could not spawn; the tick that finds it ends the run.
struct DepartFailed(WorldError);

/// Spawns the flights that left since the last tick.
fn depart(mut since: f64) -> System {
    System::new("depart").exclusive(move |world, tick| {
        let Some(timetable) = world.columns::<ScheduledFlight>() else { return };
        let ranges = departures(timetable.departs, since, tick.time);
        since = tick.time;
        for rows in ranges {
            if let Err(error) = spawn(world, rows.len(), |index| rows.start + index) {
                world.insert_resource(DepartFailed(error));
                return;
            }
        }
    })
}

/// Moves the flights, and despawns those that arrived.
fn fly(job: Option<JsJob>) -> System {
    let system = System::new("fly");
    let Some(job) = job else { return fly_in_rust(system) };
    let job = Job::new(job).reads::<Flight>().reads::<Route>().writes::<Position>();
    system.job(job.reads_columns::<Airport>().despawns())
}

fn fly_in_rust(system: System) -> System {
    system.each_chunk_with::<(&Flight, &Route, &mut Position), (), _>(|setup| {
        let (airports, despawn) = (setup.reads_columns::<Airport>(), setup.despawns());
        move |range, (flight, route, position)| {
            let airports = range.columns(&airports);
            step(
                range.tick().time,
                FlightColumns { departs: flight.departs, arrives: flight.arrives, origin: flight.origin },
                RouteColumns {
                    angle: route.angle,
                    ahead_x: route.ahead_x,
                    ahead_y: route.ahead_y,
                    ahead_z: route.ahead_z,
                },
                AirportColumns { x: airports.x, y: airports.y, z: airports.z },
                PositionColumns {
                    latitude: position.latitude,
                    longitude: position.longitude,
                    heading: position.heading,
                    progress: position.progress,
                },
                range.despawn_bits(&despawn),
            );
        }
    })
}
