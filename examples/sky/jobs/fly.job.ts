/**
 * Moves flights along their great circles, in place.
 *
 * For each row: `p = from cos(t angle) + ahead sin(t angle)`, where `t` is how much of the flying time has passed,
 * `from` is the unit vector of the airport of departure and `ahead` the one a quarter turn further on. Latitude and
 * longitude are the direction of `p`, the heading is the direction of its derivative. A flight that has arrived is
 * marked in `snap.despawn`.
 *
 * `step` in `src/route.rs` is the same in Rust. Both agree to 0.001 degree, and bit for bit on who has arrived: that
 * is why the times are rounded by `Math.fround` where Rust's `f32` rounds.
 */

interface Fields {
  readonly [name: string]: Float32Array;
}

interface FlyInput {
  readonly snap: {
    readonly rows: number;
    readonly comps: {
      readonly Flight: { readonly fields: { readonly departs: Float32Array; readonly arrives: Float32Array; readonly origin: Uint16Array } };
      readonly Route: { readonly fields: Fields };
      readonly Position: { readonly fields: Fields; readonly changed: Uint8Array };
    };
    readonly res: { readonly Airport: Fields };
    readonly despawn: Uint8Array;
  };
  /** Simulated seconds since the midnight of the first day. */
  readonly time: number;
}

const DAY_SECONDS = 86400;
const HALF_PI = Math.PI / 2;

/** Keeps 0 / 0 at a pole from becoming NaN. */
const NEVER_ZERO = 1e-30;

/** Sine from -pi/2 to pi/2, off by at most 6e-7. */
function sinNear(angle: number): number {
  const s = angle * angle;
  return angle * (0.9999966159 + s * (-0.1666482838 + s * (0.008306325231 + s * -0.0001836365406)));
}

/** Cosine from -pi/2 to pi/2, off by at most 5e-8. */
function cosNear(angle: number): number {
  const s = angle * angle;
  return 0.9999999535 + s * (-0.4999990535 + s * (0.0416635847 + s * (-0.001385370432 + s * 2.315393201e-5)));
}

/** Twice the arc tangent, in degrees, from -1 to 1; off by at most 3e-5 degrees. */
function twiceAtan(q: number): number {
  const s = q * q;
  return (
    q *
    (114.5911134 +
      s *
        (-38.17889154 +
          s * (22.69808512 + s * (-15.16429464 + s * (9.124203485 + s * (-3.850762203 + s * 0.7805746713))))))
  );
}

export function handle({ snap, time }: FlyInput): void {
  const rows = snap.rows;
  const { departs, arrives, origin } = snap.comps.Flight.fields;
  const { angle, ahead_x, ahead_y, ahead_z } = snap.comps.Route.fields;
  const { latitude, longitude, heading, progress } = snap.comps.Position.fields;
  const { x: airport_x, y: airport_y, z: airport_z } = snap.res.Airport;
  const despawn = snap.despawn;
  const now = Math.fround(time % DAY_SECONDS);

  for (let i = 0; i < rows; i++) {
    const leaves = departs[i];
    let elapsed = Math.fround(now - leaves);
    if (elapsed < 0) elapsed = Math.fround(elapsed + DAY_SECONDS);
    let total = Math.fround(arrives[i] - leaves);
    if (total < 0) total = Math.fround(total + DAY_SECONDS);

    let t = 1;
    if (elapsed < total) t = elapsed / total;
    else despawn[i >> 3] |= 1 << (i & 7);

    const from = origin[i];
    const from_x = airport_x[from];
    const from_y = airport_y[from];
    const from_z = airport_z[from];
    const to_x = ahead_x[i];
    const to_y = ahead_y[i];
    const to_z = ahead_z[i];

    // Sine and cosine of the way flown, by the polynomials' range from -pi/2 to pi/2.
    const quarter = t * angle[i] - HALF_PI;
    const sine = cosNear(quarter);
    const cosine = -sinNear(quarter);
    const x = from_x * cosine + to_x * sine;
    const y = from_y * cosine + to_y * sine;
    const z = from_z * cosine + to_z * sine;

    // Three directions by the half angle, 2 atan(y / (hypotenuse + |x|)): the quotient never leaves -1 to 1.
    const r = Math.sqrt(x * x + y * y);
    latitude[i] = twiceAtan(z / (1 + r));

    const east = twiceAtan(y / (r + Math.abs(x) + NEVER_ZERO));
    longitude[i] = x < 0 ? (y < 0 ? -180 - east : 180 - east) : east;

    // On a great circle the eastward part, times the distance from the axis, is constant.
    const eastward = from_x * to_y - from_y * to_x;
    const northward = to_z * cosine - from_z * sine;
    const course = twiceAtan(eastward / (r + Math.abs(northward) + NEVER_ZERO));
    heading[i] = northward < 0 ? 180 - course : course < 0 ? course + 360 : course;

    progress[i] = t;
  }

  // Every row was written: fill whole bytes, and of the last byte only the bits of this range.
  const changed = snap.comps.Position.changed;
  changed.fill(255, 0, rows >> 3);
  if (rows & 7) changed[rows >> 3] |= (1 << (rows & 7)) - 1;
}
