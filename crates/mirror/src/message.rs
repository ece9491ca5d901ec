//! The five messages, their validity, and their text.
//!
//! A message is read once: its envelope is looked through, patches and state become values, arguments and results stay
//! text. Everything that the protocol calls invalid is an [`Invalid`], and only that.
//!
//! # Rules
//! - Unknown fields are ignored. Of repeated fields the last counts. A `null` is not an absent field.
//! - Integers are 0 to 2^53 - 1, in any notation.
//! - Bytes and nesting are bounded before anything is made of the text.

use std::sync::{Arc, OnceLock};

use crate::{
    json::{self, INTEGER_MAX, JsonError, Reader},
    patch::{Op, Patch, Segment, path_of, segment_of},
    payload::{Json, Patches},
    value::{Text, Value},
};

/// How large a message to a host may be, unless told otherwise.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A message, valid by construction when it came from [`Message::parse`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// Host to client: the application has started.
    Ready(Ready),
    /// Host to client: state.
    State(StateMessage),
    /// Client to host: a call.
    Call(CallMessage),
    /// Host to client: what became of a call.
    Result(ResultMessage),
    /// Client to host: a request for state.
    Sync(SyncMessage),
}

/// The application has started.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ready {
    /// Tells one run of a host from another. An extension.
    pub epoch: Option<u64>,
}

/// Whether a state message carries a change or the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncMode {
    /// The whole state.
    Snapshot,
    /// One change.
    Patch,
}

/// State at a version.
#[derive(Debug, Clone, PartialEq)]
pub struct StateMessage {
    /// The version after it.
    pub version: u64,
    /// Whether it carries a change or the whole.
    pub sync: SyncMode,
    /// The whole state, a map.
    pub state: Option<Json>,
    /// What changed.
    pub patches: Option<Patches>,
    /// The top-level keys that the host publishes, if not all.
    pub sections: Option<Arc<[Text]>>,
    /// The request that this answers.
    pub sync_id: Option<u64>,
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallMessage {
    /// Chosen by the client.
    pub id: u64,
    /// The module's name.
    pub module: Text,
    /// The method's name.
    pub method: Text,
    /// The arguments, a list.
    pub args: Json,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultMessage {
    /// The call's.
    pub id: u64,
    /// The version last published when it was posted.
    pub state_version: Option<u64>,
    /// The value, or the error; nothing and an absent value are the same.
    pub outcome: Result<Option<Json>, RemoteError>,
    /// The tick in which the call ran, if its module is bound to a world. An extension.
    pub tick: Option<u64>,
}

/// An error as it crosses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteError {
    /// The kind, as `TypeError`.
    pub name: String,
    /// What happened.
    pub message: String,
    /// Where, in the words of the sender's language.
    pub stack: Option<String>,
}

/// A request for state.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SyncMessage {
    /// Chosen by the client.
    pub id: u64,
    /// The version that the client needs.
    pub state_version: Option<u64>,
    /// The version that the client has. An extension.
    pub have: Option<u64>,
    /// The run of the host from which the client has it. An extension.
    pub epoch: Option<u64>,
}

/// Why a text is no valid message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// It is larger than allowed.
    #[error("a message of {bytes} bytes, of which {max} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// It is no JSON, or nested too deeply.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is no UTF-8, which JSON text is.
    #[error("a message that is no UTF-8")]
    NotText,
    /// It is no plain value, as a transport that carries values may bring.
    #[error("a message that is no plain value: {0}")]
    NotPlain(String),
    /// It is no object.
    #[error("a message that is no object")]
    NotAnObject,
    /// Its type is none of the five.
    #[error("a message without a known type")]
    UnknownType,
    /// A field is missing or has another form than it must.
    #[error("a {message} message whose `{field}` is missing or malformed")]
    Field {
        /// The message's type.
        message: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// The fields that messages have, in the order of [`Fields`].
const FIELDS: [&str; 17] = [
    "type",
    "id",
    "version",
    "sync",
    "state",
    "patches",
    "sections",
    "syncId",
    "stateVersion",
    "module",
    "method",
    "args",
    "value",
    "error",
    "epoch",
    "have",
    "tick",
];

/// The texts of a message's known fields.
#[derive(Default)]
struct Fields<'a>([Option<&'a str>; FIELDS.len()]);

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Fields<'a>, Invalid> {
        let mut fields = Fields::default();
        let mut reader = Reader::new(text).within(1);
        if !reader.take(b'{') {
            reader.skip()?;
            reader.end()?;
            return Err(Invalid::NotAnObject);
        }
        if !reader.take(b'}') {
            loop {
                let key = reader.key()?;
                let value = reader.skip()?;
                if let Some(at) = key.as_str().and_then(|key| FIELDS.iter().position(|&field| field == key)) {
                    fields.0[at] = Some(value);
                }
                if !reader.take(b',') {
                    break;
                }
            }
            reader.expect(b'}', "no comma and no end of an object")?;
        }
        reader.end()?;
        Ok(fields)
    }

    fn get(&self, field: &'static str) -> Option<&'a str> {
        FIELDS.iter().position(|&known| known == field).and_then(|at| self.0[at])
    }

    fn text(&self, field: &'static str) -> Option<Text> {
        let span = self.get(field)?;
        if !span.starts_with('"') {
            return None;
        }
        Reader::new(span).string().ok()
    }

    fn integer(&self, field: &'static str) -> Option<u64> {
        integer(self.get(field)?)
    }

    /// Nothing if it is malformed, nothing inside if it is absent.
    fn optional_integer(&self, field: &'static str) -> Option<Option<u64>> {
        self.get(field).map_or(Some(None), |span| integer(span).map(Some))
    }
}

