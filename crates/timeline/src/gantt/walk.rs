//! Walks the text of a trace, event by event, and knows where it is.
//!
//! A trace is an array of events, or an object that has one as `traceEvents`. An array may lack its closing bracket: the
//! format says so, that a program may write events until it dies. Values are read by `serde_json`; what lies between
//! them is looked at here, so that an error can name the event and the byte.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::read::TraceError;

/// A value of an event, as far as it matters.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
    Other(&'static str),
}

impl<'a> Value<'a> {
    /// The member called `name`, if this is an object that has it.
    pub(super) fn get(&self, name: &str) -> Option<&Value<'a>> {
        let Value::Map(members) = self else { return None };
        members.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl fmt::Display for Value<'_> {
    /// What it is, in few words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 40;
        match self {
            Value::Text(text) if text.chars().count() <= SHOWN_MAX => write!(f, "{text:?}"),
            Value::Text(_) => f.write_str("a long text"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Map(_) => f.write_str("an object"),
            Value::Other(name) => f.write_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Value::Text(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Value::Text(text.to_owned().into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Value::Number(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Value::Number(number as f64))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Value::Number(number as f64))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Value::Other("a truth value"))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Value::Other("null"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::Other("an array"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Value::Text(key), value)) = access.next_entry::<Value<'de>, Value<'de>>()? {
                    members.push((key, value));
                }
                Ok(Value::Map(members))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// Where an event is: its number, from 0, and its first byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) event: u64,
    pub(super) offset: u64,
}

/// Calls `event` for each event of a trace.
pub(super) fn for_each_event<'a>(
    bytes: &'a [u8],
    event: impl FnMut(Place, Value<'a>) -> Result<(), TraceError>,
) -> Result<(), TraceError> {
    let mut walk = Walk { bytes, at: 0, events: 0, event };
    match walk.peek() {
        None => return Err(TraceError::Empty),
        Some(b'[') => walk.events(true)?,
        Some(b'{') => walk.object()?,
        Some(_) => {
            walk.value::<IgnoredAny>()?;
            return Err(TraceError::NotATrace);
        }
    }
    match walk.peek() {
        None => Ok(()),
        Some(_) => Err(walk.unexpected("the end")),
    }
}

struct Walk<'a, F> {
    bytes: &'a [u8],
    at: usize,
    events: u64,
    event: F,
}

impl<'a, F: FnMut(Place, Value<'a>) -> Result<(), TraceError>> Walk<'a, F> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let blank = self.bytes[self.at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.at += blank.count();
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, wanted: u8) -> Result<(), TraceError> {
        match self.peek() {
            Some(byte) if byte == wanted => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.unexpected(&format!("`{}`", wanted as char))),
            None => Err(self.cut()),
        }
    }

    fn cut(&self) -> TraceError {
        TraceError::Truncated { offset: self.bytes.len() as u64, events: self.events }
    }

    fn unexpected(&self, wanted: &str) -> TraceError {
        TraceError::Json { offset: self.at as u64, message: format!("expected {wanted}") }
    }

    fn value<T: Deserialize<'a>>(&mut self) -> Result<T, TraceError> {
        let rest = &self.bytes[self.at..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            None => Err(self.cut()),
            Some(Err(error)) if error.is_eof() => Err(self.cut()),
            Some(Err(error)) => {
                // The parser tells lines and columns of what it was given; both count from 1, columns in bytes.
                let lines = rest.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
                let offset = self.at + lines.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1);
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default().to_owned();
                Err(TraceError::Json { offset: offset as u64, message })
            }
        }
    }

    /// The object form: members in any order, of which one holds the events.
    fn object(&mut self) -> Result<(), TraceError> {
        let mut found = false;
        self.expect(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Err(TraceError::NotATrace);
        }
        loop {
            if self.peek().is_some_and(|byte| byte != b'"') {
                return Err(self.unexpected("a member's name"));
            }
            let name: Cow<'a, str> = match self.value()? {
                Value::Text(name) => name,
                _ => return Err(self.unexpected("a member's name")),
            };
            self.expect(b':')?;
            if name == "traceEvents" {
                found = true;
                self.events(false)?;
            } else {
                self.value::<IgnoredAny>()?;
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                Some(_) => return Err(self.unexpected("`,` or `}`")),
                None => return Err(self.cut()),
            }
        }
        self.at += 1;
        if found { Ok(()) } else { Err(TraceError::NotATrace) }
    }

    /// The array of events, which may end with the text if it is `open`.
    fn events(&mut self, open: bool) -> Result<(), TraceError> {
        self.expect(b'[')?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if open && self.peek().is_none() {
                return Ok(());
            }
            if self.peek().is_some_and(|byte| byte == b',' || byte == b']') {
                return Err(self.unexpected("an event"));
            }
            let place = Place { event: self.events, offset: self.at as u64 };
            let event = self.value()?;
            (self.event)(place, event)?;
            self.events += 1;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                Some(_) => return Err(self.unexpected("`,` or `]`")),
                None if open => return Ok(()),
                None => return Err(self.cut()),
            }
        }
        self.at += 1;
        Ok(())
    }
}
