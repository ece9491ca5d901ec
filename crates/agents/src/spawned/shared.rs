//! Shared memory in Rust's hands: the memory of a `SharedArrayBuffer`, and locks on its words.
//!
//! What keeps the memory is a structured clone of its buffer, which belongs to no thread. Scripts that wait by
//! `Atomics.wait` wait in the engine, which lets only agents in: Rust waits and notifies there through a helper, an agent of
//! the cluster. [`SharedMutex`] and [`SharedCondition`] need none: scripts and Rust park in one [lot](super::lot).
//!
//! # Rules
//! - Rust reads and writes this memory by atomics only: scripts may do so at any time.
//! - The memory's address never changes, and its length never shrinks: what was in bounds once stays so.
//! - Serde carries these types to and from agents and nowhere else: they go from hand to hand beside it, by a thread-local.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::gc::RootedGuard;
use mozjs::jsapi as ja;
use mozjs::jsapi::JSObject;
use mozjs::jsval::{JSVal, ObjectValue, UndefinedValue};
use mozjs::rooted;
use serde::de::{self, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::convert::{Converted, Pending, done};
use super::lock::{self, LockError, Owner};
use super::locks::{self, Kind};
use super::lot::{self, Queue, Rest, Sleeper, Until};
use super::message::{Cloned, Content};
use super::realm::Realm;
use super::{AgentHandle, AgentOptions, CallError, Code, clone};
use crate::{AgentError, Cluster};

/// The memory of a `SharedArrayBuffer`. A handle: clones are the same memory.
///
/// It goes to agents as a value (in a message, an argument), where it is a `SharedArrayBuffer`, and comes from them as one.
/// Deserialized as bytes, it is copied.
#[derive(Clone)]
pub struct SharedBuffer(Arc<Memory>);

struct Memory {
    /// What keeps the memory.
    clone: Mutex<Cloned>,
    start: NonNull<u8>,
    /// Known to be in bounds; scripts may have grown it meanwhile.
    bytes: AtomicUsize,
}

// SAFETY: the memory is used by atomics only, and lives as long as the clone, which is under a lock.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// Why shared memory was not made or reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BufferError {
    /// There is no helper.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The engine refuses.
    #[error("the engine refuses: {0}")]
    Refused(#[from] CallError),
    /// The place is not within the memory.
    #[error("{bytes} bytes at {offset} are not within {length} bytes of shared memory")]
    OutOfBounds {
        /// The first byte.
        offset: usize,
        /// Bytes from there.
        bytes: usize,
        /// Bytes of the memory.
        length: usize,
    },
    /// The place is not a multiple of the size of what is to be there.
    #[error("{offset} is no multiple of {bytes}")]
    Misaligned {
        /// The first byte.
        offset: usize,
        /// The size.
        bytes: usize,
    },
}

macro_rules! atomics {
    ($($name:ident $atomic:ident $word:literal;)*) => { $(
        #[doc = concat!("The ", $word, " at a byte offset.")]
        ///
        /// # Errors
        /// [`BufferError::OutOfBounds`], [`BufferError::Misaligned`].
        pub fn $name(&self, offset: usize) -> Result<&$atomic, BufferError> {
            let at = self.place(offset, size_of::<$atomic>())?;
            // SAFETY: in bounds and aligned, which `place` checked, and valid as long as `self`; used by atomics only.
            Ok(unsafe { $atomic::from_ptr(at.cast().as_ptr()) })
        }
    )* };
}

impl SharedBuffer {
    /// Bytes of the memory. What a script has grown since Rust got it does not count; see [`Cluster::measure`].
    pub fn len(&self) -> usize {
        // Acquire, paired with the release in `grown`: the memory was committed before.
        self.0.bytes.load(Ordering::Acquire)
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    atomics! {
        u8 AtomicU8 "byte";
        i32 AtomicI32 "element of an `Int32Array`";
        u32 AtomicU32 "element of a `Uint32Array`";
        i64 AtomicI64 "element of a `BigInt64Array`";
        u64 AtomicU64 "element of a `BigUint64Array`";
    }

    /// The memory's bytes, each as it was at some time.
    pub fn to_vec(&self) -> Vec<u8> {
        let at = self.0.start.as_ptr();
        // SAFETY: in bounds, and valid as long as `self`; used by atomics only.
        (0..self.len()).map(|i| unsafe { AtomicU8::from_ptr(at.add(i)) }.load(Ordering::Relaxed)).collect()
    }

    fn place(&self, offset: usize, bytes: usize) -> Result<NonNull<u8>, BufferError> {
        let length = self.len();
        if offset.checked_add(bytes).is_none_or(|end| end > length) {
            return Err(BufferError::OutOfBounds { offset, bytes, length });
        }
        // The memory itself is aligned to 8 bytes.
        if !offset.is_multiple_of(bytes) {
            return Err(BufferError::Misaligned { offset, bytes });
        }
        // SAFETY: in bounds.
        Ok(unsafe { self.0.start.add(offset) })
    }

    fn grown(&self, bytes: usize) {
        self.0.bytes.fetch_max(bytes, Ordering::Release);
    }

    /// Takes a script's buffer.
    ///
    /// # Safety
    /// `cx` is this thread's context, in the realm of `realm`; the value is a `SharedArrayBuffer`.
    pub(crate) unsafe fn of(
        cx: &mut JSContext,
        realm: &Realm,
        value: &RootedGuard<'_, JSVal>,
    ) -> Converted<SharedBuffer> {
        // SAFETY: as the caller answers.
        unsafe {
            rooted!(in(cx.raw_cx()) let nothing = UndefinedValue());
            let Content::Clone(clone) = clone::write(cx, realm, value, &nothing, None)?.content else {
                return Err(Pending);
            };
            let (mut bytes, mut shared, mut data) = (0, false, ptr::null_mut::<u8>());
            ja::GetSharedArrayBufferLengthAndData(value.to_object(), &mut bytes, &mut shared, &mut data);
            // An empty memory may have no address.
            let start = NonNull::new(data).unwrap_or(NonNull::<u64>::dangling().cast());
            let bytes = AtomicUsize::new(if data.is_null() { 0 } else { bytes });
            Ok(SharedBuffer(Arc::new(Memory { clone: Mutex::new(clone), start, bytes })))
        }
    }

    /// Makes a script's buffer of it.
    ///
    /// # Safety
    /// `raw` is this thread's context, in a realm of ours.
    pub(crate) unsafe fn to_js(&self, raw: *mut RawJSContext, out: &mut RootedGuard<'_, JSVal>) -> Converted<()> {
        // SAFETY: as the caller answers; values are rooted.
        unsafe {
            let Some(realm) = Realm::here() else { return Err(Pending) };
            rooted!(in(raw) let mut ports = UndefinedValue());
            let mut cx = JSContext::from_ptr(NonNull::new_unchecked(raw));
            let clone = self.0.clone.lock().unwrap_or_else(PoisonError::into_inner);
            clone::read_kept(&mut cx, realm, &clone, out, &mut ports)
        }
    }
}

impl PartialEq for SharedBuffer {
    /// Whether it is the same memory.
    fn eq(&self, other: &SharedBuffer) -> bool {
        self.0.start == other.0.start
    }
}

impl fmt::Debug for SharedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuffer").field("bytes", &self.len()).finish()
    }
}

