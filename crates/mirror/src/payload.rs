//! What messages carry unread: a value as text, as a tree, or both.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

use serde::de::DeserializeOwned;

use crate::{
    json::{self, JsonError},
    message,
    patch::Patch,
    typed::{ValueError, from_value},
    value::Value,
};

/// A plain value, held as JSON text, as a tree, or both. Each form is made from the other when it is first asked for,
/// once for all copies.
#[derive(Clone)]
pub struct Json(Arc<Forms>);

#[derive(Default)]
struct Forms {
    text: OnceLock<Arc<str>>,
    value: OnceLock<Value>,
}

impl Json {
    /// Takes text over, without making a tree of it.
    ///
    /// # Errors
    /// If the text is no JSON.
    pub fn from_text(text: impl Into<Arc<str>>) -> Result<Json, JsonError> {
        let text = text.into();
        let mut reader = json::Reader::new(&text);
        reader.skip()?;
        reader.end()?;
        Ok(Json::from_checked(text))
    }

    /// Takes text over that was read over already.
    pub(crate) fn from_checked(text: impl Into<Arc<str>>) -> Json {
        Json(Arc::new(Forms { text: OnceLock::from(text.into()), value: OnceLock::new() }))
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        self.0.text.get_or_init(|| self.0.value.get().map_or_else(|| "null".to_owned(), Value::to_json).into())
    }

    /// The text alone, if it was made: something to keep that does not hold the tree.
    pub(crate) fn text_only(&self) -> Option<Json> {
        self.0.text.get().map(|text| Json::from_checked(text.clone()))
    }

    /// Returns the text, if no tree was made yet.
    pub(crate) fn unread(&self) -> Option<&str> {
        if self.0.value.get().is_some() { None } else { self.0.text.get().map(|text| &**text) }
    }

    /// Returns the tree.
    pub fn value(&self) -> &Value {
        // What was taken over was read over, so reading does not fail.
        self.0.value.get_or_init(|| self.0.text.get().and_then(|text| json::parse(text).ok()).unwrap_or_default())
    }

    /// Reads a type, from the form that is there.
    ///
    /// # Errors
    /// If the value has another shape.
    pub fn decode<T: DeserializeOwned + 'static>(&self) -> Result<T, ValueError> {
        if let Some(value) = as_value::<T>(|| Ok(self.value().clone())) {
            return value;
        }
        match (self.0.value.get(), self.0.text.get()) {
            (None, Some(text)) => serde_json::from_str(text).map_err(|error| ValueError::Type(error.to_string())),
            _ => from_value(self.value()),
        }
    }
}

/// If `T` is [`Value`] itself, makes it by `make`: our own reader takes more than serde can carry.
pub(crate) fn as_value<T: 'static>(make: impl FnOnce() -> Result<Value, ValueError>) -> Option<Result<T, ValueError>> {
    let mut slot: Option<T> = None;
    let value_slot = (&mut slot as &mut dyn Any).downcast_mut::<Option<Value>>()?;
    match make() {
        Ok(value) => *value_slot = Some(value),
        Err(error) => return Some(Err(error)),
    }
    slot.map(Ok)
}

impl From<Value> for Json {
    fn from(value: Value) -> Json {
        Json(Arc::new(Forms { text: OnceLock::new(), value: OnceLock::from(value) }))
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        self.value() == other.value()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What a change consists of: a list of patches, or their text, which nobody has read.
#[derive(Clone)]
pub struct Patches(Written);

#[derive(Clone)]
enum Written {
    List(Arc<[Patch]>),
    Text(Arc<Unread>),
}

struct Unread {
    text: Box<str>,
    /// The list, once somebody asked; nothing if the text is none.
    list: OnceLock<Option<Box<[Patch]>>>,
}

impl Patches {
    /// Takes over the text of a JSON array of patches, unread: whoever applies it finds out whether it is one.
    pub fn from_text(text: impl Into<Box<str>>) -> Patches {
        Patches(Written::Text(Arc::new(Unread { text: text.into(), list: OnceLock::new() })))
    }

    /// Returns the patches; nothing if they are text that is no list of valid patches. Text is read once for all copies.
    pub fn list(&self) -> Option<&[Patch]> {
        match &self.0 {
            Written::List(list) => Some(list),
            Written::Text(unread) => unread.list.get_or_init(|| message::parse_patches(&unread.text)).as_deref(),
        }
    }

    /// Returns the text, if that is what they were made of.
    pub(crate) fn unread(&self) -> Option<&str> {
        match &self.0 {
            Written::List(_) => None,
            Written::Text(unread) => Some(&unread.text),
        }
    }

    /// How long a log of patches gets by them, in patches.
    pub(crate) fn weight(&self) -> usize {
        /// Bytes of a patch as they usually are.
        const PATCH_BYTES: usize = 128;
        match &self.0 {
            Written::List(list) => list.len(),
            Written::Text(unread) => unread.text.len() / PATCH_BYTES + 1,
        }
    }
}

impl From<Arc<[Patch]>> for Patches {
    fn from(list: Arc<[Patch]>) -> Patches {
        Patches(Written::List(list))
    }
}

impl From<Vec<Patch>> for Patches {
    fn from(list: Vec<Patch>) -> Patches {
        Patches(Written::List(list.into()))
    }
}

impl PartialEq for Patches {
    fn eq(&self, other: &Patches) -> bool {
        self.list() == other.list()
    }
}

impl fmt::Debug for Patches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unread() {
            Some(text) => f.write_str(text),
            None => self.list().fmt(f),
        }
    }
}