fn integer(span: &str) -> Option<u64> {
    if !span.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return None;
    }
    let number = Reader::new(span).number().ok()?;
    (number.fract() == 0.0 && (0.0..=INTEGER_MAX as f64).contains(&number)).then_some(number as u64)
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// If it is not valid; see the module's rules and the protocol's section 2.
    pub fn parse(text: &str, bytes_max: usize) -> Result<Message, Invalid> {
        if text.len() > bytes_max {
            return Err(Invalid::TooLarge { bytes: text.len(), max: bytes_max });
        }
        let fields = Fields::read(text)?;
        let kind = fields.text("type");
        match kind.as_ref().and_then(Text::as_str) {
            // A client that does not know the extension must not stumble over its malformed use.
            Some("ready") => Ok(Message::Ready(Ready { epoch: fields.integer("epoch") })),
            Some("state") => state(&fields).map_err(|field| Invalid::Field { message: "state", field }),
            Some("call") => call(&fields).map_err(|field| Invalid::Field { message: "call", field }),
            Some("result") => result(&fields).map_err(|field| Invalid::Field { message: "result", field }),
            Some("sync") => sync(&fields).map_err(|field| Invalid::Field { message: "sync", field }),
            _ => Err(Invalid::UnknownType),
        }
    }

    /// Reads a message from bytes.
    ///
    /// # Errors
    /// As [`Message::parse`], or if the bytes are no UTF-8.
    pub fn parse_bytes(bytes: &[u8], bytes_max: usize) -> Result<Message, Invalid> {
        if bytes.len() > bytes_max {
            return Err(Invalid::TooLarge { bytes: bytes.len(), max: bytes_max });
        }
        Message::parse(std::str::from_utf8(bytes).map_err(|_| Invalid::NotText)?, bytes_max)
    }

    /// Returns the message as JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(128);
        match self {
            Message::Ready(ready) => {
                out.push_str("{\"type\":\"ready\"");
                write_optional(",\"epoch\":", ready.epoch, &mut out);
            }
            Message::State(state) => write_state(state, &mut out),
            Message::Call(call) => {
                out.push_str("{\"type\":\"call\",\"id\":");
                json::write_integer(call.id, &mut out);
                out.push_str(",\"module\":");
                json::write(&Value::String(call.module.clone()), &mut out);
                out.push_str(",\"method\":");
                json::write(&Value::String(call.method.clone()), &mut out);
                out.push_str(",\"args\":");
                out.push_str(call.args.text());
            }
            Message::Result(result) => {
                out.push_str("{\"type\":\"result\",\"id\":");
                json::write_integer(result.id, &mut out);
                write_optional(",\"stateVersion\":", result.state_version, &mut out);
                write_optional(",\"tick\":", result.tick, &mut out);
                match &result.outcome {
                    Ok(None) => {}
                    Ok(Some(value)) => {
                        out.push_str(",\"value\":");
                        out.push_str(value.text());
                    }
                    Err(error) => {
                        out.push_str(",\"error\":{\"name\":");
                        json::write_str(&error.name, &mut out);
                        out.push_str(",\"message\":");
                        json::write_str(&error.message, &mut out);
                        if let Some(stack) = &error.stack {
                            out.push_str(",\"stack\":");
                            json::write_str(stack, &mut out);
                        }
                        out.push('}');
                    }
                }
            }
            Message::Sync(sync) => {
                out.push_str("{\"type\":\"sync\",\"id\":");
                json::write_integer(sync.id, &mut out);
                write_optional(",\"stateVersion\":", sync.state_version, &mut out);
                write_optional(",\"have\":", sync.have, &mut out);
                write_optional(",\"epoch\":", sync.epoch, &mut out);
            }
        }
        out.push('}');
        out
    }
}