/// A word of shared memory.
#[derive(Clone, PartialEq)]
struct Word {
    buffer: SharedBuffer,
    offset: usize,
}

impl Word {
    fn at(buffer: &SharedBuffer, offset: usize) -> Result<Word, BufferError> {
        buffer.u32(offset)?;
        Ok(Word { buffer: buffer.clone(), offset })
    }

    fn get(&self) -> &AtomicU32 {
        // SAFETY: `at` checked it, and memory never shrinks.
        unsafe { AtomicU32::from_ptr(self.buffer.0.start.add(self.offset).cast().as_ptr()) }
    }
}

/// An `Atomics.Mutex`, in Rust's hands: a lock that agents and threads of Rust share. A handle: clones are the same lock.
///
/// It protects what its users agree on. A lock whose owner ends without unlocking it is [abandoned](LockError::Abandoned) for
/// good. On an agent's thread (in a callback) it is the agent that has it, and waits for it.
#[derive(Clone, PartialEq)]
pub struct SharedMutex(Word);

/// An `Atomics.Condition`, in Rust's hands. A handle: clones are the same condition.
#[derive(Clone, PartialEq)]
pub struct SharedCondition(Word);

/// A lock that this thread has, until it is dropped.
#[derive(Debug)]
pub struct SharedGuard<'a> {
    mutex: &'a SharedMutex,
    /// Its owner is this thread.
    _here: PhantomData<*const ()>,
}

