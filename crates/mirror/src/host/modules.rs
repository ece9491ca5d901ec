//! Modules behind one type, and what may happen while one of their methods runs.

use std::{
    any::Any,
    collections::{HashMap, HashSet},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Weak,
    task::{Context, Poll},
};

use super::{AsAny, HostShared, foreign::ForeignSlot};
use crate::{
    diff::Changes,
    executor::BoxFuture,
    message::CallMessage,
    module::{Args, Failure, Live, Method, Module, Run},
    payload::Json,
    typed::ValueError,
    value::{Text, Value},
};

/// A registered module.
pub(super) struct Slot {
    pub(super) name: Text,
    pub(super) kind: Kind,
    /// Methods that are no actions, but may be called.
    pub(super) exposed: HashSet<Text>,
    /// Its calls wait for a tick.
    pub(super) is_queued: bool,
}

/// Where a module is.
pub(super) enum Kind {
    /// Here.
    Here(Box<dyn AnyModule>),
    /// Elsewhere: its state is text that others make.
    Foreign(ForeignSlot),
}

/// What became of a call so far.
pub(super) enum Called {
    Done(Result<Option<Json>, Failure>),
    Later(BoxFuture<Result<Option<Json>, Failure>>),
}

/// A module of any type.
pub(super) trait AnyModule: AsAny + Send {
    fn to_value(&self) -> Result<Value, ValueError>;

    fn call(
        &mut self,
        call: &CallMessage,
        exposed: bool,
        host: Weak<HostShared>,
        index: usize,
        published: &mut Value,
        changes: &mut Changes,
    ) -> Called;
}

pub(super) struct Hosted<M> {
    state: M,
    methods: HashMap<&'static str, Method<M>>,
}

impl<M: Module> Hosted<M> {
    pub(super) fn new(state: M) -> Hosted<M> {
        Hosted { state, methods: M::methods().into_iter().map(|method| (method.name, method)).collect() }
    }

    pub(super) fn state(&self) -> &M {
        &self.state
    }

    /// Runs a change and records it, or undoes it.
    pub(super) fn commit<R>(
        &mut self,
        published: &mut Value,
        changes: &mut Changes,
        change: impl FnOnce(&mut M) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let before = self.state.clone();
        let state = &mut self.state;
        let changed = caught(|| change(state));
        let recorded = changed.map(|result| (result, caught(|| Ok(state.record(published, changes)?))));
        match recorded {
            Ok((result, Ok(()))) => Ok(result),
            Ok((_, Err(failure))) => {
                // What was published is half way, and made anew from the state before: it was expressible.
                self.state = before;
                changes.patches.clear();
                *published = self.state.to_value().unwrap_or_default();
                Err(failure)
            }
            Err(failure) => {
                self.state = before;
                Err(failure)
            }
        }
    }
}

/// Runs something of the user's; its panic is a failure.
fn caught<R>(run: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(Failure::error(panic_message(&*panic))))
}

impl<M: Module> AnyModule for Hosted<M> {
    fn to_value(&self) -> Result<Value, ValueError> {
        self.state.to_value()
    }

    fn call(
        &mut self,
        call: &CallMessage,
        exposed: bool,
        host: Weak<HostShared>,
        index: usize,
        published: &mut Value,
        changes: &mut Changes,
    ) -> Called {
        let method = call.method.as_str().and_then(|name| self.methods.get(name));
        let Some(method) = method.filter(|method| method.is_action || exposed) else {
            let message = format!("{}.{} is neither an action nor exposed", call.module, call.method);
            return Called::Done(Err(Failure::refusal(message)));
        };
        let mut args = Args::new(call.args.clone());
        match method.run {
            Run::Now(run) => Called::Done(self.commit(published, changes, |state| run(state, &mut args))),
            Run::Later(run) => {
                let live = Live::of(host, index);
                match catch_unwind(AssertUnwindSafe(|| run(live, &mut args))) {
                    Ok(Ok(future)) => Called::Later(future),
                    Ok(Err(failure)) => Called::Done(Err(failure)),
                    Err(panic) => Called::Done(Err(Failure::error(panic_message(&*panic)))),
                }
            }
        }
    }
}

/// A future whose panic is a failure.
pub(super) struct CatchUnwind(pub(super) BoxFuture<Result<Option<Json>, Failure>>);

impl Future for CatchUnwind {
    type Output = Result<Option<Json>, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(Err(Failure::error(panic_message(&*panic)))),
        }
    }
}

/// What a panic says.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned())
}
