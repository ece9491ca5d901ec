//! What messages carry unread: a value as text, as a tree, or both.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

use serde::de::DeserializeOwned;

use crate::{
    json::{self, JsonError},
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
