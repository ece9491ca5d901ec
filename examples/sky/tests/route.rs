//! The step against the `f64` reference: where flights are, and who has arrived.

use peristyle_sky::{
    AirportColumns, Airports, FlightColumns, PositionColumns, Route, RouteColumns, flying_elapsed, flying_total, place,
    step,
};
use proptest::prelude::*;

const EXACT_DEGREES: f64 = 0.001;

/// Columns of flights and of two airports for each of them.
#[derive(Default)]
struct Flights {
    airports: Vec<[f64; 3]>,
    departs: Vec<f32>,
    arrives: Vec<f32>,
    origin: Vec<u16>,
    routes: Vec<Route>,
}

/// What a step left behind.
struct Stepped {
    latitude: Vec<f32>,
    longitude: Vec<f32>,
    heading: Vec<f32>,
    progress: Vec<f32>,
    despawn: Vec<u8>,
    arrived: usize,
}

impl Flights {
    fn add(&mut self, from: (f64, f64), to: (f64, f64), departs: f32, flying: f32) {
        let (from, to) = (unit(from), unit(to));
        self.origin.push(self.airports.len() as u16);
        self.airports.extend([from, to]);
        self.departs.push(departs);
        self.arrives.push((departs + flying) % 86_400.0);
        self.routes.push(Route::between(from, to));
    }

    fn step(&self, now: f64) -> Stepped {
        let rows = self.departs.len();
        let coordinate = |axis: usize| self.airports.iter().map(|unit| unit[axis] as f32).collect::<Vec<_>>();
        let (x, y, z) = (coordinate(0), coordinate(1), coordinate(2));
        let route = |part: fn(&Route) -> f32| self.routes.iter().map(part).collect::<Vec<_>>();
        let mut out = Stepped {
            latitude: vec![f32::NAN; rows],
            longitude: vec![f32::NAN; rows],
            heading: vec![f32::NAN; rows],
            progress: vec![f32::NAN; rows],
            despawn: vec![0; rows.div_ceil(8)],
            arrived: 0,
        };
        out.arrived = step(
            now,
            FlightColumns { departs: &self.departs, arrives: &self.arrives, origin: &self.origin },
            RouteColumns {
                angle: &route(|route| route.angle),
                ahead_x: &route(|route| route.ahead_x),
                ahead_y: &route(|route| route.ahead_y),
                ahead_z: &route(|route| route.ahead_z),
            },
            AirportColumns { x: &x, y: &y, z: &z },
            PositionColumns {
                latitude: &mut out.latitude,
                longitude: &mut out.longitude,
                heading: &mut out.heading,
                progress: &mut out.progress,
            },
            &mut out.despawn,
        );
        out
    }

    /// Checks every row of a step against the reference at the same time.
    fn check(&self, now: f64) -> Result<(), TestCaseError> {
        let out = self.step(now);
        for row in 0..self.departs.len() {
            let (departs, arrives) = (f64::from(self.departs[row]), f64::from(self.arrives[row]));
            let total = (arrives - departs).rem_euclid(86_400.0);
            let fraction = ((f64::from(now as f32) - departs).rem_euclid(86_400.0) / total).min(1.0);
            let pair = usize::from(self.origin[row]);
            let exact = place(self.airports[pair], self.airports[pair + 1], fraction);

            let (latitude, longitude) = (f64::from(out.latitude[row]), f64::from(out.longitude[row]));
            let apart = apart_degrees((latitude, longitude), (exact.latitude, exact.longitude));
            prop_assert!(apart < EXACT_DEGREES, "row {row}: {apart} degrees from {exact:?}");
            prop_assert!((f64::from(out.progress[row]) - fraction).abs() < 1e-5, "row {row}: {fraction}");
            // Near a pole a meridian is no stable direction, and on the way there a degree of longitude gets short.
            if exact.latitude.abs() < 85.0 {
                let parallel = exact.latitude.to_radians().cos();
                let off = [
                    latitude - exact.latitude,
                    turn(longitude, exact.longitude) * parallel,
                    turn(f64::from(out.heading[row]), exact.heading) * parallel,
                ];
                prop_assert!(off.iter().all(|off| off.abs() < EXACT_DEGREES), "row {row}: {off:?} from {exact:?}");
            }
            prop_assert!((-180.0..=180.0).contains(&out.longitude[row]) && (0.0..=360.0).contains(&out.heading[row]));
        }
        Ok(())
    }
}

fn unit((latitude, longitude): (f64, f64)) -> [f64; 3] {
    let csv = format!("iata,latitude,longitude\nA,{latitude},{longitude}\n");
    Airports::from_csv("test".as_ref(), csv.as_bytes()).expect("degrees are in range").unit()[0]
}

/// The difference of two directions in degrees, from -180 to 180.
fn turn(a: f64, b: f64) -> f64 {
    (a - b + 180.0).rem_euclid(360.0) - 180.0
}

fn apart_degrees(a: (f64, f64), b: (f64, f64)) -> f64 {
    let ([ax, ay, az], [bx, by, bz]) = (unit(a), unit(b));
    let chord = ((ax - bx).powi(2) + (ay - by).powi(2) + (az - bz).powi(2)).sqrt();
    (2.0 * (chord / 2.0).asin()).to_degrees()
}

