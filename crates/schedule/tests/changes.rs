//! Change tracking through systems.

mod support;

use peristyle_schedule::{Mode, System};
use peristyle_world::{Added, Changed, Entity, Tracked};
use support::{A, B, Log, scheduler, toil, world_of};

fn watch(log: &Log, name: &str) -> System {
    let log = log.clone();
    System::new(name).each_with::<(Entity, &A), Changed<A>, _>(move |_| {
        move |_, (entity, _)| log.push(format!("{}", entity.index()))
    })
}

#[test]
fn a_consumer_sees_each_change_once_whether_it_runs_before_or_after_the_writer() {
    for mode in [Mode::Serial, Mode::Parallel] {
        let (before, after) = (Log::default(), Log::default());
        let mut scheduler = scheduler(world_of(4), mode, 1);
        let write = System::new("write").each_chunk::<(Tracked<A>, Entity)>(|range, ((a, mut marks), _)| {
            let row = range.tick().number as usize;
            if row < a.x.len() {
                a.x[row] = 9.0;
                marks.mark(row);
            }
        });
        scheduler.add(watch(&before, "before")).unwrap();
        scheduler.add(write.after("before").before("zafter")).unwrap();
        scheduler.add(watch(&after, "zafter")).unwrap();
        let mut frames = Vec::new();
        for _ in 0..5 {
            scheduler.run_frame(0.0, 0.0).unwrap();
            frames.push((before.take().join(" "), after.take().join(" ")));
        }
        let expected = [("0 1 2 3", "0 1 2 3"), ("1", "2"), ("2", "3"), ("3", ""), ("", "")];
        assert_eq!(frames, expected.map(|(b, a)| (b.to_owned(), a.to_owned())));
    }
}

#[test]
fn writes_between_ticks_and_by_systems_that_run_once_are_seen() {
    let log = Log::default();
    let mut scheduler = scheduler(world_of(3), Mode::Serial, 0);
    scheduler.add(watch(&log, "watch")).unwrap();
    let once = System::new("once").run(|setup| {
        let mut query = setup.query::<(Entity, Tracked<A>)>();
        move |context| {
            context.for_each(&mut query, |(entity, (_, mut mark))| {
                if entity.index() == 2 {
                    mark.mark();
                }
            });
        }
    });
    scheduler.add(once.after("watch").run_if(|tick| tick.number == 2)).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    log.take();
    let mut query = scheduler.world_mut().query::<Entity>();
    let second = query.iter(scheduler.world()).nth(1).unwrap();
    scheduler.world_mut().set(second, A { x: 1.0 }).unwrap();
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), ["1"]);
    scheduler.run_frame(0.0, 0.0).unwrap();
    assert_eq!(log.take(), ["2"]);
}

#[test]
fn a_writer_does_not_see_its_own_marks_but_those_of_others() {
    let log = Log::default();
    let mut scheduler = scheduler(world_of(2), Mode::Serial, 0);
    let seen = log.clone();
    let own = System::new("own").each_with::<(Entity, &mut A), Changed<A>, _>(move |_| {
        move |_, (entity, row)| {
            *row.x += 1.0;
            seen.push(format!("{}", entity.index()));
        }
    });
    scheduler.add(own).unwrap();
    let other = System::new("other").each::<&mut A>(|_, row| *row.x += 10.0);
    scheduler.add(other.after("own").run_if(|tick| tick.number == 2)).unwrap();
    let mut frames = Vec::new();
    for _ in 0..4 {
        scheduler.run_frame(0.0, 0.0).unwrap();
        frames.push(log.take().len());
    }
    assert_eq!(frames, [2, 0, 2, 0]);
}

#[test]
fn added_is_seen_by_systems_after_the_merge() {
    let log = Log::default();
    let mut scheduler = scheduler(world_of(2), Mode::Serial, 0);
    let seen = log.clone();
    let watch = System::new("added")
        .each_with::<Entity, Added<B>, _>(move |_| move |_, entity| seen.push(format!("{}", entity.index())));
    scheduler.add(watch).unwrap();
    let give = System::new("give").each_with::<Entity, (), _>(|_| {
        |range, entity: Entity| {
            if entity.index() as u64 + 2 == range.tick().number {
                range.commands().insert(entity, B { x: 0.0, y: 0.0 });
            }
        }
    });
    scheduler.add(give.after("added")).unwrap();
    for expected in [vec![], vec![], vec!["0"], vec!["1"], vec![]] {
        scheduler.run_frame(0.0, 0.0).unwrap();
        assert_eq!(log.take(), expected);
    }
}

/// Marks that many lanes make, and that many lanes clear, are neither lost nor seen twice.
#[test]
fn nothing_is_lost_or_doubled_when_ranges_run_side_by_side() {
    const ROWS: usize = 60_000;
    let mut scheduler = scheduler(world_of(ROWS), Mode::Parallel, 3);
    let write = System::new("write").each::<(Tracked<A>, Entity)>(|range, ((row, mut mark), entity)| {
        if u64::from(entity.index()) % 7 == range.tick().number % 7 {
            *row.x = toil(8);
            mark.mark();
        }
    });
    let watch = System::new("watch").each_with::<(Entity, &mut B), Changed<A>, _>(|_| {
        |_, (_, b): (Entity, _)| {
            *b.x += toil(8) * 0.0 + 1.0;
        }
    });
    let entities: Vec<Entity> = {
        let mut query = scheduler.world_mut().query::<Entity>();
        query.iter(scheduler.world()).collect()
    };
    for entity in entities {
        scheduler.world_mut().insert(entity, B { x: 0.0, y: 0.0 }).unwrap();
    }
    scheduler.add(write).unwrap();
    scheduler.add(watch.after("write")).unwrap();
    for _ in 0..1 + 7 * 6 {
        scheduler.run_frame(0.0, 0.0).unwrap();
    }
    // All in the first tick, then each in six of 42.
    let mut query = scheduler.world_mut().query::<&B>();
    assert!(query.iter(scheduler.world()).all(|b| b.x == 7.0));
}
