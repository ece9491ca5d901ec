//! The great circle between two airports, and the step that moves flights along it.
//!
//! For the unit vectors `a` and `b` of two airports, a [`Route`] holds the angle between them and the unit vector
//! `ahead` that lies in their plane a quarter turn from `a` towards `b`. A flight whose progress is `t` is at
//!
//! ```text
//! p = a cos(t angle) + ahead sin(t angle)
//! ```
//!
//! `a` comes from the columnar resource `Airport` by the flight's origin, so a route is four `f32`.
//!
//! With `r` the distance of `p` from the axis, latitude, longitude and heading are three arc tangents: of `z / r`, of
//! `y / x`, and of the eastward part of the movement over its northward part. Times `r`, the eastward part is the
//! constant `ax aheady - ay aheadx` (Clairaut's relation) and the northward part is the derivative of `z`. In all
//! three the hypotenuse is known (1, `r` and `r`), so each is taken by the half angle, `2 atan(y / (hypotenuse + |x|))`,
//! whose quotient never leaves -1 to 1: no choice of octants, one polynomial.
//!
//! Sine, cosine and arc tangent are minimax polynomials (Remez) whose greatest error is stated beside them; together
//! with the rounding of `f32` they stay well below 0.001 degree of [`place`], the `f64` reference. The compiler
//! vectorises the step; `fly.job.ts` uses the same formulas, which take half of the time of the engine's own functions.
//!
//! # Rules
//! - Whether a flight has arrived is decided by [`flying_elapsed`] and [`flying_total`] in `f32`, operation by
//!   operation as the TypeScript job does it: the answer is bit-equal.
//! - Within a degree or so of a pole longitude and heading lose precision; the place itself does not.
//!
//! # Not here
//! Marking rows as changed (a step writes every row, so its caller fills the whole range) and despawning.

use std::f32::consts::FRAC_PI_2;

use peristyle_world::Component;

use crate::{
    airports::unit_vector,
    day::{DAY_SECONDS_F32, fold},
};

/// What the step needs to know of the great circle between two airports.
#[derive(Debug, Clone, Copy, PartialEq, Component)]
pub struct Route {
    /// The angle between both airports in radians, from 0 to pi.
    pub angle: f32,
    /// The unit vector a quarter turn from the origin towards the destination: its `x`.
    pub ahead_x: f32,
    /// Its `y`.
    pub ahead_y: f32,
    /// Its `z`.
    pub ahead_z: f32,
}

/// Where a flight is, in `f64`: what the step is measured against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Degrees north, from -90 to 90.
    pub latitude: f64,
    /// Degrees east, from -180 to 180.
    pub longitude: f64,
    /// Degrees clockwise from north, from 0 to 360.
    pub heading: f64,
}

/// Columns of the component `Flight` that the step reads, all of one length.
#[derive(Debug, Clone, Copy)]
pub struct FlightColumns<'a> {
    /// Departure in seconds of the day.
    pub departs: &'a [f32],
    /// Arrival in seconds of the day.
    pub arrives: &'a [f32],
    /// Index of the airport of departure.
    pub origin: &'a [u16],
}

/// Columns of the component `Route`, all of one length; see [`Route`] for units.
#[derive(Debug, Clone, Copy)]
pub struct RouteColumns<'a> {
    /// Radians between both airports.
    pub angle: &'a [f32],
    /// A quarter turn ahead of the origin: `x`.
    pub ahead_x: &'a [f32],
    /// The same vector's `y`.
    pub ahead_y: &'a [f32],
    /// The same vector's `z`.
    pub ahead_z: &'a [f32],
}

/// Columns of the resource `Airport`, all of one length: the unit vectors of the airports.
#[derive(Debug, Clone, Copy)]
pub struct AirportColumns<'a> {
    /// First coordinates.
    pub x: &'a [f32],
    /// Second coordinates.
    pub y: &'a [f32],
    /// Third coordinates.
    pub z: &'a [f32],
}

/// Columns of the component `Position`, all of one length.
#[derive(Debug)]
pub struct PositionColumns<'a> {
    /// Degrees north, from -90 to 90.
    pub latitude: &'a mut [f32],
    /// Degrees east, from -180 to 180.
    pub longitude: &'a mut [f32],
    /// Degrees clockwise from north, from 0 to 360.
    pub heading: &'a mut [f32],
    /// From 0 at departure to 1 at arrival.
    pub progress: &'a mut [f32],
}

/// Below this sine of the angle between two airports, their plane is not defined: they are one place or opposite.
const SINE_MIN: f64 = 1e-12;

impl Route {
    /// The route between two places given as unit vectors.
    ///
    /// Between a place and itself it stays there; between opposite places, which no single great circle joins, it
    /// leaves to the north.
    pub fn between(from: [f64; 3], to: [f64; 3]) -> Route {
        let cosine = dot(from, to);
        let across: [f64; 3] = std::array::from_fn(|axis| to[axis] - cosine * from[axis]);
        let sine = dot(across, across).sqrt();
        let ahead = if sine < SINE_MIN { north_of(from) } else { across.map(|axis| axis / sine) };
        Route {
            angle: sine.atan2(cosine) as f32,
            ahead_x: ahead[0] as f32,
            ahead_y: ahead[1] as f32,
            ahead_z: ahead[2] as f32,
        }
    }
}