/// Places spread evenly over the sphere.
fn anywhere() -> impl Strategy<Value = (f64, f64)> {
    (-1.0..1.0_f64, -180.0..180.0_f64).prop_map(|(height, longitude)| (height.asin().to_degrees(), longitude))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn positions_are_exact_to_a_thousandth_of_a_degree(
        flights in prop::collection::vec((anywhere(), anywhere(), 0..86_400_u32, 1_800.0..82_800.0_f32), 1..200),
        now in 0.0..864_000.0_f64,
    ) {
        let mut columns = Flights::default();
        for (from, to, departs, flying) in flights {
            columns.add(from, to, departs as f32, flying);
        }
        columns.check(now.rem_euclid(86_400.0))?;
    }

    #[test]
    fn short_routes_are_as_exact_as_long_ones(
        from in anywhere(),
        offset in (-1e-3..1e-3_f64, -1e-3..1e-3_f64),
        part in 0.0..1.0_f64,
    ) {
        let to = ((from.0 + offset.0).clamp(-90.0, 90.0), (from.1 + offset.1).clamp(-180.0, 180.0));
        let mut columns = Flights::default();
        columns.add(from, to, 36_000.0, 2_000.0);
        let out = columns.step(36_000.0 + part * 2_000.0);
        let apart = apart_degrees((out.latitude[0].into(), out.longitude[0].into()), from);
        prop_assert!(apart < 2.5e-3, "{apart}");
    }
}

#[test]
fn a_route_within_one_place_or_to_the_opposite_one_is_defined() {
    for (from, to) in [((48.0, 11.0), (48.0, 11.0)), ((48.0, 11.0), (-48.0, -169.0)), ((90.0, 0.0), (-90.0, 0.0))] {
        let mut columns = Flights::default();
        columns.add(from, to, 0.0, 3_600.0);
        let out = columns.step(0.0);
        assert!(apart_degrees((out.latitude[0].into(), out.longitude[0].into()), from) < EXACT_DEGREES);
        columns.check(900.0).unwrap();
        columns.check(3_599.0).unwrap();
    }
    let same = Route::between(unit((48.0, 11.0)), unit((48.0, 11.0)));
    assert_eq!(same.angle, 0.0);
}

#[test]
fn headings_point_where_a_compass_does() {
    let mut columns = Flights::default();
    for to in [(10.0, 0.0), (0.0, 10.0), (-10.0, 0.0), (0.0, -10.0)] {
        columns.add((0.0, 0.0), to, 0.0, 3_600.0);
    }
    let headings = columns.step(1_800.0).heading;
    for (heading, expected) in headings.iter().zip([0.0, 90.0, 180.0, 270.0]) {
        assert!(turn(f64::from(*heading), expected).abs() < EXACT_DEGREES, "{heading} for {expected}");
    }
}

#[test]
fn arrived_rows_are_marked_by_bit_and_stand_at_their_destination() {
    let mut columns = Flights::default();
    // More rows than a block, and not a multiple of eight.
    for row in 0..203 {
        columns.add((10.0, 20.0), (30.0, 40.0), 1_000.0, if row % 3 == 0 { 1_800.0 } else { 1_801.0 });
    }
    let out = columns.step(2_800.0);
    assert_eq!(out.arrived, 68);
    for row in 0..203 {
        let marked = out.despawn[row >> 3] & (1 << (row & 7)) != 0;
        assert_eq!(marked, row % 3 == 0, "row {row}");
        assert_eq!(out.progress[row] == 1.0, marked);
        if marked {
            assert!(apart_degrees((out.latitude[row].into(), out.longitude[row].into()), (30.0, 40.0)) < EXACT_DEGREES);
        }
    }
    assert_eq!(out.despawn[25] >> 3, 0, "bits past the last row are left alone");
}

#[test]
fn marks_that_are_there_stay() {
    let mut columns = Flights::default();
    columns.add((10.0, 20.0), (30.0, 40.0), 0.0, 1_800.0);
    let mut despawn = [0b1000_0000_u8];
    let (mut latitude, mut longitude, mut heading, mut progress) = ([0.0], [0.0], [0.0], [0.0]);
    let [x, y, z] = columns.airports[0].map(|axis| [axis as f32]);
    let route = columns.routes[0];
    let arrived = step(
        1_800.0,
        FlightColumns { departs: &columns.departs, arrives: &columns.arrives, origin: &columns.origin },
        RouteColumns {
            angle: &[route.angle],
            ahead_x: &[route.ahead_x],
            ahead_y: &[route.ahead_y],
            ahead_z: &[route.ahead_z],
        },
        AirportColumns { x: &x, y: &y, z: &z },
        PositionColumns {
            latitude: &mut latitude,
            longitude: &mut longitude,
            heading: &mut heading,
            progress: &mut progress,
        },
        &mut despawn,
    );
    assert_eq!((arrived, despawn), (1, [0b1000_0001]));
}

#[test]
fn a_flight_over_midnight_goes_on_until_it_arrives() {
    let mut columns = Flights::default();
    columns.add((0.0, 0.0), (0.0, 40.0), 85_800.0, 2_400.0);
    assert_eq!(columns.arrives, [1_800.0]);
    for (now, longitude) in [(85_800.0, 0.0), (86_399.0, 9.983), (86_400.0, 10.0), (600.0, 20.0), (1_799.0, 39.983)] {
        let out = columns.step(now);
        assert_eq!(out.arrived, 0, "at {now}");
        assert!((f64::from(out.longitude[0]) - longitude).abs() < EXACT_DEGREES, "at {now}: {}", out.longitude[0]);
    }
    assert_eq!(columns.step(1_800.0).arrived, 1);
    assert_eq!(columns.step(86_400.0 * 3.0 + 1_801.0).arrived, 1);
}

#[test]
fn a_flight_in_the_air_never_has_a_progress_of_one() {
    for total in [1_800.0_f32, 4_095.996, 8_191.998, 40_633.047, 82_800.0] {
        let before = f32::from_bits(total.to_bits() - 1);
        assert!(before / total < 1.0, "{before} / {total}");
    }
    assert_eq!(flying_elapsed(10.0, 86_000.0), 410.0);
    assert_eq!(flying_total(86_000.0, 10.0), 410.0);
}