/// Whoever runs here, as an owner of locks.
fn me() -> u32 {
    thread_local!(static OWNER: Owner = Owner::new(0));
    // SAFETY: the realm is not used further.
    match unsafe { Realm::here() } {
        Some(realm) => realm.owner(),
        None => OWNER.with(Owner::word),
    }
}

impl SharedMutex {
    /// A lock on a word of shared memory that nothing else uses: 4 bytes at a multiple of 4, zero at first.
    ///
    /// # Errors
    /// [`BufferError::OutOfBounds`], [`BufferError::Misaligned`].
    pub fn at(buffer: &SharedBuffer, offset: usize) -> Result<SharedMutex, BufferError> {
        Word::at(buffer, offset).map(SharedMutex)
    }

    /// Waits for the lock and takes it.
    ///
    /// # Errors
    /// [`LockError`], but not `TimedOut`.
    pub fn lock(&self) -> Result<SharedGuard<'_>, LockError> {
        self.lock_until(&Sleeper::here(), Until::Ever)
    }

    /// As [`SharedMutex::lock`], but waits no longer than this.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn lock_timeout(&self, limit: Duration) -> Result<SharedGuard<'_>, LockError> {
        let sleeper = Sleeper::here();
        self.lock_until(&sleeper, sleeper.after(limit))
    }

    fn lock_until(&self, sleeper: &Sleeper, until: Until) -> Result<SharedGuard<'_>, LockError> {
        lock::lock(self.0.get(), me(), sleeper, until)?;
        Ok(SharedGuard { mutex: self, _here: PhantomData })
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// [`LockError::Recursive`], [`LockError::Abandoned`].
    pub fn try_lock(&self) -> Result<Option<SharedGuard<'_>>, LockError> {
        let locked = lock::try_lock(self.0.get(), me())?;
        Ok(locked.then_some(SharedGuard { mutex: self, _here: PhantomData }))
    }
}

impl Drop for SharedGuard<'_> {
    fn drop(&mut self) {
        lock::unlock(self.mutex.0.get());
    }
}

impl SharedCondition {
    /// A condition on a word of shared memory that nothing else uses: 4 bytes at a multiple of 4.
    ///
    /// # Errors
    /// [`BufferError::OutOfBounds`], [`BufferError::Misaligned`].
    pub fn at(buffer: &SharedBuffer, offset: usize) -> Result<SharedCondition, BufferError> {
        Word::at(buffer, offset).map(SharedCondition)
    }

    /// Gives the lock back, waits until it is notified, and takes the lock again.
    ///
    /// # Errors
    /// [`LockError`], but not `TimedOut`; the lock is then not had.
    pub fn wait<'a>(&self, guard: SharedGuard<'a>) -> Result<SharedGuard<'a>, LockError> {
        self.wait_until(guard, &Sleeper::here(), Until::Ever).map(|(guard, _)| guard)
    }

    /// As [`SharedCondition::wait`], but waits no longer than this to be notified; whether it was.
    ///
    /// # Errors
    /// As [`SharedCondition::wait`].
    pub fn wait_timeout<'a>(
        &self,
        guard: SharedGuard<'a>,
        limit: Duration,
    ) -> Result<(SharedGuard<'a>, bool), LockError> {
        let sleeper = Sleeper::here();
        let until = sleeper.after(limit);
        self.wait_until(guard, &sleeper, until)
    }

    fn wait_until<'a>(
        &self,
        guard: SharedGuard<'a>,
        sleeper: &Sleeper,
        until: Until,
    ) -> Result<(SharedGuard<'a>, bool), LockError> {
        let mutex = guard.mutex;
        // From here on the lock is given back by the wait.
        std::mem::forget(guard);
        let notified = lock::wait(self.0.get(), mutex.0.get(), me(), sleeper, until)?;
        Ok((SharedGuard { mutex, _here: PhantomData }, notified))
    }

    /// Wakes up to `count` of those that wait, first come first; how many.
    pub fn notify(&self, count: usize) -> usize {
        lock::notify(self.0.get(), count)
    }

    /// Wakes all that wait; how many.
    pub fn notify_all(&self) -> usize {
        self.notify(usize::MAX)
    }
}

