//! The same work done by other entity component systems, each through its fastest public API.
//!
//! Every module asks one question. It lists [`Contestant`](measure::Contestant)s: the limit (a
//! hand-written loop over plain vectors), the peers, and Peristyle. They run interleaved (A B C A B C …)
//! in one process, and each one's result is compared with the first one's, so that nothing is optimised out
//! and no contestant does less than the others.
//!
//! # Adding a contestant
//! Push one `Contestant::new(Role::Own, name, setup, run, check)` in the question's list; in [`changed`]
//! implement `Tracked` and add one `contestant::<T>` line. The `check` of a contestant must equal
//! that of the first in the list.
//!
//! # Not here
//! Peristyle's own features, and anything that needs the JavaScript engine: this is a workspace of its
//! own, so that the peers' features never cause a rebuild of the engine.

#![warn(missing_docs)]

pub mod measure;

pub mod iterate;

pub mod iterate_parallel;

pub mod changed;

pub mod structural;

pub mod random_access;

pub mod noop_systems;

pub mod data;

pub mod pages;
