//! The rules of the folded day, flown tick by tick at any speed: the books balance, nobody is lost or flown twice.

use std::collections::BTreeSet;

use peristyle_sky::{
    AirportColumns, DAY_SECONDS, FlightColumns, PositionColumns, RouteColumns, airborne_at, departures, step,
};
use proptest::prelude::*;

/// A timetable's columns.
#[derive(Debug, Clone)]
struct Day {
    departs: Vec<f32>,
    arrives: Vec<f32>,
}

/// What is in the air, as rows of the timetable.
struct Run<'a> {
    day: &'a Day,
    airborne: BTreeSet<usize>,
    spawned: usize,
    despawned: usize,
}

impl Run<'_> {
    fn start(day: &Day, now: f64) -> Run<'_> {
        let airborne: BTreeSet<usize> = airborne_at(&day.departs, &day.arrives, now).collect();
        Run { day, spawned: airborne.len(), despawned: 0, airborne }
    }

    fn tick(&mut self, before: f64, now: f64) {
        for row in departures(&self.day.departs, before, now).into_iter().flatten() {
            assert!(self.airborne.insert(row), "row {row} departs while it is in the air");
            self.spawned += 1;
        }
        let rows: Vec<usize> = self.airborne.iter().copied().collect();
        let pick = |column: &[f32]| rows.iter().map(|&row| column[row]).collect::<Vec<_>>();
        let (departs, arrives) = (pick(&self.day.departs), pick(&self.day.arrives));
        let (zeros, origin) = (vec![0.0; rows.len()], vec![0; rows.len()]);
        let mut out = [zeros.clone(), zeros.clone(), zeros.clone(), zeros.clone()];
        let [latitude, longitude, heading, progress] = &mut out;
        let mut despawn = vec![0; rows.len().div_ceil(8)];
        let arrived = step(
            now,
            FlightColumns { departs: &departs, arrives: &arrives, origin: &origin },
            RouteColumns { angle: &zeros, ahead_x: &zeros, ahead_y: &zeros, ahead_z: &zeros },
            AirportColumns { x: &[1.0], y: &[0.0], z: &[0.0] },
            PositionColumns { latitude, longitude, heading, progress },
            &mut despawn,
        );
        for (index, row) in rows.iter().enumerate() {
            if despawn[index >> 3] & (1 << (index & 7)) != 0 {
                self.airborne.remove(row);
                self.despawned += 1;
            }
        }
        assert_eq!(rows.len() - self.airborne.len(), arrived);
    }
}

fn day() -> impl Strategy<Value = Day> {
    // Whole minutes meet ticks; other seconds fall between them.
    let departs = prop_oneof![(0..1_440_u32).prop_map(|minute| minute * 60), 0..86_400_u32];
    prop::collection::vec((departs, 1_800.0..82_800.0_f64), 0..60).prop_map(|mut flights| {
        flights.sort_by_key(|&(departs, _)| departs);
        Day {
            departs: flights.iter().map(|&(departs, _)| departs as f32).collect(),
            arrives: flights
                .iter()
                .map(|&(departs, flying)| ((f64::from(departs) + flying) % DAY_SECONDS) as f32 % 86_400.0)
                .collect(),
        }
    })
}

proptest! {
    #[test]
    fn who_is_in_the_air_depends_on_the_time_of_day_alone(
        day in day(),
        start_minute in 0..1_440_u32,
        tick_seconds in prop_oneof![Just(4.0), Just(144.0), Just(3_600.0), 0.5..3_600.0_f64],
    ) {
        let time = |tick: u32| f64::from(start_minute * 60) + f64::from(tick) * tick_seconds;
        let mut run = Run::start(&day, time(0));
        let ticks = ((3.0 * DAY_SECONDS / tick_seconds) as u32).min(2_000);
        for tick in 0..ticks {
            run.tick(time(tick), time(tick + 1));
            let expected: BTreeSet<usize> = airborne_at(&day.departs, &day.arrives, time(tick + 1)).collect();
            prop_assert_eq!(&run.airborne, &expected, "after tick {} at {}", tick, time(tick + 1));
            prop_assert_eq!(run.spawned - run.despawned, run.airborne.len());
        }
    }

    #[test]
    fn each_flight_departs_once_a_day(day in day(), start in 0.0..86_400.0_f64, tick_seconds in 1.0..3_600.0_f64) {
        let mut departed = vec![0; day.departs.len()];
        let mut now = start;
        while now < start + DAY_SECONDS {
            let next = (now + tick_seconds).min(start + DAY_SECONDS);
            for row in departures(&day.departs, now, next).into_iter().flatten() {
                departed[row] += 1;
            }
            now = next;
        }
        prop_assert!(departed.iter().all(|&times| times == 1), "{:?}", departed);
    }
}

#[test]
fn departures_are_after_one_time_and_up_to_the_other() {
    let departs = [0.0, 0.0, 60.0, 60.0, 120.0, 86_340.0];
    assert_eq!(departures(&departs, 0.0, 60.0), [2..4, 0..0]);
    assert_eq!(departures(&departs, 60.0, 119.5), [4..4, 0..0]);
    assert_eq!(departures(&departs, 86_300.0, 86_400.0), [5..6, 0..2]);
    assert_eq!(departures(&departs, 86_400.0 * 2.0 - 30.0, 86_400.0 * 2.0 + 60.0), [6..6, 0..4]);
    assert_eq!(departures(&departs, 50.0, 50.0), [0..0, 0..0]);
    assert_eq!(departures(&departs, 50.0, 86_450.0), [0..6, 0..0]);
    assert_eq!(departures(&[], 0.0, 60.0), [0..0, 0..0]);
}

/// A time just before a departure that is that departure as an `f32`.
#[test]
fn who_departs_by_the_rounded_clock_departs_once_and_flies() {
    let (departs, arrives) = ([82_020.0], [83_820.0]);
    let (before, at, next) = (254_468.7, 254_819.999_731_083_55, 255_171.3);
    assert_eq!(departures(&departs, before, at), [0..1, 0..0]);
    assert_eq!(departures(&departs, at, next), [1..1, 0..0]);
    assert!(airborne_at(&departs, &arrives, at).eq([0]));
}
