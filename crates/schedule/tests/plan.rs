//! The plan: order, conflicts, batches, errors, and its text.

mod support;

use peristyle_schedule::{Job, ScheduleError, Scheduler, Stage, System};
use support::{A, B, C, Closure, Log, serial, world_of};

fn names(scheduler: &mut Scheduler) -> Vec<String> {
    scheduler.plan().unwrap().systems().iter().map(|system| system.name.clone()).collect()
}

fn nothing(name: &str) -> System {
    System::new(name).run(|_| |_| ())
}

#[test]
fn constraints_come_first_and_names_decide_the_rest() {
    let mut scheduler = serial(world_of(1));
    for system in
        [nothing("d"), nothing("b").after("d"), nothing("c"), nothing("a").after("b"), nothing("e").before("c")]
    {
        scheduler.add(system).unwrap();
    }
    assert_eq!(names(&mut scheduler), ["d", "b", "a", "e", "c"]);
}

#[test]
fn the_order_of_registration_does_not_matter() {
    let log = Log::default();
    let mut texts = Vec::new();
    for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
        let mut scheduler = serial(world_of(1));
        for name in order {
            scheduler.add(log.system(name)).unwrap();
        }
        scheduler.run_frame(0.0, 0.0).unwrap();
        texts.push((scheduler.plan().unwrap().to_string(), log.take()));
    }
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    assert_eq!(texts[0].1, ["a", "b", "c"]);
}

#[test]
fn stages_come_in_their_order_and_constraints_across_them_may_only_agree() {
    let log = Log::default();
    let mut scheduler = serial(world_of(1));
    for (name, stage) in [("1", Stage::Cleanup), ("2", Stage::Render), ("3", Stage::Late), ("4", Stage::Update)] {
        scheduler.add(log.system(name).stage(stage)).unwrap();
    }
    scheduler.add(log.system("5").stage(Stage::Startup).before("1")).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), ["5", "4", "3", "2", "1"]);
}