fn write_optional(key: &str, number: Option<u64>, out: &mut String) {
    if let Some(number) = number {
        out.push_str(key);
        json::write_integer(number, out);
    }
}

fn write_state(message: &StateMessage, out: &mut String) {
    out.push_str("{\"type\":\"state\",\"sync\":");
    out.push_str(match message.sync {
        SyncMode::Snapshot => "\"snapshot\"",
        SyncMode::Patch => "\"patch\"",
    });
    out.push_str(",\"version\":");
    json::write_integer(message.version, out);
    write_optional(",\"syncId\":", message.sync_id, out);
    if let Some(sections) = &message.sections {
        out.push_str(",\"sections\":");
        let sections = sections.iter().map(|section| Value::String(section.clone()));
        json::write(&Value::List(sections.collect()), out);
    }
    if let Some(patches) = &message.patches {
        out.push_str(",\"patches\":");
        write_patches(patches, out);
    }
    if let Some(state) = &message.state {
        out.push_str(",\"state\":");
        out.push_str(state.text());
    }
}

fn write_patches(patches: &Patches, out: &mut String) {
    if let Some(text) = patches.unread() {
        return out.push_str(text);
    }
    out.push('[');
    for (at, patch) in patches.list().unwrap_or_default().iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_patch(patch, out);
    }
    out.push(']');
}

fn write_patch(patch: &Patch, out: &mut String) {
    let (op, value) = match &patch.op {
        Op::Add(value) => ("{\"op\":\"add\",\"path\":[", Some(value)),
        Op::Replace(value) => ("{\"op\":\"replace\",\"path\":[", Some(value)),
        Op::Remove => ("{\"op\":\"remove\",\"path\":[", None),
    };
    out.push_str(op);
    for (at, segment) in patch.path.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match segment {
            Segment::Index(index) => json::write_integer(u64::from(*index), out),
            Segment::Key(Text::Utf8(key)) => json::write_str(key, out),
            Segment::Key(key) => json::write(&Value::String(key.clone()), out),
        }
    }
    out.push(']');
    if let Some(value) = value {
        out.push_str(",\"value\":");
        json::write(value, out);
    }
    out.push('}');
}