impl fmt::Debug for SharedMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMutex").field("offset", &self.0.offset).finish_non_exhaustive()
    }
}

impl fmt::Debug for SharedCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCondition").field("offset", &self.0.offset).finish_non_exhaustive()
    }
}

// ---- crossing ----

/// What crosses as itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Handed {
    Buffer(SharedBuffer),
    Mutex(SharedMutex),
    Condition(SharedCondition),
}

impl Handed {
    /// Takes what a script has.
    ///
    /// # Safety
    /// `cx` is this thread's context, in the realm of `realm`; the object is of `kind`.
    pub(crate) unsafe fn of(
        cx: &mut JSContext,
        realm: &Realm,
        kind: Kind,
        object: &RootedGuard<'_, *mut JSObject>,
    ) -> Converted<Option<Handed>> {
        if kind == Kind::Local {
            return Ok(None);
        }
        // SAFETY: as the caller answers; values are rooted.
        unsafe {
            let raw = cx.raw_cx();
            rooted!(in(raw) let view = locks::payload_of(object.get()).to_object());
            let offset = ja::JS_GetArrayBufferViewByteOffset(view.get());
            let mut shared = false;
            rooted!(in(raw) let buffer = ja::JS_GetArrayBufferViewBuffer(raw, view.handle().into(), &mut shared));
            done(!buffer.is_null())?;
            rooted!(in(raw) let buffer = ObjectValue(buffer.get()));
            let Ok(word) = Word::at(&SharedBuffer::of(cx, realm, &buffer)?, offset) else { return Err(Pending) };
            Ok(Some(if kind == Kind::Mutex {
                Handed::Mutex(SharedMutex(word))
            } else {
                Handed::Condition(SharedCondition(word))
            }))
        }
    }

    /// Makes a script's object of it.
    ///
    /// # Safety
    /// As for [`SharedBuffer::to_js`].
    pub(crate) unsafe fn to_js(&self, raw: *mut RawJSContext, out: &mut RootedGuard<'_, JSVal>) -> Converted<()> {
        let (kind, word) = match self {
            // SAFETY: as the caller answers.
            Handed::Buffer(buffer) => return unsafe { buffer.to_js(raw, out) },
            Handed::Mutex(SharedMutex(word)) => (Kind::Mutex, word),
            Handed::Condition(SharedCondition(word)) => (Kind::Condition, word),
        };
        // SAFETY: as the caller answers; values are rooted.
        unsafe {
            let Some(realm) = Realm::here() else { return Err(Pending) };
            word.buffer.to_js(raw, out)?;
            rooted!(in(raw) let buffer = out.to_object());
            rooted!(in(raw) let mut view = UndefinedValue());
            locks::view(raw, buffer.handle().into(), word.offset, &mut view)?;
            rooted!(in(raw) let mut object = ptr::null_mut::<JSObject>());
            locks::make(raw, realm, kind, &view, &mut object)?;
            out.set(ObjectValue(object.get()));
        }
        Ok(())
    }
}

/// Names what crosses as itself, where serde asks for the name of a type.
pub(crate) const NAME: &str = "$peristyle::shared";

thread_local!(static HANDED: RefCell<Option<Handed>> = const { RefCell::new(None) });

/// Puts something where the other side takes it.
pub(crate) fn hand(handed: Handed) {
    HANDED.set(Some(handed));
}

/// Takes what was handed.
pub(crate) fn take() -> Option<Handed> {
    HANDED.take()
}

/// What serializers see that are not ours.
struct Nowhere;

impl Serialize for Nowhere {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("shared memory crosses to agents, and nowhere else"))
    }
}

