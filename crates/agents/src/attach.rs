//! An engine's memory in one agent: the `WebAssembly.Memory` there, and the views that shared jobs are given.
//!
//! A view over the same elements is the same typed array, call after call, as long as the agent has the memory. Nothing is
//! ever detached: what a job keeps of a call stays connected to the world's bytes.
//!
//! # Rules
//! - The agent's own object keeps the bytes mapped, so that no view it gave can outlive them.
//! - It keeps no world: once nobody else has the memory, it goes when the agent next meets another one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ptr;
use std::sync::{Arc, Weak};

use mozjs::context::RawJSContext;
use mozjs::jsapi::{Heap, JSObject, JSTracer};
use mozjs::jsval::UndefinedValue;
use mozjs::rooted;
use mozjs::rust::{RootedTraceableBox, Trace};
use peristyle_jobs::{JobCall, JobError, Lent};
use peristyle_layout::Scalar;
use peristyle_memory::Memory;

use crate::lend::typed_array;
use crate::memory::{EngineRegion, Linear, buffer_of, extent};

/// Views kept at most, of some 200 bytes each: a million rows of four columns in ranges of 512 rows have 8 192.
const VIEWS_MAX: usize = 1 << 16;

/// One memory in one agent.
pub(crate) struct Attached {
    linear: Weak<Linear>,
    pub(crate) roots: RootedTraceableBox<AttachedRoots>,
}

/// What an attached memory keeps of the engine.
pub(crate) struct AttachedRoots {
    /// The `WebAssembly.Memory`.
    pub(crate) memory: Heap<*mut JSObject>,
    /// Its `SharedArrayBuffer`, of the length that it had when it was last needed.
    buffer: Heap<*mut JSObject>,
    buffer_bytes: Cell<u64>,
    /// Boxed: the collector's barriers know a heap pointer by its address.
    views: RefCell<HashMap<View, Box<Heap<*mut JSObject>>, BuildHasherDefault<Mix>>>,
}

// SAFETY: every `Heap` in the struct is traced.
unsafe impl Trace for AttachedRoots {
    unsafe fn trace(&self, tracer: *mut JSTracer) {
        // SAFETY: the engine's tracer, handed on.
        unsafe {
            self.memory.trace(tracer);
            self.buffer.trace(tracer);
            for view in self.views.borrow().values() {
                view.trace(tracer);
            }
        }
    }
}

/// What a view shows: offset and number of elements, and their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct View {
    place: u64,
    scalar: Scalar,
}

impl std::hash::Hash for View {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.place ^ (self.scalar as u64) << 28);
    }
}

/// Spreads one number over all bits, as the finalizer of `splitmix64` begins; offsets are no adversary.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 29;
    }
}

/// The engine's memory that a call's columns lie in.
pub(crate) fn engine_memory<'a>(
    memory: Option<&'a Memory>,
    needs: &str,
) -> Result<(&'a Memory, &'a Arc<Linear>), JobError> {
    let known = memory.and_then(|memory| Some((memory, &memory.region::<EngineRegion>()?.0)));
    known.ok_or_else(|| {
        JobError::Memory(format!("{needs} needs a world on a memory that the engine made: see `Cluster::memory`"))
    })
}

/// The agent's view of a memory, made now if there is none.
///
/// # Safety
/// `raw` is this thread's context, alive and in the agent's realm, which has shared memory.
pub(crate) unsafe fn attach<'a>(
    raw: *mut RawJSContext,
    all: &'a mut Vec<Attached>,
    linear: &Arc<Linear>,
) -> Option<&'a Attached> {
    if let Some(at) = all.iter().position(|known| ptr::eq(known.linear.as_ptr(), Arc::as_ptr(linear))) {
        return Some(&all[at]);
    }
    all.retain(|known| known.linear.strong_count() != 0);
    let roots = RootedTraceableBox::new(AttachedRoots {
        memory: Heap::default(),
        buffer: Heap::default(),
        buffer_bytes: Cell::new(0),
        views: RefCell::default(),
    });
    rooted!(in(raw) let mut object = UndefinedValue());
    // SAFETY: as the caller answers.
    if !unsafe { linear.object(raw, &mut object) } || !object.is_object() {
        return None;
    }
    roots.memory.set(object.to_object());
    all.push(Attached { linear: Arc::downgrade(linear), roots });
    all.last()
}

impl Attached {
    /// The typed array over a column of `call`; null if the engine is out of memory, with an exception pending. It is kept
    /// by this memory. `None` if the column does not lie in the memory.
    ///
    /// # Safety
    /// `raw` is this thread's context, alive and in the agent's realm.
    pub(crate) unsafe fn view(&self, raw: *mut RawJSContext, linear: &Linear, lent: &Lent) -> Option<*mut JSObject> {
        // Columns without elements are given the memory's first byte: they show nothing of it.
        let offset = if lent.len == 0 { 0 } else { linear.offset(lent.ptr, lent.bytes())? };
        let key = View { place: u64::from(offset) << 32 | u64::from(lent.len), scalar: lent.scalar };
        let roots = &*self.roots;
        if let Some(known) = roots.views.borrow().get(&key) {
            return Some(known.get());
        }
        // SAFETY: as the caller answers; objects are rooted or traced where they lie. The buffer has the elements: it is
        // looked up again if it was taken before the memory grew that far.
        unsafe {
            if u64::from(offset) + lent.bytes() as u64 > roots.buffer_bytes.get() || roots.buffer.get().is_null() {
                rooted!(in(raw) let mut buffer = UndefinedValue());
                if !buffer_of(raw, roots.memory.handle(), &mut buffer) {
                    return Some(ptr::null_mut());
                }
                roots.buffer.set(buffer.to_object());
                roots.buffer_bytes.set(extent(buffer.to_object()).1);
            }
            let view = typed_array(raw, lent.scalar, roots.buffer.handle(), offset as usize, lent.len);
            if !view.is_null() {
                let mut views = roots.views.borrow_mut();
                if views.len() >= VIEWS_MAX {
                    views.clear();
                }
                views.insert(key, Heap::boxed(view));
            }
            Some(view)
        }
    }
}

/// The error of a call of which a column does not lie in the memory: shared jobs and kernels can reach no others.
pub(crate) fn out_of_reach(linear: &Linear, call: &JobCall<'_>) -> Option<JobError> {
    let out = |lent: &Lent| lent.len != 0 && linear.offset(lent.ptr, lent.bytes()).is_none();
    let groups = call.shape.components.iter().map(|component| (&component.name, &component.fields));
    let groups = groups.chain(call.shape.resources.iter().map(|resource| (&resource.name, &resource.fields)));
    let names = groups.flat_map(|(group, fields)| fields.iter().map(move |field| (group, &field.name)));
    let (_, (group, field)) = call.columns.iter().chain(call.resources).zip(names).find(|(lent, _)| out(lent))?;
    Some(JobError::Memory(format!("column {group}.{field} does not lie in the world's memory")))
}
