//! Modules: state with declared methods. `#[module]` makes them of an `impl` block.
//!
//! A method is found in the module's own table and nowhere else. Arguments stay text until a method takes them, one by
//! one, as the types that it declares.

use std::{borrow::Cow, fmt, marker::PhantomData, sync::Weak};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    client::{Call, CallOptions, Client},
    executor::BoxFuture,
    host::HostShared,
    json::{self, Reader},
    message::RemoteError,
    payload::{Json, as_value},
    state::State,
    typed::{ValueError, from_value, value_of},
    value::{Text, Value},
};

/// A module of an app. Usually made by `#[module]` on its `impl` block.
pub trait Module: State {
    /// The name under which hosts register it.
    const NAME: &'static str;
    /// Its methods at a client.
    type Proxy;
    /// Makes the methods at a client, for a module registered as `name`.
    fn proxy(client: Client, name: &'static str) -> Self::Proxy;
    /// Returns its methods.
    fn methods() -> Vec<Method<Self>>;
}

/// A declared method.
pub struct Method<M> {
    /// Its name for callers.
    pub name: &'static str,
    /// Whether everybody may call it. Others are called only if the host exposes them.
    pub is_action: bool,
    /// What it does.
    pub run: Run<M>,
}

/// What a method does.
pub enum Run<M> {
    /// Runs at once, as one change.
    Now(fn(&mut M, &mut Args) -> Result<Option<Json>, Failure>),
    /// Runs beside others, and changes state in stretches.
    Later(fn(Live<M>, &mut Args) -> Result<BoxFuture<Result<Option<Json>, Failure>>, Failure>),
}

/// Why an action failed, as its caller will see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub name: Cow<'static, str>,
    /// What happened.
    pub message: String,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(name: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Failure {
        Failure { name: name.into(), message: message.into() }
    }

    /// A failure of the kind `Error`.
    pub fn error(message: impl Into<String>) -> Failure {
        Failure::new("Error", message)
    }

    /// A failure of the kind `TypeError`.
    pub fn type_error(message: impl Into<String>) -> Failure {
        Failure::new("TypeError", message)
    }

    /// A failure of the kind `RangeError`.
    pub fn range_error(message: impl Into<String>) -> Failure {
        Failure::new("RangeError", message)
    }

    /// A refusal by the host itself.
    pub(crate) fn refusal(message: impl Into<String>) -> Failure {
        Failure::new("CosystemError", message)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::error(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl From<Failure> for RemoteError {
    fn from(failure: Failure) -> RemoteError {
        // No stack: it would show the host's insides to others.
        RemoteError { name: failure.name.into_owned(), message: failure.message, stack: None }
    }
}

/// The arguments of a call, taken one by one. Missing ones read as null, spare ones are ignored.
pub struct Args {
    json: Json,
    /// The number taken.
    taken: usize,
    /// Where the next one begins in the text.
    at: usize,
}

impl Args {
    pub(crate) fn new(json: Json) -> Args {
        Args { json, taken: 0, at: 0 }
    }

    /// Takes the next argument; nothing if there are no more.
    fn next<T: DeserializeOwned + 'static>(&mut self) -> Option<Result<T, ValueError>> {
        let index = self.taken;
        self.taken += 1;
        let Some(text) = self.json.unread() else {
            let value = self.json.value().at(index)?;
            return Some(as_value(|| Ok(value.clone())).unwrap_or_else(|| from_value(value)));
        };
        let mut reader = Reader::new(&text[self.at..]);
        // The bracket before the first, a comma before others; at the end a bracket.
        if !reader.take(if self.at == 0 { b'[' } else { b',' }) || reader.peek() == Some(b']') {
            return None;
        }
        let span = reader.skip().ok()?;
        self.at += reader.offset();
        Some(
            as_value(|| Ok(json::parse(span)?))
                .unwrap_or_else(|| serde_json::from_str(span).map_err(|error| ValueError::Type(error.to_string()))),
        )
    }

    /// Takes the next argument.
    ///
    /// # Errors
    /// A `TypeError` that names it, if it is of another type.
    pub fn take<T: DeserializeOwned + 'static>(&mut self, name: &str) -> Result<T, Failure> {
        let value = match self.next() {
            Some(value) => value,
            None => as_value(|| Ok(Value::Null))
                .unwrap_or_else(|| from_value(&Value::Null).map_err(|_| ValueError::Type("it is missing".into()))),
        };
        value.map_err(|error| Failure::type_error(format!("argument {} `{name}`: {error}", self.taken)))
    }

    /// Takes all arguments that are left.
    ///
    /// # Errors
    /// As [`take`](Args::take).
    pub fn take_rest<T: DeserializeOwned + 'static>(&mut self, name: &str) -> Result<Vec<T>, Failure> {
        let mut rest = Vec::new();
        while let Some(value) = self.next() {
            rest.push(
                value.map_err(|error| Failure::type_error(format!("argument {} `{name}`: {error}", self.taken)))?,
            );
        }
        Ok(rest)
    }
}

/// Makes a result of what an action returns; used by generated code.
///
/// # Errors
/// If JSON cannot say it.
pub fn outcome<T: Serialize + 'static>(value: &T) -> Result<Option<Json>, Failure> {
    Ok(Some(value_of(value)?.into()))
}

/// Arguments in the making; used by generated code.
#[derive(Default)]
pub struct Arguments {
    values: Vec<Value>,
    error: Option<ValueError>,
}

impl Arguments {
    /// Adds one.
    pub fn push<T: Serialize + 'static>(&mut self, value: &T) {
        match value_of(value) {
            Ok(value) => self.values.push(value),
            Err(error) => self.error = Some(error),
        }
    }

    /// Calls a method with them.
    pub fn call<R: DeserializeOwned + 'static>(self, client: &Client, module: &str, method: &str) -> Call<R> {
        if let Some(error) = self.error {
            return Call::failed(crate::CallError::Value(error.to_string()));
        }
        let args = Value::List(self.values.into_iter().collect());
        let options = CallOptions { timeout: client.request_timeout(), abort: None };
        client.call_json(Text::from(module), Text::from(method), args.into(), options)
    }
}

/// A module's state in its host, for actions that wait. Each change through it is one change of the app.
pub struct Live<M> {
    host: Weak<HostShared>,
    index: usize,
    module: PhantomData<fn() -> M>,
}

impl<M> Clone for Live<M> {
    fn clone(&self) -> Self {
        Live { host: self.host.clone(), index: self.index, module: PhantomData }
    }
}

impl<M: Module> Live<M> {
    pub(crate) fn new(host: Weak<HostShared>, index: usize) -> Live<M> {
        Live { host, index, module: PhantomData }
    }

    /// Changes the state, and publishes the change. If `change` fails or panics, the state is as before.
    ///
    /// # Errors
    /// What `change` fails with, or that the host is gone.
    pub fn update<R>(&self, change: impl FnOnce(&mut M) -> Result<R, Failure>) -> Result<R, Failure> {
        self.host.upgrade().ok_or_else(gone)?.update_at(self.index, change)
    }

    /// Reads the state.
    ///
    /// # Errors
    /// If the host is gone.
    pub fn read<R>(&self, read: impl FnOnce(&M) -> R) -> Result<R, Failure> {
        self.host.upgrade().ok_or_else(gone)?.read_at(self.index, read)
    }
}

pub(crate) fn gone() -> Failure {
    Failure::refusal("the host has been disposed")
}
