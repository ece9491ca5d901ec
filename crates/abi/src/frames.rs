//! Systems, the plan, and frames that the host pulls.

use peristyle_jobs::Access;
use peristyle_schedule::{Next, PullError, PullShape, PullSystem};
use peristyle_world::ComponentId;

use crate::{
    blocks::Word,
    core::{Core, nothing},
    define::{stage, text},
    status::{Failure, Status},
};

/// What `next` gives, with names for TypeScript.
pub(crate) const NEXT: [(&str, &str); 4] = [
    ("done", "The frame is over: end it."),
    ("wait", "Nothing can start before something is settled."),
    ("run", "Run the system in the header, and settle it."),
    ("merge", "A stage, or a part of one, is over: `merge`, carry out commands, then go on."),
];

/// Adds what is touched: an entry is written if one of its lines says so, and has the place of its first.
fn touch<T: PartialEq>(list: &mut Vec<(T, Access)>, id: T, how: Access) {
    match list.iter_mut().find(|(known, _)| *known == id) {
        Some((_, access)) if how == Access::Write => *access = how,
        Some(_) => {}
        None => list.push((id, how)),
    }
}

impl Core {
    /// A system from its text, but for its query.
    fn described_system(&self, text: &str) -> Result<(PullSystem, Option<u32>), Failure> {
        let (mut system, mut query) = (PullSystem::default(), None);
        for line in text.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let wrong = || Failure::new(Status::BadText, format!("system `{}`: `{line}` says nothing", system.name));
            let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
            match key {
                "name" => value.clone_into(&mut system.name),
                "stage" => system.stage = Some(stage(value)?),
                "before" => system.before.push(value.to_owned()),
                "after" => system.after.push(value.to_owned()),
                "reads" | "writes" => {
                    let how = if key == "writes" { Access::Write } else { Access::Read };
                    for id in value.split_ascii_whitespace() {
                        let id = self.component(number(id)?)?;
                        touch(&mut system.components, id, how);
                    }
                }
                "reads-resources" | "writes-resources" => {
                    let how = if key == "writes-resources" { Access::Write } else { Access::Read };
                    for id in value.split_ascii_whitespace() {
                        let id = self.resource(number(id)?)?;
                        touch(&mut system.resources, id, how);
                    }
                }
                "query" => query = Some(number(value)?),
                "shape" => {
                    system.shape = match value {
                        "once" => PullShape::Once,
                        "rows" => PullShape::Rows,
                        "parts" => PullShape::Parts,
                        "whole" => PullShape::Whole,
                        _ => return Err(wrong()),
                    }
                }
                "flags" => {
                    for flag in value.split_ascii_whitespace() {
                        match flag {
                            "exclusive" => system.exclusive = true,
                            "despawns" => system.despawns = true,
                            "skip-if-empty" => system.skip_if_empty = true,
                            "atomic" => system.atomic = true,
                            _ => return Err(wrong()),
                        }
                    }
                }
                _ => return Err(wrong()),
            }
        }
        if system.name.is_empty() {
            return Err(Failure::new(Status::BadText, "a system has a name"));
        }
        Ok((system, query))
    }
}

/// What functions do is said in the [table](crate::functions).
#[allow(missing_docs)]
impl Core {
    pub fn stages(&mut self, bytes: u32) -> Result<(), Failure> {
        let text = text(&self.blocks, bytes)?;
        let mut stages = Vec::new();
        for name in text.lines() {
            let stage = stage(name)?;
            if stages.contains(&stage) {
                return Err(Failure::new(Status::BadArgument, format!("stage `{name}` is named twice")));
            }
            stages.push(stage);
        }
        Ok(self.pull.set_stages(&stages)?)
    }