fn job() -> Job {
    Job::new(Closure(|_: &mut peristyle_jobs::Lane, _: &peristyle_jobs::JobCall<'_>| Ok(())))
}

/// What runs side by side with what: the batches of two systems.
fn batches(first: System, second: System) -> (usize, Option<String>) {
    let mut world = world_of(1);
    world.insert_resource(1_u32);
    world.insert_columns::<C>(1, |_| ()).unwrap();
    let mut scheduler = serial(world);
    scheduler.add(first).unwrap().add(second).unwrap();
    let planned = &scheduler.plan().unwrap().systems()[1];
    (planned.batch, planned.waits_for.first().map(|(_, why)| why.clone()))
}

#[test]
fn systems_conflict_by_what_they_touch() {
    let reads = |name| System::new(name).each::<&A>(|_, _| ());
    let writes = |name| System::new(name).each::<&mut A>(|_, _| ());
    let other = |name| System::new(name).each::<&mut B>(|_, _| ());
    let lends = |name| System::new(name).job(job().reads::<A>());
    let job_writes = |name| System::new(name).job(job().writes::<A>());
    let despawns = |name| {
        System::new(name).each_with::<&B, (), _>(|setup| {
            let despawn = setup.despawns();
            move |range, _| range.despawn(&despawn, 0)
        })
    };
    let resource = |name| {
        System::new(name).run(|setup| {
            setup.reads::<u32>();
            |_| ()
        })
    };
    let resource_mut = |name| {
        System::new(name).run(|setup| {
            setup.writes::<u32>();
            |_| ()
        })
    };
    let columns = |name| {
        System::new(name).run(|setup| {
            setup.reads_columns::<C>();
            |_| ()
        })
    };
    let job_columns = |name| System::new(name).job(job().reads::<B>().reads_columns::<C>());
    let alone = |name| System::new(name).exclusive(|_, _| ());
    let because = |why: &str| (1, Some(why.to_owned()));

    assert_eq!(batches(reads("1"), reads("2")), (0, None));
    assert_eq!(batches(reads("1"), writes("2")), because("A"));
    assert_eq!(batches(writes("1"), writes("2")), because("A"));
    assert_eq!(batches(writes("1"), other("2")), (0, None));
    assert_eq!(batches(lends("1"), reads("2")), because("A"));
    assert_eq!(batches(reads("1"), lends("2")), because("A"));
    assert_eq!(batches(lends("1"), lends("2")), (0, None));
    assert_eq!(batches(lends("1"), job_writes("2")), because("A"));
    assert_eq!(batches(despawns("1"), despawns("2")), because("despawn bits"));
    assert_eq!(batches(resource("1"), resource("2")), (0, None));
    assert_eq!(batches(resource("1"), resource_mut("2")), because("u32"));
    assert_eq!(batches(columns("1"), columns("2")), (0, None));
    assert_eq!(batches(columns("1"), job_columns("2")), because("C"));
    assert_eq!(batches(alone("1"), nothing("2")), because("the world"));
    assert_eq!(batches(nothing("1"), nothing("2").after("1")), because("constraint"));
}

#[test]
fn a_changed_filter_reads() {
    use peristyle_world::Changed;
    let watches = System::new("2").each_with::<&B, Changed<A>, _>(|_| |_, _| ());
    assert_eq!(batches(System::new("1").each::<&mut A>(|_, _| ()), watches).0, 1);
}

#[test]
fn a_plan_prints_itself() {
    let mut scheduler = serial(world_of(1));
    scheduler.add(System::new("move").each::<(&mut A, &B)>(|_, _| ())).unwrap();
    scheduler.add(System::new("wind").each::<&mut B>(|_, _| ())).unwrap();
    scheduler.add(System::new("count").each::<&A>(|_, _| ()).after("move")).unwrap();
    scheduler.add(System::sync_point("spawned").after("wind")).unwrap();
    scheduler.add(nothing("log")).unwrap();
    scheduler.add(nothing("draw").stage(Stage::Render)).unwrap();
    scheduler.add(nothing("load").stage(Stage::Startup)).unwrap();
    let plan = scheduler.plan().unwrap();
    let text = "\
startup
  0 load
update
  0 log
  0 move
  1 count  after move (constraint)
  1 wind  after move (B)
  2 spawned  after log (the world), move (the world), count (the world), wind (constraint)
render
  0 draw
";
    assert_eq!(plan.to_string(), text);
    assert_eq!(plan.batches(Stage::Update), [vec!["log", "move"], vec!["count", "wind"], vec!["spawned"]]);
    assert!(plan.batches(Stage::Late).is_empty());
}

#[test]
fn errors_say_which() {
    let mut scheduler = serial(world_of(1));
    scheduler.add(nothing("a")).unwrap();
    let error = scheduler.add(nothing("a")).err().unwrap();
    assert_eq!(error.to_string(), "two systems are named `a`");
    let error = scheduler.add(System::new("b")).err().unwrap();
    assert_eq!(error.to_string(), "system `b` does nothing: give it a body");
    // Neither is there now.
    scheduler.add(nothing("b")).unwrap();
    assert_eq!(names(&mut scheduler), ["a", "b"]);
    scheduler.add(nothing("c").after("x")).unwrap();
    let error = scheduler.plan().err().unwrap();
    assert_eq!(error.to_string(), "system `c` is to run after `x`, but there is no such system");
    // The frame is refused, too, and the world not left in a tick.
    assert!(matches!(scheduler.run_frame(0.0, 0.0), Err(ScheduleError::UnknownName { .. })));
    // The name may come later.
    scheduler.add(nothing("x")).unwrap();
    assert_eq!(names(&mut scheduler), ["a", "b", "x", "c"]);
    scheduler.run_frame(0.0, 0.0).unwrap();
}

#[test]
fn cycles_and_wrong_stages_are_named() {
    let mut scheduler = serial(world_of(1));
    for system in [nothing("z"), nothing("a").after("c"), nothing("b").after("a"), nothing("c").after("b").before("z")]
    {
        scheduler.add(system).unwrap();
    }
    let error = scheduler.plan().err().unwrap();
    assert_eq!(error.to_string(), "systems wait for each other: a -> b -> c -> a");

    let mut scheduler = serial(world_of(1));
    scheduler.add(nothing("a").stage(Stage::Late)).unwrap();
    scheduler.add(nothing("b").after("a")).unwrap();
    let error = scheduler.plan().err().unwrap();
    assert_eq!(error.to_string(), "system `b` (update) is to run after `a` (late), whose stage comes later");

    let mut scheduler = serial(world_of(1));
    scheduler.add(nothing("self").before("self")).unwrap();
    assert!(matches!(scheduler.plan(), Err(ScheduleError::Cycle(names)) if names == ["self", "self"]));
}

#[test]
fn more_than_sixty_four_systems_keep_their_order_and_their_data() {
    let mut scheduler = serial(world_of(10));
    for index in 0..200 {
        let system = System::new(format!("{index:03}"));
        scheduler.add(system.each::<&mut A>(move |_, row| *row.x = *row.x * 0.5 + index as f32)).unwrap();
    }
    scheduler.run_frame(0.0, 0.0).unwrap();
    let expected = (0..200).fold(3.0_f32, |x, index| x * 0.5 + index as f32);
    let mut query = scheduler.world_mut().query::<&A>();
    assert_eq!(query.iter(scheduler.world()).nth(3).unwrap().x, expected);
    assert_eq!(scheduler.plan().unwrap().systems()[199].waits_for.len(), 199);
}
