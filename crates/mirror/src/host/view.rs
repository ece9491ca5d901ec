//! Views: ways of publishing one state.
//!
//! A view has a mode, sections, and so a version counter: without sections the app's own, with sections one that counts
//! what it publishes. What it makes (a change's message, the state's text) is made once for all its connections.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::foreign::ForeignChange;
use crate::{
    json,
    message::{Frame, Message, StateMessage, SyncMode},
    patch::{Patch, Segment},
    payload::{Json, Patches},
    value::{Map, Text, Value},
};

/// How many patches a log keeps, over all its changes: about a megabyte. A longer answer would hardly be shorter than a
/// snapshot, and what is let go of from a longer log has left the caches.
const LOG_PATCHES_MAX: usize = 1 << 12;

/// What one change did.
pub(super) enum Published<'a> {
    /// To modules here.
    Here(&'a Arc<[Patch]>),
    /// To modules that are kept elsewhere, in the words of those who keep them.
    Foreign(&'a [ForeignChange]),
}

/// What becomes of a change in a view.
pub(super) enum Publication {
    /// It is in none of the sections.
    Nothing,
    /// Its message.
    Frame(Arc<Frame>),
    /// The whole state is wanted, and not known: a snapshot will have it.
    Later,
}

/// The whole state: of modules here, and as texts those of modules elsewhere, as far as they are known.
#[derive(Clone, Copy)]
pub(super) struct Whole<'a> {
    pub(super) root: &'a Value,
    pub(super) texts: &'a BTreeMap<Text, Option<Arc<str>>>,
}

pub(super) struct View {
    mode: SyncMode,
    sections: Option<Arc<[Text]>>,
    /// With sections: changes published.
    published: u64,
    /// The state at a version, so that its text is made once.
    state: Option<(u64, Json)>,
    /// The newest changes, oldest first, with consecutive versions.
    log: VecDeque<(u64, Arc<Frame>)>,
    log_patches: usize,
    log_max: usize,
}

impl View {
    pub(super) fn new(mode: SyncMode, sections: Option<Vec<Text>>, log_max: usize) -> View {
        let sections = sections.map(Arc::from);
        View { mode, sections, published: 0, state: None, log: VecDeque::new(), log_patches: 0, log_max }
    }

    pub(super) fn is(&self, mode: SyncMode, sections: Option<&[Text]>) -> bool {
        self.mode == mode && self.sections.as_deref() == sections
    }

    pub(super) fn mode(&self) -> SyncMode {
        self.mode
    }

    /// The version last published, after `commits` changes of the app.
    pub(super) fn version(&self, commits: u64) -> u64 {
        if self.sections.is_some() { self.published } else { commits }
    }

    /// Whether whole states are published with every change.
    pub(super) fn is_whole(&self) -> bool {
        self.mode == SyncMode::Snapshot
    }

    /// Whether a top-level key is in it.
    pub(super) fn has_section(&self, name: &Text) -> bool {
        self.sections.as_ref().is_none_or(|sections| sections.contains(name))
    }

    /// Makes the message of a change.
    pub(super) fn publish(&mut self, change: &Published<'_>, whole: Whole<'_>, commits: u64) -> Publication {
        let Some(patches) = self.inside(change) else { return Publication::Nothing };
        self.published += u64::from(self.sections.is_some());
        let version = self.version(commits);
        let weight = patches.weight();
        let mut state = None;
        if self.is_whole() {
            state = self.state(whole, version);
            if state.is_none() {
                return Publication::Later;
            }
        }
        let frame = Frame::new(Message::State(StateMessage {
            version,
            sync: SyncMode::Patch,
            state,
            patches: Some(patches),
            sections: self.sections.clone(),
            sync_id: None,
        }));
        if self.mode == SyncMode::Patch {
            self.log.push_back((version, frame.clone()));
            self.log_patches += weight;
            while self.log.len() > self.log_max || self.log_patches > LOG_PATCHES_MAX {
                let Some((_, oldest)) = self.log.pop_front() else { break };
                if let Message::State(StateMessage { patches: Some(patches), .. }) = oldest.message() {
                    self.log_patches -= patches.weight();
                }
            }
        }
        Publication::Frame(frame)
    }