struct Taken(&'static str);

impl<'de> Visitor<'de> for Taken {
    type Value = Handed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Handed, E> {
        take().ok_or_else(|| E::invalid_type(de::Unexpected::Unit, &self))
    }
}

macro_rules! crosses {
    ($($type:ident $variant:ident $what:literal;)*) => { $(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                hand(Handed::$variant(self.clone()));
                let result = serializer.serialize_newtype_struct(NAME, &Nowhere);
                drop(take());
                result
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                match deserializer.deserialize_newtype_struct(NAME, Taken($what))? {
                    Handed::$variant(it) => Ok(it),
                    other => Err(de::Error::custom(format_args!("{other:?} is not {}", $what))),
                }
            }
        }
    )* };
}
crosses! {
    SharedBuffer Buffer "a SharedArrayBuffer";
    SharedMutex Mutex "an Atomics.Mutex";
    SharedCondition Condition "an Atomics.Condition";
}

// ---- the helper ----

/// The agent through which Rust reaches what only agents can; started when it is first needed.
#[derive(Default)]
pub(crate) struct Helper(Mutex<Option<Arc<AgentHandle>>>);

const HELPER: &str = "
export const make = (bytes, max) => new SharedArrayBuffer(bytes, max === null ? undefined : { maxByteLength: max });
export const grow = (buffer, bytes) => (buffer.grow(bytes), buffer.byteLength);
export const measure = (buffer) => buffer.byteLength;
const cell = (buffer, offset, wide) => wide ? new BigInt64Array(buffer, offset, 1) : new Int32Array(buffer, offset, 1);
export const wait = (buffer, offset, wide, expected, timeout) =>
  Atomics.waitAsync(cell(buffer, offset, wide), 0, wide ? BigInt(expected) : expected, timeout ?? Infinity).value;
export const notify = (buffer, offset, wide, count) => Atomics.notify(cell(buffer, offset, wide), 0, count ?? Infinity);
";

/// What a word of shared memory is to hold for a wait to begin: an element of an `Int32Array` or of a `BigInt64Array`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Of an `Int32Array`.
    I32(i32),
    /// Of a `BigInt64Array`.
    I64(i64),
}

impl From<i32> for Expected {
    fn from(value: i32) -> Expected {
        Expected::I32(value)
    }
}

impl From<i64> for Expected {
    fn from(value: i64) -> Expected {
        Expected::I64(value)
    }
}

/// How a wait on a word ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Waited {
    /// It was notified.
    #[serde(rename = "ok")]
    Notified,
    /// The word held another value.
    #[serde(rename = "not-equal")]
    NotEqual,
    /// Nobody notified it in time.
    #[serde(rename = "timed-out")]
    TimedOut,
}

impl Cluster {
    fn helper(&self) -> Result<Arc<AgentHandle>, AgentError> {
        let mut helper = self.0.helper.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(helper) = helper.as_ref().filter(|helper| !helper.has_ended()) {
            return Ok(helper.clone());
        }
        let options = AgentOptions { name: "peristyle-helper".into(), ..AgentOptions::default() };
        // It takes no turns: Rust asks it between them.
        let started = Arc::new(self.spawn_in(Code::source("helper.js", HELPER), options, None)?);
        *helper = Some(started.clone());
        Ok(started)
    }

    /// Makes shared memory of `bytes` zeros.
    ///
    /// # Errors
    /// [`BufferError::Refused`] if it is too much; [`BufferError::Agent`].
    pub fn shared_buffer(&self, bytes: usize) -> Result<SharedBuffer, BufferError> {
        Ok(self.helper()?.call("make", &(bytes, ())).wait()?)
    }

    /// Makes shared memory of `bytes` zeros that can grow up to `max_bytes`, in place.
    ///
    /// # Errors
    /// As [`Cluster::shared_buffer`].
    pub fn growable_shared_buffer(&self, bytes: usize, max_bytes: usize) -> Result<SharedBuffer, BufferError> {
        Ok(self.helper()?.call("make", &(bytes, max_bytes)).wait()?)
    }