/// Where a flight between two places is after `fraction` of its way, from 0 to 1: spherical interpolation in `f64`.
pub fn place(from: [f64; 3], to: [f64; 3], fraction: f64) -> Place {
    let normal =
        [from[1] * to[2] - from[2] * to[1], from[2] * to[0] - from[0] * to[2], from[0] * to[1] - from[1] * to[0]];
    let sine = dot(normal, normal).sqrt();
    let angle = sine.atan2(dot(from, to));
    let (p, forward): ([f64; 3], [f64; 3]) = if sine < SINE_MIN {
        let (s, c) = (fraction * angle).sin_cos();
        let ahead = north_of(from);
        (
            std::array::from_fn(|axis| c * from[axis] + s * ahead[axis]),
            std::array::from_fn(|axis| c * ahead[axis] - s * from[axis]),
        )
    } else {
        let ((s0, c0), (s1, c1)) = (((1.0 - fraction) * angle).sin_cos(), (fraction * angle).sin_cos());
        (
            std::array::from_fn(|axis| (s0 * from[axis] + s1 * to[axis]) / sine),
            std::array::from_fn(|axis| (c1 * to[axis] - c0 * from[axis]) / sine),
        )
    };
    let (latitude, longitude) = (p[2].atan2(p[0].hypot(p[1])), p[1].atan2(p[0]));
    let east = [-longitude.sin(), longitude.cos(), 0.0];
    let heading = dot(forward, east).atan2(dot(forward, north_of(p))).to_degrees();
    Place {
        latitude: latitude.to_degrees(),
        longitude: longitude.to_degrees(),
        heading: if heading < 0.0 { heading + 360.0 } else { heading },
    }
}

/// Seconds since a departure, from 0 to below a day, at the time of day `now`.
#[inline]
pub fn flying_elapsed(now: f32, departs: f32) -> f32 {
    let elapsed = now - departs;
    if elapsed < 0.0 { elapsed + DAY_SECONDS_F32 } else { elapsed }
}

/// Seconds that a flight takes, given departure and arrival as seconds of the day.
#[inline]
pub fn flying_total(departs: f32, arrives: f32) -> f32 {
    let total = arrives - departs;
    if total < 0.0 { total + DAY_SECONDS_F32 } else { total }
}

/// Moves flights to where they are at the simulated time `now`, in seconds, and tells which of them have arrived.
///
/// Writes every row of `positions`. A flight that has arrived stands at its destination with a progress of 1; bit `i`
/// (byte `i >> 3`, mask `1 << (i & 7)`) of `despawn` is set for it, and no bit is cleared. Returns how many arrived.
/// Allocates nothing.
///
/// # Panics
/// If columns that belong together differ in length, if `despawn` has fewer bits than there are rows, or if an origin
/// is no airport.
pub fn step(
    now: f64,
    flights: FlightColumns,
    routes: RouteColumns,
    airports: AirportColumns,
    positions: PositionColumns,
    despawn: &mut [u8],
) -> usize {
    let rows = flights.departs.len();
    assert!(
        [flights.arrives.len(), flights.origin.len(), routes.angle.len()] == [rows; 3]
            && [routes.ahead_x.len(), routes.ahead_y.len(), routes.ahead_z.len()] == [rows; 3],
        "columns of flights and routes differ in length"
    );
    assert!(
        [positions.latitude.len(), positions.longitude.len(), positions.heading.len(), positions.progress.len()]
            == [rows; 4],
        "columns of positions differ in length from those of flights"
    );
    assert!(despawn.len() >= rows.div_ceil(8), "fewer despawn bits than rows");

    let now = fold(now) as f32;
    let mut arrived_count = 0;
    let mut block = Block::new();
    for start in (0..rows).step_by(BLOCK) {
        let end = rows.min(start + BLOCK);
        let len = end - start;
        for (slot, &origin) in flights.origin[start..end].iter().enumerate() {
            let origin = usize::from(origin);
            block.from_x[slot] = airports.x[origin];
            block.from_y[slot] = airports.y[origin];
            block.from_z[slot] = airports.z[origin];
        }
        block.departs[..len].copy_from_slice(&flights.departs[start..end]);
        block.arrives[..len].copy_from_slice(&flights.arrives[start..end]);
        block.angle[..len].copy_from_slice(&routes.angle[start..end]);
        block.ahead_x[..len].copy_from_slice(&routes.ahead_x[start..end]);
        block.ahead_y[..len].copy_from_slice(&routes.ahead_y[start..end]);
        block.ahead_z[..len].copy_from_slice(&routes.ahead_z[start..end]);
        block.fly(now);
        positions.latitude[start..end].copy_from_slice(&block.latitude[..len]);
        positions.longitude[start..end].copy_from_slice(&block.longitude[..len]);
        positions.heading[start..end].copy_from_slice(&block.heading[..len]);
        positions.progress[start..end].copy_from_slice(&block.progress[..len]);
        // A flight in the air has a progress below 1 even when rounded: both times are `f32`, so the least they can
        // differ by is more than half of the last digit of their quotient.
        for (slot, &progress) in block.progress[..len].iter().enumerate() {
            if progress >= 1.0 {
                let row = start + slot;
                despawn[row >> 3] |= 1 << (row & 7);
                arrived_count += 1;
            }
        }
    }
    arrived_count
}