    /// The patches of a change that are in the view's sections.
    fn inside(&self, change: &Published<'_>) -> Option<Patches> {
        match change {
            Published::Here(patches) => {
                let mut patches = (*patches).clone();
                if let Some(sections) = &self.sections {
                    let is_inside = |patch: &&Patch| match patch.path.first() {
                        Some(Segment::Key(key)) => sections.contains(key),
                        _ => false,
                    };
                    if !patches.iter().all(|patch| is_inside(&patch)) {
                        patches = patches.iter().filter(is_inside).cloned().collect();
                    }
                }
                (!patches.is_empty()).then(|| patches.into())
            }
            Published::Foreign(changes) => {
                let mut text = String::with_capacity(changes.iter().map(|change| change.patches.len()).sum());
                for change in changes.iter().filter(|change| self.has_section(&change.module)) {
                    // What is between the brackets; they were seen to be there.
                    let patches = &change.patches[1..change.patches.len() - 1];
                    if !patches.is_empty() {
                        text.push(if text.is_empty() { '[' } else { ',' });
                        text.push_str(patches);
                    }
                }
                (!text.is_empty()).then(|| Patches::from_text(text + "]"))
            }
        }
    }

    /// The changes after version `have`, if there are some and all are still known.
    pub(super) fn since(&self, have: u64) -> Option<Vec<Arc<Frame>>> {
        let (first, _) = self.log.front()?;
        let skip = usize::try_from((have + 1).checked_sub(*first)?).ok()?;
        (skip < self.log.len()).then(|| self.log.range(skip..).map(|(_, frame)| frame.clone()).collect())
    }

    /// Lets go of the state's tree, so that it can be changed where it is. Its text is kept: the state may turn out not to
    /// change.
    pub(super) fn release(&mut self) {
        self.state = self.state.take().and_then(|(version, state)| {
            let text = if state.unread().is_some() { Some(state) } else { state.text_only() };
            text.map(|text| (version, text))
        });
    }

    /// Makes a snapshot; nothing if the state is not known.
    pub(super) fn snapshot(&mut self, whole: Whole<'_>, commits: u64, sync_id: Option<u64>) -> Option<Arc<Frame>> {
        let version = self.version(commits);
        Some(Frame::new(Message::State(StateMessage {
            version,
            sync: SyncMode::Snapshot,
            state: Some(self.state(whole, version)?),
            patches: None,
            sections: self.sections.clone(),
            sync_id,
        })))
    }

    fn state(&mut self, whole: Whole<'_>, version: u64) -> Option<Json> {
        if let Some((at, state)) = &self.state
            && *at == version
        {
            return Some(state.clone());
        }
        let state = self.joined(whole)?;
        self.state = Some((version, state.clone()));
        Some(state)
    }

    fn joined(&self, Whole { root, texts }: Whole<'_>) -> Option<Json> {
        // A copy costs nothing, its text is what is made once.
        let here = match (&self.sections, root) {
            (Some(sections), Value::Map(map)) => {
                let inside = |section: &Text| Some((section.clone(), map.get_text(section)?.clone()));
                Value::Map(Map::from_entries(sections.iter().filter_map(inside).collect()))
            }
            _ => root.clone(),
        };
        let mut elsewhere = texts.iter().filter(|(name, _)| self.has_section(name)).peekable();
        if elsewhere.peek().is_none() {
            return Some(Json::from(here));
        }
        let mut text = String::from("{");
        let begin = |name: &Text, text: &mut String| {
            if text.len() > 1 {
                text.push(',');
            }
            json::write(&Value::String(name.clone()), text);
            text.push(':');
        };
        if let Value::Map(here) = &here {
            for (name, value) in here.iter() {
                begin(name, &mut text);
                json::write(value, &mut text);
            }
        }
        for (name, state) in elsewhere {
            begin(name, &mut text);
            text.push_str(state.as_ref()?);
        }
        text.push('}');
        Some(Json::from_checked(text))
    }
}
