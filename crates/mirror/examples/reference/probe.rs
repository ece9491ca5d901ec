//! A client behind commands: what it does because of each, as a list of events.

use std::{sync::Arc, time::Duration};

use peristyle_mirror::{
    CallError, ClientCore, ConflictReason, Event, Extensions, Frame, List, Message, Posted, TransportError, Value,
    parse_json,
};

/// How large a message to a client may be.
const BYTES_MAX: usize = 1 << 26;

struct Watch {
    tag: Value,
    path: Vec<Value>,
    immediate: bool,
    previous: Option<Value>,
}

#[allow(dead_code)]
pub struct Probe {
    core: ClientCore,
    /// Tags of calls by id.
    tags: Vec<(u64, Value)>,
    watches: Vec<Watch>,
    /// What the client was told to post and is to be sent.
    pub posts: Vec<Arc<Frame>>,
    /// If set, posting fails so.
    pub post_error: Option<String>,
}

/// What is at a path; null if nothing is.
fn at(state: &Value, path: &[Value]) -> Value {
    let mut value = state;
    for step in path {
        let next = match (value, step) {
            (Value::List(list), Value::Number(_)) => step.as_i64().and_then(|index| list.get(index as usize)),
            (Value::List(list), _) => step.as_str().and_then(|index| index.parse::<u32>().ok()).and_then(|index| {
                (index.to_string() == step.as_str().unwrap_or_default()).then(|| list.get(index as usize))?
            }),
            (Value::Map(map), Value::String(key)) => map.get_text(key),
            (Value::Map(map), Value::Number(_)) => map.get(&step.to_json()),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => return Value::Null,
        }
    }
    value.clone()
}

fn event(parts: impl IntoIterator<Item = Value>) -> Value {
    Value::List(parts.into_iter().collect())
}

fn number(number: u64) -> Value {
    Value::number(number as f64)
}

#[allow(dead_code)]
impl Probe {
    pub fn new(extensions: bool) -> Probe {
        let extensions = if extensions { Extensions::default() } else { Extensions::OFF };
        Probe {
            core: ClientCore::new(extensions),
            tags: Vec::new(),
            watches: Vec::new(),
            posts: Vec::new(),
            post_error: None,
        }
    }

    /// Whether something was posted that was not answered yet.
    pub fn is_waiting(&self) -> bool {
        !self.tags.is_empty()
    }

    /// Whether there is state.
    pub fn is_ready(&self) -> bool {
        self.core.state().is_some()
    }

    /// What happens because a text arrives.
    pub fn receive(&mut self, text: &str, now: Duration) -> Vec<Value> {
        let mut events = Vec::new();
        self.core.receive(Message::parse(text, BYTES_MAX).map(Frame::new), now, &mut events);
        self.told(events)
    }

    /// What happens because time passes.
    pub fn expire(&mut self, now: Duration) -> Vec<Value> {
        let mut events = Vec::new();
        self.core.expire(now, &mut events);
        self.told(events)
    }

    /// What happens because of a command; time that it waits has passed already.
    pub fn command(&mut self, command: &Value, now: Duration) -> Vec<Value> {
        let field = |name: &str| command.get(name).cloned().unwrap_or_default();
        let mut events = Vec::new();
        match command.get("cmd").and_then(Value::as_str) {
            Some("frame") => return self.receive(&field("data").to_json(), now),
            Some("call") => {
                let text = |name: &str| match field(name) {
                    Value::String(text) => text,
                    other => other.to_json().into(),
                };
                let args = match field("args") {
                    args @ Value::List(_) => args,
                    _ => Value::List(List::new()),
                };
                let timeout = command.get("timeout").map_or(0.0, |timeout| timeout.as_f64().unwrap_or(f64::NAN));
                let aborted = field("aborted").as_bool().unwrap_or(false);
                let tag = field("tag");
                let (module, method) = (text("module"), text("method"));
                match self.core.call(module, method, args.into(), timeout, aborted, now, &mut events) {
                    Ok(id) => self.tags.push((id, tag)),
                    Err(error) => return vec![settled(tag, Err(&error))],
                }
            }
            Some("abort") => {
                let tag = field("tag");
                let ids: Vec<u64> = self.tags.iter().filter(|(_, other)| *other == tag).map(|(id, _)| *id).collect();
                ids.into_iter().for_each(|id| self.core.abort(id, &mut events));
            }
            Some("watch") => {
                let path = field("path").as_list().map(|path| path.iter().cloned().collect()).unwrap_or_default();
                let immediate = field("immediate").as_bool().unwrap_or(false);
                let mut watch = Watch { tag: field("tag"), path, immediate, previous: None };
                let first = self.core.state().and_then(|state| watch.look(state));
                self.watches.push(watch);
                return first.into_iter().collect();
            }
            Some("dump") => {
                let state = self.core.state().cloned().unwrap_or_default();
                return vec![event(["dump".into(), number(self.core.version()), state])];
            }
            Some("dispose") => {
                self.core.dispose(&mut events);
                self.watches.clear();
            }
            Some("wait") => self.core.expire(now, &mut events),
            _ => {}
        }
        self.told(events)
    }

