//! The kernel: leaves that the wind takes along.
//!
//! Declared by its system, in this order: writes Position { x, y }, writes Velocity { x, y }, reads the columnar resource
//! Gusts { x, y }, of which each leaf meets the one that its entity index says.
#![cfg_attr(target_arch = "wasm32", no_std)]

use peristyle_kernel::{Call, kernel};

kernel!(drift);

/// Share of the difference to the wind that a leaf takes over in a second.
const DRAG: f32 = 1.5;

fn drift(call: Call<'_>) {
    let dt = call.dt as f32;
    let [position, velocity] = call.components.take();
    let [gusts] = call.resources.take();
    let [x, y] = position.columns.write::<f32, 2>();
    let [vx, vy] = velocity.columns.write::<f32, 2>();
    let [wind_x, wind_y] = gusts.columns.read::<f32, 2>();
    let gust = |eid: u32| eid as usize % wind_x.len();
    for (((x, y), (vx, vy)), eid) in x.iter_mut().zip(y).zip(vx.iter_mut().zip(vy)).zip(call.eids) {
        let gust = gust(*eid);
        *vx += (wind_x[gust] - *vx) * (DRAG * dt);
        *vy += (wind_y[gust] - *vy) * (DRAG * dt);
        *x += *vx * dt;
        *y += *vy * dt;
    }
    for mut changed in [position.changed, velocity.changed].into_iter().flatten() {
        changed.set_all();
    }
}