    pub fn system(&mut self, bytes: u32) -> Result<u32, Failure> {
        let text = text(&self.blocks, bytes)?;
        let (mut system, query) = self.described_system(&text)?;
        if let Some(number) = query {
            let state = self.queries.get_mut(number as usize).and_then(Option::take);
            system.query = Some(state.ok_or_else(|| nothing("query", number))?);
        }
        if let Err(refusal) = self.check_system(&system) {
            // Its query is the caller's as before.
            if let (Some(number), state) = (query, system.query) {
                self.queries[number as usize] = state;
            }
            return Err(refusal);
        }
        Ok(self.pull.add(system)?)
    }

    /// Whether a system can be added.
    fn check_system(&self, system: &PullSystem) -> Result<(), Failure> {
        let named = |component: ComponentId| self.world.components().info(component).name();
        match self.pull.check(system) {
            Err(PullError::NotAskedFor { system, component }) => {
                let text = format!("system `{system}` uses `{}`, which its query does not ask for", named(component));
                Err(Failure::new(Status::BadArgument, text))
            }
            Err(PullError::MayBeMissing { system, component }) => {
                let text = format!(
                    "system `{system}` sees all rows in one call, so its query must ask for `{}` by `all`, not `any` (or let its \
                     job be split)",
                    named(component)
                );
                Err(Failure::new(Status::BadArgument, text))
            }
            checked => Ok(checked?),
        }
    }

    pub fn system_drop(&mut self, system: u32) -> Result<(), Failure> {
        Ok(self.pull.remove(system)?)
    }

    pub fn compile(&mut self) -> Result<usize, Failure> {
        let stages = self.pull.stages().to_vec();
        let systems = self.pull.plan(&self.world)?.systems();
        let out = self.blocks.words_out(systems.len() * 3)?;
        for (out, planned) in out.chunks_exact_mut(3).zip(systems) {
            out[1] = stages.iter().position(|stage| *stage == planned.stage).unwrap_or(0) as u32;
            out[2] = planned.batch as u32;
        }
        let count = systems.len();
        for (position, out) in out.chunks_exact_mut(3).enumerate() {
            out[0] = self.pull.number_at(position).unwrap_or(0);
        }
        Ok(count)
    }

    pub fn plan_text(&mut self) -> Result<usize, Failure> {
        let text = self.pull.plan(&self.world)?.to_string();
        self.blocks.bytes_out(text.len())?.copy_from_slice(text.as_bytes());
        Ok(text.len())
    }

    pub fn ranges(&mut self, system: u32, rows: u32) -> Result<(), Failure> {
        Ok(self.pull.set_range_rows(system, rows as usize)?)
    }

    pub fn extra(&mut self, system: u32, bytes: u32) -> Result<(), Failure> {
        let json = self.blocks.bytes(bytes as usize)?;
        Ok(self.pull.set_extra(&self.world, system, json)?)
    }

    pub fn frame_begin(&mut self, dt: f64, time: f64, serial: u32) -> Result<f64, Failure> {
        Ok(self.pull.begin(&mut self.world, dt, time, serial != 0)? as f64)
    }

    #[allow(clippy::should_implement_trait, reason = "it is the table's name")]
    pub fn next(&mut self) -> Result<u32, Failure> {
        Ok(match self.pull.next(&self.world)? {
            Next::Done => 0,
            Next::Wait => 1,
            Next::Run(run) => {
                self.blocks.set(Word::System, run.system);
                self.blocks.set(Word::List, run.list);
                self.blocks.set(Word::Rows, u32::try_from(run.rows).unwrap_or(u32::MAX));
                self.blocks.set(Word::OneLane, u32::from(run.one_lane));
                2
            }
            Next::Merge => 3,
        })
    }

    pub fn settle(&mut self, system: u32, failed: u32) -> Result<(), Failure> {
        let failed = self.blocks.words(failed as usize)?;
        Ok(self.pull.settle(&mut self.world, system, failed)?)
    }

    pub fn merge(&mut self) -> Result<usize, Failure> {
        self.entities.clear();
        self.pull.merge(&mut self.entities)?;
        self.list_entities()
    }

    pub fn frame_end(&mut self) -> Result<(), Failure> {
        Ok(self.pull.end(&mut self.world)?)
    }
}