/// Rows worked on at a time: the block stays in the first-level cache, and its arrays are the compiler's proof that
/// nothing overlaps, without which it would not vectorise a loop over as many columns.
const BLOCK: usize = 64;

struct Block {
    departs: [f32; BLOCK],
    arrives: [f32; BLOCK],
    from_x: [f32; BLOCK],
    from_y: [f32; BLOCK],
    from_z: [f32; BLOCK],
    angle: [f32; BLOCK],
    ahead_x: [f32; BLOCK],
    ahead_y: [f32; BLOCK],
    ahead_z: [f32; BLOCK],
    latitude: [f32; BLOCK],
    longitude: [f32; BLOCK],
    heading: [f32; BLOCK],
    progress: [f32; BLOCK],
}

impl Block {
    fn new() -> Block {
        let zeros = [0.0; BLOCK];
        Block {
            departs: zeros,
            arrives: zeros,
            from_x: zeros,
            from_y: zeros,
            from_z: zeros,
            angle: zeros,
            ahead_x: zeros,
            ahead_y: zeros,
            ahead_z: zeros,
            latitude: zeros,
            longitude: zeros,
            heading: zeros,
            progress: zeros,
        }
    }

    /// Two loops rather than one: the chain from a time to a heading is long, and a processor sees further past short
    /// iterations than past long ones.
    fn fly(&mut self, now: f32) {
        let (mut x, mut y, mut z) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
        let (mut eastward, mut northward) = ([0.0; BLOCK], [0.0; BLOCK]);
        for i in 0..BLOCK {
            let elapsed = flying_elapsed(now, self.departs[i]);
            let total = flying_total(self.departs[i], self.arrives[i]);
            let progress = if elapsed < total { elapsed / total } else { 1.0 };
            self.progress[i] = progress;

            let quarter = progress * self.angle[i] - FRAC_PI_2;
            let (sine, cosine) = (cos_near(quarter), -sin_near(quarter));
            x[i] = self.from_x[i] * cosine + self.ahead_x[i] * sine;
            y[i] = self.from_y[i] * cosine + self.ahead_y[i] * sine;
            z[i] = self.from_z[i] * cosine + self.ahead_z[i] * sine;
            eastward[i] = self.from_x[i] * self.ahead_y[i] - self.from_y[i] * self.ahead_x[i];
            northward[i] = self.ahead_z[i] * cosine - self.from_z[i] * sine;
        }
        for i in 0..BLOCK {
            let r = (x[i] * x[i] + y[i] * y[i]).sqrt();
            self.latitude[i] = twice_atan(z[i] / (1.0 + r));

            let longitude = twice_atan(y[i] / (r + x[i].abs() + NEVER_ZERO));
            let west = if y[i] < 0.0 { -180.0 } else { 180.0 } - longitude;
            self.longitude[i] = if x[i] < 0.0 { west } else { longitude };

            let heading = twice_atan(eastward[i] / (r + northward[i].abs() + NEVER_ZERO));
            let north = if heading < 0.0 { heading + 360.0 } else { heading };
            self.heading[i] = if northward[i] < 0.0 { 180.0 - heading } else { north };
        }
    }
}

/// Keeps 0 / 0 at a pole from becoming NaN and changes no other quotient.
const NEVER_ZERO: f32 = 1e-30;

/// Sine from -pi/2 to pi/2; off by at most 6e-7 before rounding.
#[inline]
fn sin_near(angle: f32) -> f32 {
    let s = angle * angle;
    angle * (0.999_996_6 + s * (-0.166_648_28 + s * (0.008_306_325 + s * -0.000_183_636_54)))
}

/// Cosine from -pi/2 to pi/2; off by at most 5e-8 before rounding.
#[inline]
fn cos_near(angle: f32) -> f32 {
    let s = angle * angle;
    0.999_999_95 + s * (-0.499_999_05 + s * (0.041_663_585 + s * (-0.001_385_370_4 + s * 2.315_393_2e-5)))
}

/// Twice the arc tangent, in degrees, from -1 to 1; off by at most 3e-5 degrees before rounding.
#[inline]
fn twice_atan(q: f32) -> f32 {
    let s = q * q;
    q * (114.591_11
        + s * (-38.178_89
            + s * (22.698_085 + s * (-15.164_295 + s * (9.124_204 + s * (-3.850_762_2 + s * 0.780_574_7))))))
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The unit vector that points north at a place given as a unit vector.
fn north_of(place: [f64; 3]) -> [f64; 3] {
    let latitude = place[2].atan2(place[0].hypot(place[1])).to_degrees();
    let longitude = place[1].atan2(place[0]).to_degrees();
    // North of a place is the place a quarter turn further along its meridian.
    unit_vector(latitude + 90.0, longitude)
}
