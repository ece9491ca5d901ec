//! Whole days of real flights: the books, and that every day is the same.

mod support;

use peristyle_sky::{JobKind, SkyConfig};
use support::{config, loaded, simulation};

/// Ticks of a day at this speed: 600.
const SPEED: f64 = 8_640.0;

#[test]
fn the_books_balance_in_every_tick_and_every_day_is_the_same() {
    let config = SkyConfig { speed: SPEED, ..config(JobKind::Rust) };
    let mut sky = simulation(&config);
    let flights = loaded().timetable.len() as u64;
    let at_start = (sky.spawned(), sky.airborne());
    assert_eq!(at_start.0, at_start.1, "the flights in the air at the start count as spawned");
    let mut first_day = Vec::new();
    for day in 0..2 {
        for tick in 1..=600 {
            sky.tick(day * 600 + tick).unwrap();
            assert_eq!(sky.spawned() - sky.despawned(), sky.airborne());
            match day {
                0 => first_day.push(sky.airborne()),
                _ => assert_eq!(first_day[tick as usize - 1], sky.airborne(), "tick {tick} of the second day"),
            }
        }
        assert_eq!(sky.airborne(), at_start.1);
        assert_eq!(sky.spawned(), at_start.0 + (day + 1) * flights, "every flight departs once a day");
    }
    let peak = first_day.iter().max().copied().unwrap_or(0);
    assert!((405_000..415_000).contains(&peak), "{peak} at the peak");
}

#[test]
fn ten_days_end_with_the_memory_of_the_first() {
    let config = SkyConfig { speed: SPEED, ..config(JobKind::Rust) };
    let mut sky = simulation(&config);
    let mut after_day = Vec::new();
    for day in 0..10 {
        for tick in 1..=600 {
            sky.tick(day * 600 + tick).unwrap();
        }
        let memory = sky.world().memory();
        after_day.push((memory.used_bytes(), memory.top_bytes()));
    }
    assert_eq!(after_day, vec![after_day[0]; 10]);
}