fn call(fields: &Fields<'_>) -> Result<Message, &'static str> {
    let name = |field| fields.text(field).filter(|name| name.as_str() != Some("")).ok_or(field);
    Ok(Message::Call(CallMessage {
        id: fields.integer("id").ok_or("id")?,
        module: name("module")?,
        method: name("method")?,
        args: fields.get("args").filter(|args| args.starts_with('[')).map(Json::from_checked).ok_or("args")?,
    }))
}

fn sync(fields: &Fields<'_>) -> Result<Message, &'static str> {
    Ok(Message::Sync(SyncMessage {
        id: fields.integer("id").ok_or("id")?,
        state_version: fields.optional_integer("stateVersion").ok_or("stateVersion")?,
        have: fields.integer("have"),
        epoch: fields.integer("epoch"),
    }))
}

fn result(fields: &Fields<'_>) -> Result<Message, &'static str> {
    let outcome = match fields.get("error") {
        None => Ok(fields.get("value").map(Json::from_checked)),
        Some(error) => Err(remote_error(error).ok_or("error")?),
    };
    Ok(Message::Result(ResultMessage {
        id: fields.integer("id").ok_or("id")?,
        state_version: fields.optional_integer("stateVersion").ok_or("stateVersion")?,
        outcome,
        tick: fields.integer("tick"),
    }))
}

fn remote_error(span: &str) -> Option<RemoteError> {
    let error = Reader::new(span).value().ok()?;
    let text = |field| match error.get(field) {
        Some(Value::String(text)) => Some(text.to_string()),
        _ => None,
    };
    let stack = match error.get("stack") {
        None => None,
        Some(_) => Some(text("stack")?),
    };
    Some(RemoteError { name: text("name")?, message: text("message")?, stack })
}

fn state(fields: &Fields<'_>) -> Result<Message, &'static str> {
    let version = fields.integer("version").ok_or("version")?;
    let sync = match fields.text("sync").as_ref().and_then(Text::as_str) {
        Some("patch") => SyncMode::Patch,
        Some("snapshot") => SyncMode::Snapshot,
        _ => return Err("sync"),
    };
    let sync_id = fields.optional_integer("syncId").ok_or("syncId")?;
    let sections = match fields.get("sections") {
        None => None,
        Some(span) => Some(sections(span).ok_or("sections")?),
    };
    let patches = match fields.get("patches") {
        None => None,
        Some(span) => Some(patches(span).ok().flatten().ok_or("patches")?.into()),
    };
    let state = match fields.get("state") {
        None => None,
        Some(span) if span.starts_with('{') => Some(Json::from_checked(span)),
        Some(_) => return Err("state"),
    };
    match sync {
        SyncMode::Snapshot if state.is_none() => return Err("state"),
        SyncMode::Patch if state.is_none() && patches.is_none() => return Err("patches"),
        _ => {}
    }
    Ok(Message::State(StateMessage { version, sync, state, patches, sections, sync_id }))
}

fn sections(span: &str) -> Option<Arc<[Text]>> {
    let value = Reader::new(span).value().ok()?;
    let sections = value.as_list()?;
    sections.iter().map(|section| if let Value::String(name) = section { Some(name.clone()) } else { None }).collect()
}

/// Reads the text of a list of patches; nothing if it is none.
pub(crate) fn parse_patches(text: &str) -> Option<Box<[Patch]>> {
    let mut reader = Reader::new(text).within(1);
    reader
        .skip()
        .and_then(|span| reader.end().map(|()| span))
        .and_then(patches)
        .ok()
        .flatten()
        .map(Vec::into_boxed_slice)
}

/// Reads a list of patches; nothing if one is malformed.
fn patches(span: &str) -> Result<Option<Vec<Patch>>, JsonError> {
    let mut reader = Reader::new(span);
    if !reader.take(b'[') {
        return Ok(None);
    }
    let mut patches = Vec::new();
    if !reader.take(b']') {
        loop {
            match patch(&mut reader)? {
                Some(patch) => patches.push(patch),
                None => return Ok(None),
            }
            if !reader.take(b',') {
                break;
            }
        }
    }
    Ok(Some(patches))
}

fn patch(reader: &mut Reader<'_>) -> Result<Option<Patch>, JsonError> {
    let (mut op, mut path, mut value) = (None, None, None);
    if !reader.take(b'{') {
        return Ok(None);
    }
    if !reader.take(b'}') {
        loop {
            let key = reader.key()?;
            match key.as_str() {
                Some("op") => op = Some(reader.value()?),
                Some("path") => path = Some(self::path(reader)?),
                Some("value") => value = Some(reader.value()?),
                _ => drop(reader.skip()?),
            }
            if !reader.take(b',') {
                break;
            }
        }
        reader.expect(b'}', "no comma and no end of an object")?;
    }
    let op = match (op.as_ref().and_then(Value::as_str), value) {
        (Some("add"), Some(value)) => Op::Add(value),
        (Some("replace"), Some(value)) => Op::Replace(value),
        (Some("remove"), _) => Op::Remove,
        _ => return Ok(None),
    };
    Ok(path.flatten().map(|path| Patch { op, path: path.into() }))
}

/// Reads a path; nothing if it is malformed.
fn path(reader: &mut Reader<'_>) -> Result<Option<Vec<Segment>>, JsonError> {
    if !reader.take(b'[') {
        let path = reader.value()?;
        return Ok(path_of(&path));
    }
    let (mut path, mut formed) = (Vec::with_capacity(4), true);
    if !reader.take(b']') {
        loop {
            // A path's keys repeat from patch to patch.
            let segment = match reader.peek() {
                Some(b'"') => Segment::key(reader.known_string()?),
                _ => segment_of(&reader.value()?),
            };
            formed &= segment.is_some();
            path.extend(segment);
            if !reader.take(b',') {
                break;
            }
        }
        reader.expect(b']', "no comma and no end of a list")?;
    }
    Ok(formed.then_some(path))
}

/// A message that is on its way, perhaps to many: its text is made once, when the first needs it.
#[derive(Debug)]
pub struct Frame {
    message: Message,
    text: OnceLock<Arc<str>>,
}

impl Frame {
    /// Wraps a message.
    pub fn new(message: Message) -> Arc<Frame> {
        Arc::new(Frame { message, text: OnceLock::new() })
    }

    /// Returns the message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Returns the message's JSON text.
    pub fn text(&self) -> &Arc<str> {
        self.text.get_or_init(|| self.message.to_json().into())
    }
}
