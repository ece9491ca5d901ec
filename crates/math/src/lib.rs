//! Elementary functions that give the same bits everywhere: in Rust and in JavaScript, natively, in WebAssembly, in Node
//! and in pages.
//!
//! Engines and C libraries differ in the last bits of `sin`, `exp` or `pow`, and so a simulation that uses them runs apart
//! on two hosts. These functions exist twice, here and in TypeScript as `peristyle/math`, step by step alike. Each step is
//! one of `+ - * /`, a square root, an operation on integers or a cast of bits, and IEEE 754 defines their results.
//!
//! # Accuracy
//! Results are less than one unit in the last place (ulp) from the exact value, for all arguments. `tests/accuracy.rs`
//! measures by how much less: 0.51 for
//! `atan`, `atan2` and `log`, 0.85 for `sin` and `cos`, 0.9 for `tan`, and less than 0.8 for the others.
//!
//! # Rules
//! - No fused multiply-add: neither Rust nor JavaScript contracts `a * b + c` by itself, and nothing here asks for it.
//! - A result that is not a number has the bits `0x7ff8_0000_0000_0000`.
//! - Special values are those of IEEE 754 and C: `pow(1, NaN)` and `pow(-1, Infinity)` are 1, where JavaScript's own give
//!   NaN; `hypot(Infinity, NaN)` is infinite; zeros keep their signs.
//! - Results for `f32` are those for `f64`, rounded: `sin(x.into()) as f32`, in JavaScript `Math.fround(sin(x))`.
//!
//! # Sources
//! Reduction of angles: W. J. Cody and W. Waite, and M. Payne and R. Hanek for large ones; the kernels of sine and cosine
//! have the form they have in fdlibm (Sun Microsystems, 1993). Logarithm, power and
//! exponential by tables: P. T. P. Tang, and S. Nagy's way to keep the reduced argument exact without a fused
//! multiply-add. Cube root: E. Halley's step. Hypotenuse: C. F. Borges, 2019. Sums and products with their errors: T. J. Dekker and D. E. Knuth.
//! Polynomials are Chebyshev interpolations and Taylor series made for this crate.
//!
//! ```
//! assert_eq!(peristyle_math::sin(1e300).to_bits(), 0xbfea_2c16_b010_e385);
//! assert_eq!(peristyle_math::pow(2.0, 0.5), 2f64.sqrt());
//! ```
#![no_std]
#![warn(missing_docs)]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

mod arc;
mod cbrt;
mod exact;
mod exp;
mod hypot;
mod log;
mod pow;
mod reduce;
mod sqrt;
#[allow(clippy::approx_constant, reason = "the tables are whole, with what has a name elsewhere")]
mod tables;
mod trig;

pub use arc::{acos, asin, atan, atan2};
pub use cbrt::cbrt;
pub use exp::exp;
pub use hypot::hypot;
pub use log::log;
pub use pow::pow;
pub use trig::{cos, sin, tan};

#[cfg(all(target_arch = "x86", not(target_feature = "sse2")))]
compile_error!("without SSE2 this target rounds twice, and results would differ from other hosts'");
