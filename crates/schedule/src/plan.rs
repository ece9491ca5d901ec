//! The plan: in which order systems run, and which may run side by side. Made once.
//!
//! Within a stage systems are sorted by their constraints, and by name where those leave a choice. Of two that conflict,
//! the later waits for the earlier. A system with the world to itself cuts its stage into segments; commands are merged
//! at each cut.

use std::{collections::BTreeSet, fmt, ops::Range};

use peristyle_world::World;

use crate::{Stage, access::Access, error::ScheduleError, system::Declared};

/// What the plan needs to know of a system.
pub(crate) struct Node<'a> {
    pub(crate) name: &'a str,
    pub(crate) stage: Stage,
    pub(crate) before: &'a [String],
    pub(crate) after: &'a [String],
    pub(crate) access: &'a Access,
}

impl<'a> Node<'a> {
    pub(crate) fn new(declared: &'a Declared) -> Node<'a> {
        let Declared { name, stage, before, after, access, .. } = declared;
        Node { name, stage: *stage, before, after, access }
    }
}

/// One system's place in the plan.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The system's name.
    pub name: String,
    /// Its stage.
    pub stage: Stage,
    /// Systems side by side have the same number, counted from 0 in each stage.
    pub batch: usize,
    /// The systems it waits for, and why: a constraint, or what both touch.
    pub waits_for: Vec<(String, String)>,
    /// Which of the systems that the plan was made of it is.
    pub(crate) node: usize,
    /// Positions in the plan that it waits for, as bits.
    pub(crate) dependencies: Vec<u64>,
}

/// The order of all systems.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    systems: Vec<Planned>,
    /// Stages with the positions of their segments.
    pub(crate) segments: Vec<(Stage, Range<usize>)>,
}