    /// Grows shared memory; does nothing if it is that long already.
    ///
    /// # Errors
    /// [`BufferError::Refused`] if it cannot grow that far, or is longer; [`BufferError::Agent`].
    pub fn grow(&self, buffer: &SharedBuffer, bytes: usize) -> Result<(), BufferError> {
        buffer.grown(self.helper()?.call("grow", &(buffer, bytes)).wait()?);
        Ok(())
    }

    /// The length in bytes to which scripts have grown shared memory by now; from then on [`SharedBuffer::len`] is that.
    ///
    /// # Errors
    /// [`BufferError::Refused`], [`BufferError::Agent`].
    pub fn measure(&self, buffer: &SharedBuffer) -> Result<usize, BufferError> {
        buffer.grown(self.helper()?.call("measure", &(buffer,)).wait()?);
        Ok(buffer.len())
    }

    /// A new lock, on shared memory of its own.
    ///
    /// # Errors
    /// As [`Cluster::shared_buffer`].
    pub fn shared_mutex(&self) -> Result<SharedMutex, BufferError> {
        SharedMutex::at(&self.shared_buffer(size_of::<u32>())?, 0)
    }

    /// A new condition, on shared memory of its own.
    ///
    /// # Errors
    /// As [`Cluster::shared_buffer`].
    pub fn shared_condition(&self) -> Result<SharedCondition, BufferError> {
        SharedCondition::at(&self.shared_buffer(size_of::<u32>())?, 0)
    }

    /// As `Atomics.wait` does: waits until somebody notifies the word at a byte offset, if it holds what is expected.
    /// Scripts notify it by `Atomics.notify`, other threads by [`Cluster::notify`].
    ///
    /// The word is looked at and waited on by an agent of the cluster: some 50 us more than a lock's wait.
    ///
    /// # Errors
    /// [`BufferError`].
    pub fn wait(
        &self,
        buffer: &SharedBuffer,
        offset: usize,
        expected: impl Into<Expected>,
        limit: Option<Duration>,
    ) -> Result<Waited, BufferError> {
        let (wide, expected) = match expected.into() {
            Expected::I32(expected) => (buffer.i32(offset).map(|_| false)?, expected.into()),
            Expected::I64(expected) => (buffer.i64(offset).map(|_| true)?, expected),
        };
        if let Some(turns) = &self.0.shared.turns {
            // Scripts wait in the lot there. What wakes this is to run first.
            let is_expected = || match wide {
                true => buffer.i64(offset).is_ok_and(|word| word.load(Ordering::SeqCst) == expected),
                false => buffer.i32(offset).is_ok_and(|word| i64::from(word.load(Ordering::SeqCst)) == expected),
            };
            let until = limit.map_or(Until::Ever, |limit| Sleeper::Thread.after(limit));
            let address = buffer.place(offset, size_of::<u32>())?.as_ptr().addr();
            // Whether agents can go on is not asked for here: other threads of Rust's may notify, too.
            let run = || drop(turns.run(None));
            return Ok(match lot::park(Queue::of(address), &Sleeper::Thread, until, is_expected, run) {
                Rest::Invalid => Waited::NotEqual,
                Rest::TimedOut => Waited::TimedOut,
                Rest::Woken | Rest::Stopped => Waited::Notified,
            });
        }
        let limit_ms = limit.map(|limit| limit.as_secs_f64() * 1e3);
        Ok(self.helper()?.call("wait", &(buffer, offset, wide, expected, limit_ms)).wait()?)
    }

    /// As `Atomics.notify` does: wakes up to `count` waits on the word at a byte offset, all unless told; how many. Those of
    /// `Atomics.wait`, of `Atomics.waitAsync` and of [`Cluster::wait`] are in one queue.
    ///
    /// # Errors
    /// [`BufferError`].
    pub fn notify(&self, buffer: &SharedBuffer, offset: usize, count: Option<u32>) -> Result<u32, BufferError> {
        let word = buffer.u32(offset)?;
        if self.0.shared.turns.is_some() {
            let count = count.map_or(usize::MAX, |count| count as usize);
            return Ok(lot::unpark(word.as_ptr().addr(), count) as u32);
        }
        Ok(self.helper()?.call("notify", &(buffer, offset, false, count)).wait()?)
    }
}
