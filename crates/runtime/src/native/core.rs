//! A core as a script has it: the functions of the ABI's table, over a world on a memory of the engine's.
//!
//! Some calls do more here than they do elsewhere: the plan gets the Rust systems, `next` runs them, and the end of a frame is
//! told to whoever follows.

#![expect(unsafe_code, reason = "a script is lent the memory of its world")]

use std::sync::LazyLock;

use peristyle_abi::{Core, FUNCTIONS, Word};
use peristyle_agents::{HostError, HostFunction, HostObject, LentMemory};
use peristyle_memory::Memory;
use peristyle_timeline::{Kind, NameId, Span, Stamp, Timeline, clock};

use super::{AfterFrame, First, FrameCount, RustSystem, refused};

/// The table as realms have it.
static TABLE: LazyLock<Vec<HostFunction>> = LazyLock::new(|| {
    let function =
        |known: &peristyle_abi::Function| HostFunction { name: known.name, arguments: known.arguments.len() };
    FUNCTIONS.iter().map(function).chain(OURS).collect()
});

/// What realms have beside the table: see `packages/peristyle/src/native/host.ts`.
const OURS: [HostFunction; 1] = [HostFunction { name: "span", arguments: 5 }];

/// Where a function stands in the table.
const fn place(name: &str) -> usize {
    let mut at = 0;
    while at < FUNCTIONS.len() {
        if is(FUNCTIONS[at].name.as_bytes(), name.as_bytes()) {
            return at;
        }
        at += 1;
    }
    panic!("the table has no such function");
}