impl Plan {
    pub(crate) fn new(nodes: &[Node<'_>], world: &World) -> Result<Plan, ScheduleError> {
        Plan::in_stages(nodes, &Stage::ALL, world)
    }

    /// The plan of frames whose stages are these, in this order.
    pub(crate) fn in_stages(nodes: &[Node<'_>], stages: &[Stage], world: &World) -> Result<Plan, ScheduleError> {
        check_names(nodes)?;
        if let Some(node) = nodes.iter().find(|node| !stages.contains(&node.stage)) {
            return Err(ScheduleError::NoStage { system: node.name.to_owned(), stage: node.stage });
        }
        let edges = constraints(nodes, stages)?;
        let mut plan = Plan::default();
        for stage in stages.iter().copied() {
            let order = sort(nodes, &edges, stage)?;
            plan.add_stage(nodes, &edges, &order, stage, world);
        }
        let words = plan.systems.len().div_ceil(64);
        plan.systems.iter_mut().for_each(|system| system.dependencies.resize(words, 0));
        Ok(plan)
    }

    fn add_stage(
        &mut self,
        nodes: &[Node<'_>],
        edges: &BTreeSet<(usize, usize)>,
        order: &[usize],
        stage: Stage,
        world: &World,
    ) {
        let first = self.systems.len();
        for (at, &system) in order.iter().enumerate() {
            let node = &nodes[system];
            let (mut waits_for, mut dependencies, mut batch) = (Vec::new(), Vec::new(), 0);
            for (earlier_at, &earlier) in order[..at].iter().enumerate() {
                let why = if edges.contains(&(earlier, system)) {
                    Some("constraint".to_owned())
                } else {
                    nodes[earlier].access.conflict(node.access, world)
                };
                let Some(why) = why else { continue };
                let position = first + earlier_at;
                dependencies.resize(dependencies.len().max(position / 64 + 1), 0);
                dependencies[position / 64] |= 1_u64 << (position % 64);
                batch = batch.max(self.systems[position].batch + 1);
                waits_for.push((nodes[earlier].name.to_owned(), why));
            }
            self.systems.push(Planned {
                name: node.name.to_owned(),
                stage,
                batch,
                waits_for,
                node: system,
                dependencies,
            });
        }
        // Segments: runs of systems without one that has the world to itself, and such systems alone.
        let mut start = first;
        for position in first..=self.systems.len() {
            let at_end = position == self.systems.len();
            let alone = !at_end && nodes[self.systems[position].node].access.exclusive;
            if at_end || alone {
                if start < position {
                    self.segments.push((stage, start..position));
                }
                if alone {
                    self.segments.push((stage, position..position + 1));
                }
                start = position + 1;
            }
        }
    }

    /// Gives systems the numbers of those that the plan was made of, in the order of these.
    pub(crate) fn number(&mut self, numbers: &[usize]) {
        self.systems.iter_mut().for_each(|system| system.node = numbers[system.node]);
    }

    /// All systems, in order.
    pub fn systems(&self) -> &[Planned] {
        &self.systems
    }

    /// The names of a stage's systems, batch after batch; those of one batch may run side by side.
    pub fn batches(&self, stage: Stage) -> Vec<Vec<&str>> {
        let mut batches: Vec<Vec<&str>> = Vec::new();
        for system in self.systems.iter().filter(|system| system.stage == stage) {
            batches.resize_with(batches.len().max(system.batch + 1), Vec::new);
            batches[system.batch].push(&system.name);
        }
        batches
    }
}

impl fmt::Display for Plan {
    /// One line a system: stage, batch, name, and what it waits for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut stage = None;
        for system in &self.systems {
            if stage != Some(system.stage) {
                writeln!(f, "{}", system.stage)?;
                stage = Some(system.stage);
            }
            write!(f, "  {} {}", system.batch, system.name)?;
            for (index, (name, why)) in system.waits_for.iter().enumerate() {
                let lead = if index == 0 { "  after" } else { "," };
                write!(f, "{lead} {name} ({why})")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn check_names(nodes: &[Node<'_>]) -> Result<(), ScheduleError> {
    let mut names = BTreeSet::new();
    match nodes.iter().find(|node| !names.insert(node.name)) {
        Some(node) => Err(ScheduleError::DuplicateName(node.name.to_owned())),
        None => Ok(()),
    }
}

/// The pairs (first, then) that systems asked for, within their stages.
fn constraints(nodes: &[Node<'_>], stages: &[Stage]) -> Result<BTreeSet<(usize, usize)>, ScheduleError> {
    let rank = |system: usize| stages.iter().position(|stage| *stage == nodes[system].stage);
    let mut edges = BTreeSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let wishes =
            node.before.iter().map(|name| ("before", name)).chain(node.after.iter().map(|name| ("after", name)));
        for (relation, name) in wishes {
            let Some(other) = nodes.iter().position(|other| other.name == name) else {
                let (system, unknown) = (node.name.to_owned(), name.clone());
                return Err(ScheduleError::UnknownName { system, relation, unknown });
            };
            let (first, then) = if relation == "before" { (index, other) } else { (other, index) };
            if nodes[first].stage == nodes[then].stage {
                edges.insert((first, then));
            } else if rank(first) > rank(then) {
                return Err(ScheduleError::WrongStage {
                    system: node.name.to_owned(),
                    system_stage: node.stage,
                    relation,
                    other: name.clone(),
                    other_stage: nodes[other].stage,
                });
            }
        }
    }
    Ok(edges)
}

/// Sorts a stage's systems: by constraints, then by name (Kahn's algorithm with an ordered set of candidates).
fn sort(nodes: &[Node<'_>], edges: &BTreeSet<(usize, usize)>, stage: Stage) -> Result<Vec<usize>, ScheduleError> {
    let mut left: BTreeSet<(&str, usize)> = nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.stage == stage)
        .map(|(index, node)| (node.name, index))
        .collect();
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_free = |system: usize| !left.iter().any(|(_, other)| edges.contains(&(*other, system)));
        let Some(next) = left.iter().copied().find(|(_, system)| is_free(*system)) else {
            let left: Vec<usize> = left.iter().map(|(_, system)| *system).collect();
            return Err(ScheduleError::Cycle(cycle(nodes, edges, &left)));
        };
        left.remove(&next);
        order.push(next.1);
    }
    Ok(order)
}

/// The names of one circle among systems of which each waits for another of them.
fn cycle(nodes: &[Node<'_>], edges: &BTreeSet<(usize, usize)>, left: &[usize]) -> Vec<String> {
    let mut path = vec![left[0]];
    loop {
        let current = path[path.len() - 1];
        let waits_for = left.iter().copied().find(|other| edges.contains(&(*other, current)));
        let Some(next) = waits_for else { return path.iter().map(|system| nodes[*system].name.to_owned()).collect() };
        if let Some(start) = path.iter().position(|system| *system == next) {
            let mut names: Vec<String> = path[start..].iter().map(|system| nodes[*system].name.to_owned()).collect();
            names.push(names[0].clone());
            names.reverse();
            return names;
        }
        path.push(next);
    }
}
