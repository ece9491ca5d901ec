//! Frames that may be lost: each builds on a tick that the client is known to hold.
//!
//! The host keeps a few of the states that it published as baselines. A frame for a lossy client is the difference from
//! the newest baseline that the client acknowledged, found by comparing the two states, and is encoded once for all
//! clients that are there. So a lost frame needs no answer: the next one does not build on it. A client keeps the states
//! that it acknowledged, as long as the host may build on them.
//!
//! # Rules
//! - At most [`BASELINES_MAX`] baselines live, at either end; who acknowledged none of them is sent a snapshot.
//! - Frames older than what is shown are dropped, so that a view-world never goes back.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::FrameError;
use crate::frame::{self, Changes, Head, Scratch};
use crate::held::{Codes, Held};
use crate::publisher::Bytes;
use crate::rows::RowSet;
use crate::schema::{Predictor, Schema};
use crate::view::View;
use crate::view_world::{Applied, ViewWorld};

/// How many baselines live at once.
pub const BASELINES_MAX: usize = 8;

/// A schema without linear prediction: what rows were doing before a baseline is not known.
pub(crate) fn lossy_schema(schema: &Schema) -> Schema {
    let mut components = schema.components().to_vec();
    for field in components.iter_mut().flat_map(|component| &mut component.fields) {
        if field.predictor == Predictor::Linear {
            field.predictor = Predictor::Hold;
        }
    }
    Schema::new(components)
}

/// A lossy client at its host.
#[derive(Debug, Default)]
pub(crate) struct LossyClient {
    acknowledged: Option<u64>,
    sent: Option<u64>,
}

impl LossyClient {
    pub(crate) fn acknowledge(&mut self, tick: u64) {
        self.acknowledged = self.acknowledged.max(Some(tick));
    }
}

/// The baselines of a view.
#[derive(Debug)]
pub(crate) struct Baselines {
    schema: Schema,
    /// Oldest first.
    states: VecDeque<(u64, Held)>,
    /// This tick's frames, by what they build on.
    frames: Vec<(Option<u64>, Bytes)>,
    scratch: Scratch,
}

