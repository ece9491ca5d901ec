//! Stages, sync points and conditions: what runs when.

mod support;

use peristyle_schedule::{Mode, Stage, System};
use peristyle_world::{Changed, Without};
use support::{A, B, C, Log, scheduler, serial, world_of};

#[test]
fn startup_runs_once_also_for_systems_that_come_later() {
    let log = Log::default();
    let mut scheduler = serial(world_of(1));
    scheduler.add(log.system("start").stage(Stage::Startup)).unwrap();
    let alone = log.clone();
    scheduler.add(System::new("start alone").stage(Stage::Startup).exclusive(move |_, _| alone.push("alone"))).unwrap();
    scheduler.add(log.system("step")).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), ["start", "alone", "step", "step"]);
    scheduler.add(log.system("start late").stage(Stage::Startup)).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), ["start late", "step", "step"]);
}

#[test]
fn commands_are_merged_before_a_sync_point_a_system_alone_and_the_next_stage() {
    for mode in [Mode::Serial, Mode::Parallel] {
        let (log, mut scheduler) = (Log::default(), scheduler(world_of(0), mode, 1));
        let count = |name: &str, stage: Stage| {
            let (log, name_of) = (log.clone(), name.to_owned());
            System::new(name).stage(stage).run(move |setup| {
                let mut query = setup.query::<&A>();
                move |context| {
                    let mut rows = 0;
                    context.for_each(&mut query, |_| rows += 1);
                    log.push(format!("{name_of} {rows}"));
                }
            })
        };
        let spawn = |name: &str| System::new(name).run(|_| |context| _ = context.commands().spawn(A { x: 0.0 }));
        scheduler.add(spawn("1 spawn")).unwrap();
        scheduler.add(count("2 count", Stage::Update).after("1 spawn")).unwrap();
        scheduler.add(System::sync_point("3 sync").after("2 count")).unwrap();
        scheduler.add(count("4 count", Stage::Update).after("3 sync")).unwrap();
        scheduler.add(spawn("5 spawn").after("4 count")).unwrap();
        let alone = log.clone();
        let system = System::new("6 alone").exclusive(move |world, _| alone.push(format!("6 alone {}", world.len())));
        scheduler.add(system.after("5 spawn")).unwrap();
        scheduler.add(spawn("7 spawn").after("6 alone")).unwrap();
        scheduler.add(count("8 count", Stage::Late)).unwrap();
        scheduler.run_frame(0.0, 0.0).unwrap();
        assert_eq!(log.take(), ["2 count 0", "4 count 1", "6 alone 2", "8 count 3"]);
    }
}

#[test]
fn run_if_sees_the_tick_and_skips_all_kinds() {
    let log = Log::default();
    let mut scheduler = serial(world_of(1));
    scheduler.add(log.system("even").run_if(|tick| tick.number % 2 == 0)).unwrap();
    let rows = log.clone();
    let system = System::new("rows").each::<&A>(move |_, _| rows.push("rows"));
    scheduler.add(system.run_if(|tick| tick.time > 1.5)).unwrap();
    let alone = log.clone();
    let system = System::new("z alone").exclusive(move |_, _| alone.push("alone"));
    scheduler.add(system.run_if(|tick| tick.dt > 0.25)).unwrap();
    for (dt, time) in [(0.1, 1.0), (0.2, 2.0), (0.3, 3.0)] {
        log.push(format!("{time}"));
        scheduler.run_frame(dt, time).unwrap();
    }
    assert_eq!(log.take(), ["1", "2", "even", "rows", "3", "rows", "alone"]);
}

#[test]
fn skip_if_empty_looks_at_the_rows_there_are_now() {
    let log = Log::default();
    let mut scheduler = serial(world_of(0));
    scheduler.add(log.system("any").skip_if_empty::<&A, ()>()).unwrap();
    scheduler.add(log.system("without").skip_if_empty::<&A, Without<B>>()).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert!(log.take().is_empty());
    let entity = scheduler.world_mut().spawn((A { x: 0.0 }, B { x: 0.0, y: 0.0 })).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), ["any"]);
    scheduler.world_mut().remove::<B>(entity).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), ["any", "without"]);
    scheduler.world_mut().despawn(entity).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert!(log.take().is_empty());
}

#[test]
fn every_kind_of_system_is_told_dt_time_and_tick() {
    let log = Log::default();
    let mut scheduler = serial(world_of(1));
    let told = log.clone();
    scheduler.add(System::new("1").run(move |_| move |context| told.push(format!("{:?}", context.tick())))).unwrap();
    let told = log.clone();
    scheduler.add(System::new("2").each::<&A>(move |range, _| told.push(format!("{:?}", range.tick())))).unwrap();
    let told = log.clone();
    scheduler.add(System::new("3").exclusive(move |_, tick| told.push(format!("{tick:?}")))).unwrap();
    for (dt, time) in [(0.5, 10.0), (0.25, 10.25)] {
        let report = scheduler.run_frame(dt, time).unwrap();
        let expected = format!("Tick {{ number: {}, dt: {dt:?}, time: {time:?} }}", report.tick);
        assert_eq!(log.take(), [expected.clone(), expected.clone(), expected]);
        assert_eq!(report.rows, 1);
    }
}

#[test]
fn a_skipped_system_sees_what_it_missed_once() {
    for mode in [Mode::Serial, Mode::Parallel] {
        let (log, mut scheduler) = (Log::default(), scheduler(world_of(3), mode, 1));
        let write = System::new("write").each::<&mut A>(|_, row| *row.x += 1.0);
        scheduler.add(write.run_if(|tick| tick.number == 3)).unwrap();
        let saw = log.clone();
        let watch = System::new("watch").each_with::<&A, Changed<A>, _>(move |_| {
            move |range, row| saw.push(format!("{} {}", range.tick().number, row.x))
        });
        scheduler.add(watch.after("write").run_if(|tick| tick.number != 3)).unwrap();
        for _ in 0..5 {
            scheduler.run_frame(0.0, 0.0).unwrap();
        }
        assert_eq!(log.take(), ["1 0", "1 1", "1 2", "4 1", "4 2", "4 3"]);
    }
}

#[test]
fn a_report_counts_rows_and_time() {
    let mut scheduler = serial(world_of(1000));
    scheduler.add(System::new("a").each::<&A>(|_, _| ())).unwrap();
    scheduler.add(System::new("b").each_chunk::<&mut A>(|_, _| ())).unwrap();
    scheduler.add(System::new("none").each::<&C>(|_, _| ())).unwrap();
    let report = scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!((report.tick, report.rows, report.despawned, report.failures), (1, 2000, 0, 0));
    assert!(report.jobs_ns > 0 && report.frame_ns >= report.jobs_ns + report.structural_ns, "{report:?}");
}