const fn is(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

const COMPILE: usize = place("compile");
const FRAME_BEGIN: usize = place("frame_begin");
const FRAME_END: usize = place("frame_end");
const NEXT: usize = place("next");
const SYSTEM: usize = place("system");
/// What `next` gives when a system is to run.
const RUN: f64 = 2.0;

/// One world of an app.
pub(super) struct CoreObject {
    core: Core,
    memory: LentMemory,
    /// Not in the plan yet.
    waiting: Vec<RustSystem>,
    /// In the plan, with their numbers.
    systems: Vec<(u32, RustSystem)>,
    /// Of all systems, by number.
    names: Vec<NameId>,
    after_frame: Option<AfterFrame>,
    /// `dt` and `time` of the frame that runs.
    frame: (f64, f64),
    timeline: Timeline,
    name: NameId,
    stamp: Stamp,
    frames: u32,
    frames_run: FrameCount,
}

impl CoreObject {
    pub(super) fn new(
        memory: Memory,
        first: First,
        timeline: Timeline,
        frames_run: FrameCount,
    ) -> Result<CoreObject, HostError> {
        // SAFETY: the core keeps tables, entities, queries and plans on the Rust heap; in the memory lie columns and bits, whose
        // values may be anything, and blocks of words that it checks or only writes. It makes references into blocks during
        // its own calls, on the app's thread; jobs that run on other threads meanwhile write rows that are leased to them,
        // which the core leaves alone until they are settled, and a Rust system runs while nothing is leased.
        let lent = unsafe { LentMemory::new(&memory) };
        let lent = lent.ok_or_else(|| HostError("the memory is not the engine's".into()))?;
        let core = Core::on(memory).map_err(refused)?;
        let name = timeline.name("frame");
        Ok(CoreObject {
            core,
            memory: lent,
            waiting: first.systems,
            systems: Vec::new(),
            names: Vec::new(),
            after_frame: first.after_frame,
            frame: (0.0, 0.0),
            timeline,
            name,
            stamp: Stamp::OFF,
            frames: 0,
            frames_run,
        })
    }

    /// Puts Rust systems into the plan.
    fn join(&mut self) -> Result<(), HostError> {
        for system in &self.waiting {
            self.core.with_world(|world| system.adopt(world)).map_err(HostError)?;
        }
        while let Some(next) = self.waiting.first() {
            // Whoever is refused, and all after it, still wait: the next frame says so again.
            let number = self.core.add_system(next.planned()).map_err(refused)?;
            let system = self.waiting.remove(0);
            self.name_system(number);
            self.systems.push((number, system));
        }
        Ok(())
    }

    /// Runs the system that was just handed out if it is Rust's; whether it is.
    fn run_rust(&mut self) -> Result<bool, HostError> {
        if self.systems.is_empty() {
            return Ok(false);
        }
        let number = self.core.word(Word::System);
        let Some((_, system)) = self.systems.iter_mut().find(|(known, _)| *known == number) else { return Ok(false) };
        let (dt, time) = self.frame;
        let stamp = self.timeline.begin();
        self.core.with_world(|world| system.run(world, dt, time));
        self.timeline.end(0, Kind::System, self.names[number as usize], stamp, 0, 0);
        self.core.settle(number, 0).map_err(refused)?;
        Ok(true)
    }

    /// Names a system that was just added.
    fn name_system(&mut self, number: u32) {
        let name = self.core.system_name(number).unwrap_or_default();
        // Systems are numbered as they are added.
        self.names.push(self.timeline.name(name));
    }

    /// A range of a system that ran on a lane, from `start` to `end` milliseconds ago.
    fn span(&self, arguments: &[f64]) {
        let &[lane, system, start, end, range] = arguments else { return };
        let Some(name) = self.names.get(system as usize) else { return };
        let (now, ticks) = (clock::now(), 1e6 / clock::ns_per_tick());
        let at = |ago: f64| now.saturating_sub((ago.max(0.0) * ticks) as u64);
        let span =
            Span { kind: Kind::Range, name: *name, start: at(start), end: at(end), rows: 0, detail: range as u32 };
        self.timeline.record(lane as usize, span);
    }

    fn end_frame(&mut self) -> Result<(), HostError> {
        self.frames_run.end();
        self.timeline.end(0, Kind::Frame, self.name, self.stamp, 0, self.frames);
        self.stamp = Stamp::OFF;
        self.frames = self.frames.wrapping_add(1);
        match &mut self.after_frame {
            Some(after) => self.core.with_world(after).map_err(HostError),
            None => Ok(()),
        }
    }
}

impl HostObject for CoreObject {
    fn functions(&self) -> &[HostFunction] {
        &TABLE
    }

    fn call(&mut self, function: usize, arguments: &[f64]) -> Result<f64, HostError> {
        let Some(call) = FUNCTIONS.get(function).map(|known| known.call) else {
            self.span(arguments);
            return Ok(0.0);
        };
        match function {
            SYSTEM => {
                let number = call(&mut self.core, arguments);
                if number >= 0.0 {
                    self.name_system(number as u32);
                }
                return Ok(number);
            }
            COMPILE => self.join()?,
            FRAME_BEGIN => {
                let tick = call(&mut self.core, arguments);
                if tick >= 0.0 {
                    self.frame = (arguments[0], arguments[1]);
                    self.stamp = self.timeline.begin();
                    self.frames_run.begin();
                }
                return Ok(tick);
            }
            NEXT => loop {
                let next = call(&mut self.core, arguments);
                if next != RUN || !self.run_rust()? {
                    return Ok(next);
                }
            },
            FRAME_END => {
                let ended = call(&mut self.core, arguments);
                if ended >= 0.0 {
                    self.end_frame()?;
                }
                return Ok(ended);
            }
            _ => {}
        }
        Ok(call(&mut self.core, arguments))
    }

    fn memory(&self) -> Option<LentMemory> {
        Some(self.memory.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_their_names() {
        assert_eq!((TABLE[NEXT].name, TABLE[NEXT].arguments), ("next", 0));
        assert_eq!((TABLE[FRAME_BEGIN].name, TABLE[FRAME_BEGIN].arguments), ("frame_begin", 3));
        assert!(FUNCTIONS.iter().all(|function| function.arguments.len() <= 16));
    }
}