impl Baselines {
    pub(crate) fn new(schema: &Schema) -> Baselines {
        Baselines {
            schema: lossy_schema(schema),
            states: VecDeque::new(),
            frames: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Takes in that a tick was published; keeps its state if there are `lossy` clients and it is time to.
    pub(crate) fn published(&mut self, view: &View, tick: u64, lossy: bool, every: u64) {
        self.frames.clear();
        if !lossy {
            self.states.clear();
            return;
        }
        if self.states.back().is_none_or(|(last, _)| tick >= last + every.max(1)) {
            if self.states.len() == BASELINES_MAX {
                self.states.pop_front();
            }
            self.states.push_back((tick, self.state_of(view)));
        }
    }

    /// A view's state, without what only linear prediction needs.
    fn state_of(&self, view: &View) -> Held {
        let mut state = Held::new(&self.schema);
        state.take_from(view.held());
        state
    }

    /// The frame of this tick for a client, once.
    pub(crate) fn take(&mut self, view: &View, client: &mut LossyClient) -> Option<Bytes> {
        let tick = view.tick()?;
        if client.sent == Some(tick) {
            return None;
        }
        client.sent = Some(tick);
        let known = |base: &u64| self.states.iter().any(|(state, _)| state == base) && *base < tick;
        let base = client.acknowledged.filter(known);
        if let Some((_, bytes)) = self.frames.iter().find(|(of, _)| *of == base) {
            return Some(bytes.clone());
        }
        let bytes = Arc::new(self.encode(view, tick, base));
        self.frames.push((base, bytes.clone()));
        Some(bytes)
    }

    fn encode(&mut self, view: &View, tick: u64, base: Option<u64>) -> Vec<u8> {
        let known = base.and_then(|base| self.states.iter().find(|(state, _)| *state == base));
        let mut from = known.map_or_else(|| Held::new(&self.schema), |(_, state)| state.clone());
        let to = view.held();
        from.grow(to.high());
        let changes = difference(&from, to);
        let is_baseline = self.states.back().is_some_and(|(last, _)| *last == tick);
        let mut out = Vec::new();
        // A frame carries a hash if the client is to build on it: both ends then know that they build on the same.
        let head = Head { tick, base, hash: is_baseline, input: None };
        frame::encode(&mut out, &self.schema, &mut from, head, &changes, &to.columns, &mut self.scratch);
        out
    }
}

/// What leads from one state to another.
fn difference(from: &Held, to: &Held) -> Changes {
    let mut changes = Changes::new(from.has.len());
    let high = to.high();
    changes.changed.iter_mut().for_each(|changed| changed.grow(high));
    for row in 0..high {
        let (old, new) = (from.entities[row], to.entities[row]);
        if old != new {
            if old != 0 {
                // Whether it was destroyed was told in a frame that may be lost.
                changes.leave.push((row as u32, false));
            }
            if new != 0 {
                changes.enter.push((row as u32, new, to.masks[row]));
            }
        } else if from.masks[row] != to.masks[row] {
            changes.remask.push((row as u32, to.masks[row]));
        }
    }
    for (component, changed) in changes.changed.iter_mut().enumerate() {
        for (old, new) in from.columns[component].iter().zip(&to.columns[component]) {
            let has = |row: usize| from.has[component].has(row) && to.has[component].has(row);
            let mut compare = |row: usize, differs: bool| {
                if differs && has(row) && from.entities[row] == to.entities[row] {
                    changed.set(row);
                }
            };
            match (old, new) {
                (Codes::Narrow(old), Codes::Narrow(new)) => {
                    (0..high).for_each(|row| compare(row, old.codes[row] != new.codes[row]));
                }
                (Codes::Wide(old), Codes::Wide(new)) => {
                    (0..high).for_each(|row| compare(row, old.codes[row] != new.codes[row]));
                }
                _ => unreachable!("made by schemas that differ in predictors only"),
            }
        }
    }
    changes
}

impl Held {
    /// Becomes another state, of a schema that differs in predictors only.
    fn take_from(&mut self, other: &Held) {
        self.grow(other.high());
        self.entities.clone_from(&other.entities);
        self.masks.clone_from(&other.masks);
        self.live = other.live.clone();
        self.has.clone_from(&other.has);
        for (to, from) in self.columns.iter_mut().flatten().zip(other.columns.iter().flatten()) {
            match (to, from) {
                (Codes::Narrow(to), Codes::Narrow(from)) => to.codes.clone_from(&from.codes),
                (Codes::Wide(to), Codes::Wide(from)) => to.codes.clone_from(&from.codes),
                _ => unreachable!("made by schemas that differ in predictors only"),
            }
        }
    }
}

/// A view at a client whose frames may be lost, repeated or reordered.
///
/// What it shows is that of [`LossyViewWorld::world`]. `added`, `removed` and `changed` there are those since the frame
/// that was shown before; why an entity left is not told.
#[derive(Debug)]
pub struct LossyViewWorld {
    world: ViewWorld,
    /// States that the host may build on, oldest first.
    kept: VecDeque<(u64, Held)>,
}

impl LossyViewWorld {
    /// An empty view-world for a stream that was opened with this message, of
    /// [`Publisher::lossy_schema`](crate::Publisher::lossy_schema).
    ///
    /// # Errors
    /// [`FrameError`]: the message is no schema.
    pub fn open(schema: &[u8]) -> Result<LossyViewWorld, FrameError> {
        Ok(LossyViewWorld { world: ViewWorld::open(schema)?, kept: VecDeque::new() })
    }

    /// What is shown.
    pub fn world(&self) -> &ViewWorld {
        &self.world
    }

    /// Takes in a frame, and gives the tick to acknowledge if the host may build on it; none if the frame is not newer than
    /// what is shown.
    ///
    /// # Errors
    /// [`FrameError`]; what is shown is as before then.
    pub fn apply(&mut self, frame: &[u8]) -> Result<Option<(Applied, Option<u64>)>, FrameError> {
        let head = ViewWorld::head(frame)?;
        if self.world.tick().is_some_and(|shown| head.tick <= shown) {
            return Ok(None);
        }
        let before = self.world.held().clone();
        let shown = self.world.tick();
        if let Some(base) = head.base {
            let kept = self.kept.iter().find(|(tick, _)| *tick == base);
            let have = shown.unwrap_or(0);
            let (_, state) = kept.ok_or(FrameError::Gap { tick: head.tick, base, have })?;
            self.world.rewind(base, state);
        }
        match self.world.apply(frame) {
            Ok(applied) => {
                self.world.compare(&before);
                if !head.hash {
                    return Ok(Some((applied, None)));
                }
                if self.kept.len() == BASELINES_MAX {
                    self.kept.pop_front();
                }
                self.kept.push_back((applied.tick, self.world.held().clone()));
                Ok(Some((applied, Some(applied.tick))))
            }
            Err(error) => {
                match shown {
                    Some(tick) => self.world.rewind(tick, &before),
                    None => self.world.reset(),
                }
                Err(error)
            }
        }
    }
}

/// The rows whose codes of a component differ between two states, those that one of them lacks included.
pub(crate) fn differing(from: &Held, to: &Held, component: usize, out: &mut RowSet) {
    out.clear();
    out.grow(to.high());
    let is_same = |row: usize| from.entities.get(row) == to.entities.get(row) && from.has[component].has(row);
    to.has[component].for_each(|row| {
        if !is_same(row) {
            out.set(row);
        }
    });
    for (from, to_codes) in from.columns[component].iter().zip(&to.columns[component]) {
        match (from, to_codes) {
            (Codes::Narrow(from), Codes::Narrow(to_codes)) => {
                to.has[component].for_each(|row| {
                    if from.codes.get(row) != Some(&to_codes.codes[row]) {
                        out.set(row);
                    }
                });
            }
            (Codes::Wide(from), Codes::Wide(to_codes)) => {
                to.has[component].for_each(|row| {
                    if from.codes.get(row) != Some(&to_codes.codes[row]) {
                        out.set(row);
                    }
                });
            }
            _ => unreachable!("made by one schema"),
        }
    }
}
