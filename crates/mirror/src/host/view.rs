//! Views: ways of publishing one state.
//!
//! A view has a mode, sections, and so a version counter: without sections the app's own, with sections one that counts
//! what it publishes. What it makes (a change's message, the state's text) is made once for all its connections.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    message::{Frame, Message, StateMessage, SyncMode},
    patch::{Patch, Segment},
    payload::Json,
    value::{Map, Text, Value},
};

/// How many patches a log keeps, over all its changes: about a megabyte. A longer answer would hardly be shorter than a
/// snapshot, and what is let go of from a longer log has left the caches.
const LOG_PATCHES_MAX: usize = 1 << 12;

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

    /// The version last published, after `commits` changes of the app.
    pub(super) fn version(&self, commits: u64) -> u64 {
        if self.sections.is_some() { self.published } else { commits }
    }

    /// Makes the message of a change; nothing if it is in none of the sections.
    pub(super) fn publish(&mut self, patches: &Arc<[Patch]>, root: &Value, commits: u64) -> Option<Arc<Frame>> {
        let mut patches = patches.clone();
        if let Some(sections) = &self.sections {
            let is_inside = |patch: &&Patch| match patch.path.first() {
                Some(Segment::Key(key)) => sections.contains(key),
                _ => false,
            };
            if !patches.iter().all(|patch| is_inside(&patch)) {
                patches = patches.iter().filter(is_inside).cloned().collect();
            }
            if patches.is_empty() {
                return None;
            }
            self.published += 1;
        }
        let version = self.version(commits);
        let count = patches.len();
        let state = (self.mode == SyncMode::Snapshot).then(|| self.state(root, version));
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
            self.log_patches += count;
            while self.log.len() > self.log_max || self.log_patches > LOG_PATCHES_MAX {
                let Some((_, oldest)) = self.log.pop_front() else { break };
                if let Message::State(StateMessage { patches: Some(patches), .. }) = oldest.message() {
                    self.log_patches -= patches.len();
                }
            }
        }
        Some(frame)
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

    /// Makes a snapshot.
    pub(super) fn snapshot(&mut self, root: &Value, commits: u64, sync_id: Option<u64>) -> Arc<Frame> {
        let version = self.version(commits);
        Frame::new(Message::State(StateMessage {
            version,
            sync: SyncMode::Snapshot,
            state: Some(self.state(root, version)),
            patches: None,
            sections: self.sections.clone(),
            sync_id,
        }))
    }

    fn state(&mut self, root: &Value, version: u64) -> Json {
        if let Some((at, state)) = &self.state
            && *at == version
        {
            return state.clone();
        }
        // A copy costs nothing, its text is what is made once.
        let value = match (&self.sections, root) {
            (Some(sections), Value::Map(map)) => {
                let inside = |section: &Text| Some((section.clone(), map.get_text(section)?.clone()));
                Value::Map(Map::from_entries(sections.iter().filter_map(inside).collect()))
            }
            _ => root.clone(),
        };
        let state = Json::from(value);
        self.state = Some((version, state.clone()));
        state
    }
}
