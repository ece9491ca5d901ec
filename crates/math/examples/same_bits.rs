//! A planet that comes to the same place on every machine and in every language: the program of the guide "Same bits
//! everywhere", whose twin is written in JavaScript.

use peristyle_math::{atan2, hypot, pow, sin};

fn main() {
    println!("{} {} {}", sin(1e22), atan2(-0.0, -1.0), pow(2.0, 0.5));

    let [mut x, mut y, mut vx, mut vy] = [1.0, 0.0, 0.0, 0.9];
    for _ in 0..1_000_000 {
        let pull = -1e-4 / pow(hypot(x, y), 3.0);
        vx += x * pull;
        vy += y * pull;
        x += vx * 1e-4;
        y += vy * 1e-4 + sin(x) * 1e-9;
    }
    println!("{:x} {:x}", f64::to_bits(x), f64::to_bits(y));
}