    fn told(&mut self, mut events: Vec<Event>) -> Vec<Value> {
        let mut told: Vec<(Option<u64>, Value)> = Vec::new();
        let mut at = 0;
        while at < events.len() {
            let mut more = Vec::new();
            match &events[at] {
                Event::Post(frame, posted) => match &self.post_error {
                    None => {
                        let message = parse_json(frame.text()).unwrap_or_default();
                        told.push((None, event(["post".into(), message])));
                        self.posts.push(frame.clone());
                    }
                    Some(error) => self.post_failed(posted, error.clone(), &mut more),
                },
                Event::State { version, state, .. } => {
                    told.push((None, event(["state".into(), number(*version)])));
                    told.extend(self.watches.iter_mut().filter_map(|watch| watch.look(state)).map(|told| (None, told)));
                }
                Event::Ready => told.push((None, event(["ready".into()]))),
                Event::ReadyFailed(error) => {
                    told.push((None, event(["ready-error".into(), error.to_string().into()])));
                }
                Event::Conflict(conflict) => {
                    let (current, incoming) = (number(conflict.current_version), number(conflict.incoming_version));
                    let reason: &ConflictReason = &conflict.reason;
                    told.push((None, event(["conflict".into(), reason.as_str().into(), current, incoming])));
                }
                Event::Invalid(_) => told.push((None, event(["invalid".into()]))),
                Event::Settled { id, outcome } => {
                    let Some(place) = self.tags.iter().position(|(other, _)| other == id) else {
                        at += 1;
                        continue;
                    };
                    let (_, tag) = self.tags.remove(place);
                    let outcome = outcome.as_ref().map(|value| value.as_ref().map(|value| value.value().clone()));
                    told.push((Some(*id), settled(tag, outcome.map(Option::unwrap_or_default))));
                }
                _ => {}
            }
            at += 1;
            events.splice(at..at, more);
        }
        // Calls that are over at the same time are told in the order in which they were made.
        for run in told.chunk_by_mut(|a, b| a.0.is_some() && b.0.is_some()) {
            run.sort_by_key(|(id, _)| *id);
        }
        told.into_iter().map(|(_, event)| event).collect()
    }

    fn post_failed(&mut self, posted: &Posted, error: String, events: &mut Vec<Event>) {
        self.core.post_failed(posted, TransportError::Io(error), events);
    }
}

fn settled(tag: Value, outcome: Result<Value, &CallError>) -> Value {
    match outcome {
        Ok(value) => event(["settle".into(), tag, "ok".into(), value]),
        Err(error) => event(["settle".into(), tag, "err".into(), error.name().into(), error.to_string().into()]),
    }
}

impl Watch {
    /// Looks at the state; returns what the watch says.
    fn look(&mut self, state: &Value) -> Option<Value> {
        let value = at(state, &self.path);
        let previous = match self.previous.replace(value.clone()) {
            Some(previous) if previous == value => return None,
            Some(previous) => previous,
            None if self.immediate => value.clone(),
            None => return None,
        };
        Some(event(["watch".into(), self.tag.clone(), value, previous]))
    }
}
