//! WebAssembly jobs: kernels on the world's own memory.
//!
//! An agent compiles a kernel once, and links an instance of it for each shape that it is called with: to the world's
//! memory, to a stack of its own there, and to a block for static data if it has any. A call writes the
//! [descriptor](peristyle_layout::descriptor) into the instance's block and calls `handle` with its offset.
//!
//! # Rules
//! - What a call of an instance needs in the memory is allocated before, but for room for a longer `extra`.
//! - After a call that did not return, the stack pointer is set back before the next one.

mod module;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Weak};

use mozjs::context::JSContext;
use mozjs::jsapi as ja;
use mozjs::jsapi::{Heap, JSObject, JSTracer};
use mozjs::jsval::{DoubleValue, Int32Value, JSVal, ObjectValue, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::{CustomAutoRooter, RootedTraceableBox, Trace};
use peristyle_jobs::{Access, Extra, JobCall, JobError, JobRunner, JobShape, Lane, Lent};
use peristyle_layout::Scalar;
use peristyle_layout::chunk::CHUNK_ROWS;
use peristyle_layout::descriptor::{ACCESS_READ, ACCESS_WRITE, Column, Descriptor, Group, VERSION, bits_bytes};
use peristyle_memory::{Block, Memory, OutOfMemory};

pub use self::module::KernelError;

use self::module::Needs;
use crate::agent::{Agent, Failure, RealmKind, Roots, take_failure};
use crate::attach::{Attached, attach, engine_memory, out_of_reach};
use crate::cluster::Handle;
use crate::job::with_agent;
use crate::lend::Loan;
use crate::memory::{Linear, PAGE_BYTES, STACK_BYTES, STACKS, Stack};
use crate::{AgentError, source};

/// The largest module in bytes: the compiler does not poll for interrupts.
const MODULE_BYTES_MAX: u64 = 64 << 20;
/// What is wrong with a call whose columns are all in the memory, and something else is not.
const STRAY: &str = "entity indices or bits of rows do not lie in the world's memory";
/// Bytes of the bits of a chunk.
const BITS_BYTES: usize = bits_bytes(CHUNK_ROWS as u32) as usize;

/// A job in WebAssembly, run by the agents of its cluster on worlds whose memory the engine made.
///
/// Made by [`Cluster::kernel`](crate::Cluster::kernel). A handle; clones are the same job.
#[derive(Clone)]
pub struct WasmJob(Arc<Inner>);

pub(crate) struct Inner {
    name: String,
    path: PathBuf,
    bytes: Box<[u8]>,
    needs: Needs,
    cluster: Arc<Handle>,
}

impl WasmJob {
    pub(crate) fn from_file(cluster: Arc<Handle>, path: &Path) -> Result<WasmJob, AgentError> {
        let path = source::locate(path)?;
        let unreadable = |reason: String| AgentError::Unreadable { path: path.clone(), reason };
        let bytes = fs::metadata(&path).map_err(|error| unreadable(error.to_string()))?.len();
        if bytes > MODULE_BYTES_MAX {
            return Err(unreadable(format!("{bytes} bytes, the limit is {MODULE_BYTES_MAX}")));
        }
        let bytes = fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
        WasmJob::new(cluster, path, bytes.into())
    }

    pub(crate) fn new(cluster: Arc<Handle>, path: PathBuf, bytes: Box<[u8]>) -> Result<WasmJob, AgentError> {
        let needs = module::check(&bytes).map_err(|error| AgentError::Kernel { path: path.clone(), error })?;
        let inner = Arc::new(Inner { name: source::file_name(&path), path, bytes, needs, cluster });
        Agent::new(&inner.cluster.shared, RealmKind::Shared, false)?.compile(&inner)?;
        Ok(WasmJob(inner))
    }

    /// The module's file, or the name that it was given.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The memory, if it is one that the kernel can work on.
    fn memory<'a>(&self, memory: Option<&'a Memory>) -> Result<(&'a Memory, &'a Arc<Linear>), JobError> {
        let (memory, linear) = engine_memory(memory, "a WebAssembly kernel")?;
        let fit = self.0.needs.fit(linear.committed() / PAGE_BYTES, linear.max_pages());
        fit.map_err(|error| JobError::Memory(error.to_string()))?;
        Ok((memory, linear))
    }
}

impl fmt::Debug for WasmJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WasmJob").field(&self.0.path).finish()
    }
}

impl JobRunner for WasmJob {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn prepare(&self, lane: &mut Lane) -> Result<(), JobError> {
        with_agent(lane, &self.0.cluster, RealmKind::Shared, |agent| Ok(agent.compile(&self.0)?))
    }

    fn check(&self, memory: &Memory) -> Result<(), JobError> {
        self.memory(Some(memory)).map(drop)
    }

    fn run(&self, lane: &mut Lane, call: &JobCall<'_>) -> Result<(), JobError> {
        let (memory, linear) = self.memory(call.memory)?;
        with_agent(lane, &self.0.cluster, RealmKind::Shared, |agent| agent.run_kernel(&self.0, memory, linear, call))
    }
}

/// A kernel compiled in one agent.
pub(crate) struct Compiled {
    /// Weak: it only names the kernel, and its address stays taken.
    kernel: Weak<Inner>,
    module: RootedTraceableBox<Heap<JSVal>>,
}

/// A kernel in one agent, for one shape, on one memory.
pub(crate) struct Instance {
    kernel: Weak<Inner>,
    shape: JobShape,
    memory: Memory,
    roots: RootedTraceableBox<InstanceRoots>,
    stack: Stack,
    /// Set while a call runs, and left so by one that did not return.
    unsettled: bool,
    /// The descriptor, groups, columns, and bits of components that are only read.
    block: Block,
    /// Offset of the block in WebAssembly's addresses.
    at: u32,
    /// Static data: only kept.
    _data: Option<Block>,
    extra: Option<GivenExtra>,
}

/// The value of `extra` that lies in the memory.
struct GivenExtra {
    block: Block,
    version: u64,
    text: String,
    /// Where the text lay when it was last given: only compared.
    from: *const str,
    /// Counts the texts that this instance was given.
    number: u32,
}

/// What an instance keeps of the engine.
struct InstanceRoots {
    handle: Heap<JSVal>,
    /// The `WebAssembly.Global`.
    stack_pointer: Heap<*mut JSObject>,
}

// SAFETY: both are traced.
unsafe impl Trace for InstanceRoots {
    unsafe fn trace(&self, tracer: *mut JSTracer) {
        // SAFETY: the engine's tracer, handed on.
        unsafe {
            self.handle.trace(tracer);
            self.stack_pointer.trace(tracer);
        }
    }
}

impl Agent {
    /// Compiles a kernel for this agent, if it is not yet.
    fn compile(&mut self, kernel: &Arc<Inner>) -> Result<(), AgentError> {
        let Agent { compiled, roots, host, .. } = self;
        // SAFETY: no other context wrapper of this thread is in use here; the agent is entered, in its realm.
        unsafe {
            let mut cx = host.context();
            let raw = cx.raw_cx();
            let _entered = roots.enter(raw);
            let _realm = ja::JSAutoRealm::new(raw, roots.global.get());
            compile(&mut cx, roots, compiled, kernel).map(drop)
        }
    }

    /// Runs one call.
    fn run_kernel(
        &mut self,
        kernel: &Arc<Inner>,
        memory: &Memory,
        linear: &Arc<Linear>,
        call: &JobCall<'_>,
    ) -> Result<(), JobError> {
        self.is_here()?;
        let Agent { compiled, instances, attached, roots, host, .. } = self;
        let roots: &Roots = roots;
        // SAFETY: no other context wrapper of this thread is in use here; the context lives as long as the host.
        let mut cx = unsafe { host.context() };
        // SAFETY: handed to guards that are dropped here, before the host.
        let raw = unsafe { cx.raw_cx() };
        // SAFETY: this is the agent's thread, and its roots are boxed.
        let _entered = unsafe { roots.enter(raw) };
        let _realm = ja::JSAutoRealm::new(raw, roots.global.get());
        // Shapes are compared, not their addresses: an address may be another shape's by now.
        let known = instances.iter().position(|known| {
            known.kernel.as_ptr() == Arc::as_ptr(kernel) && known.memory.is(memory) && known.shape == *call.shape
        });
        let instance = match known {
            Some(at) => &mut instances[at],
            None => {
                instances.retain(|known| known.kernel.strong_count() != 0);
                compiled.retain(|known| known.kernel.strong_count() != 0);
                // SAFETY: the agent is entered and the context in its realm, which is a shared one.
                let instance = unsafe {
                    let module = compile(&mut cx, roots, compiled, kernel)?;
                    let Some(attached) = attach(raw, attached, linear) else {
                        return Err(take_failure(&mut cx, roots).into());
                    };
                    link(&mut cx, roots, kernel, module, attached, memory, linear, call.shape)?
                };
                instances.push(instance);
                instances.last_mut().expect("just pushed")
            }
        };
        instance.give_extra(linear, call.extra)?;
        instance.describe(linear, call)?;
        instance.call(&mut cx, roots)
    }
}

/// The compiled module of a kernel.
///
/// # Safety
/// The agent is entered and the context in its realm, which is a shared one.
unsafe fn compile<'a>(
    cx: &mut JSContext,
    roots: &Roots,
    compiled: &'a mut Vec<Compiled>,
    kernel: &Arc<Inner>,
) -> Result<&'a Heap<JSVal>, AgentError> {
    if let Some(at) = compiled.iter().position(|known| known.kernel.as_ptr() == Arc::as_ptr(kernel)) {
        return Ok(&compiled[at].module);
    }
    // SAFETY: as the caller answers; values are rooted. The engine copies the bytes, which live as long as the kernel.
    unsafe {
        let raw = cx.raw_cx();
        let mut buffers = CustomAutoRooter::new(Vec::new());
        let mut buffers = buffers.root(raw);
        let mut loan = Loan::new(raw, &mut buffers);
        let bytes = NonNull::from(&*kernel.bytes).cast::<u8>();
        let bytes = loan.view(&Lent { ptr: bytes, len: kernel.bytes.len() as u32, scalar: Scalar::U8 });
        if bytes.is_null() {
            return Err(take_failure(cx, roots).into());
        }
        rooted!(in(raw) let bytes = ObjectValue(bytes));
        let arguments = ja::HandleValueArray { length_: 1, elements_: &*bytes };
        rooted!(in(raw) let mut module = UndefinedValue());
        let (this, function) = (ja::UndefinedHandleValue, roots.compile.handle());
        if !ja::Call(raw, this, function, &arguments, module.handle_mut().into()) {
            return Err(rejected(cx, roots, kernel));
        }
        let heap = RootedTraceableBox::new(Heap::default());
        heap.set(module.get());
        compiled.push(Compiled { kernel: Arc::downgrade(kernel), module: heap });
    }
    Ok(&compiled.last().expect("just pushed").module)
}

/// Why the engine would not have a kernel.
fn rejected(cx: &mut JSContext, roots: &Roots, kernel: &Inner) -> AgentError {
    match take_failure(cx, roots) {
        Failure::Threw(thrown) => {
            let error = KernelError::Rejected { message: thrown.message };
            AgentError::Kernel { path: kernel.path.clone(), error }
        }
        stopped => stopped.into(),
    }
}

/// Instantiates a kernel.
///
/// # Safety
/// The agent is entered and the context in its realm, which is a shared one.
#[expect(clippy::too_many_arguments, reason = "an instance is where all of these meet")]
unsafe fn link(
    cx: &mut JSContext,
    roots: &Roots,
    kernel: &Arc<Inner>,
    module: &Heap<JSVal>,
    attached: &Attached,
    memory: &Memory,
    linear: &Arc<Linear>,
    shape: &JobShape,
) -> Result<Instance, JobError> {
    let load = |why: String| JobError::Load(why);
    let full = |error: OutOfMemory| JobError::Load(error.to_string());
    let stack = linear.stack().ok_or(JobError::NoStack { stacks: STACKS })?;
    let block = memory.allocate(Layout::of(shape).bytes).map_err(full)?;
    let Needs { data_bytes, data_align, elements, .. } = kernel.needs;
    debug_assert!(data_align as usize <= peristyle_layout::chunk::ALIGN, "blocks are aligned enough");
    let data = match data_bytes {
        0 => None,
        bytes => Some(memory.allocate(bytes as usize).map_err(full)?),
    };
    let offset = |block: &Block| {
        // Static data that is not initialised is zero.
        // SAFETY: the block is ours, and no kernel knows of it yet.
        unsafe { block.ptr().write_bytes(0, block.bytes() as usize) };
        linear.offset(block.ptr(), block.bytes() as usize).ok_or_else(|| load("a block lies beyond 4 GiB".into()))
    };
    let (at, data_at) = (offset(&block)?, data.as_ref().map_or(Ok(0), offset)?);
    // SAFETY: as the caller answers; values are rooted.
    unsafe {
        let raw = cx.raw_cx();
        let mut rooter = CustomAutoRooter::new(vec![
            module.get(),
            ObjectValue(attached.roots.memory.get()),
            DoubleValue(f64::from(stack.top())),
            DoubleValue(f64::from(data_at)),
            DoubleValue(f64::from(elements)),
        ]);
        let arguments = rooter.root(raw);
        let arguments = ja::HandleValueArray { length_: arguments.len(), elements_: arguments.as_ptr() };
        rooted!(in(raw) let mut linked = UndefinedValue());
        let (this, function) = (ja::UndefinedHandleValue, roots.link.handle());
        if !ja::Call(raw, this, function, &arguments, linked.handle_mut().into()) {
            return Err(rejected(cx, roots, kernel).into());
        }
        rooted!(in(raw) let linked = linked.to_object());
        rooted!(in(raw) let mut part = UndefinedValue());
        let instance =
            RootedTraceableBox::new(InstanceRoots { handle: Heap::default(), stack_pointer: Heap::default() });
        if !ja::JS_GetElement(raw, linked.handle().into(), 0, part.handle_mut().into()) {
            return Err(take_failure(cx, roots).into());
        }
        instance.handle.set(part.get());
        if !ja::JS_GetElement(raw, linked.handle().into(), 1, part.handle_mut().into()) {
            return Err(take_failure(cx, roots).into());
        }
        instance.stack_pointer.set(part.to_object());
        Ok(Instance {
            kernel: Arc::downgrade(kernel),
            shape: shape.clone(),
            memory: memory.clone(),
            roots: instance,
            stack,
            unsettled: false,
            block,
            at,
            _data: data,
            extra: None,
        })
    }
}

/// Where in an instance's block what lies, in bytes.
struct Layout {
    groups: usize,
    columns: usize,
    bits: usize,
    bytes: usize,
}

impl Layout {
    fn of(shape: &JobShape) -> Layout {
        let fields = shape.components.iter().map(|component| component.fields.len());
        let fields: usize = fields.chain(shape.resources.iter().map(|resource| resource.fields.len())).sum();
        let read = shape.components.iter().filter(|component| component.access == Access::Read).count();
        let groups = size_of::<Descriptor>();
        let columns = groups + (shape.components.len() + shape.resources.len()) * size_of::<Group>();
        let bits = (columns + fields * size_of::<Column>()).next_multiple_of(64);
        Layout { groups, columns, bits, bytes: bits + read * BITS_BYTES }
    }
}

impl Instance {
    /// Copies `extra` into the memory if it is not the text that lies there.
    fn give_extra(&mut self, linear: &Linear, extra: Option<Extra<'_>>) -> Result<(), JobError> {
        let Some(extra) = extra else {
            self.extra = None;
            return Ok(());
        };
        let number = self.extra.as_ref().map_or(0, |known| known.number);
        if let Some(known) = &mut self.extra
            && known.version == extra.version
            && (ptr::eq(known.from, extra.json) || known.text == extra.json)
        {
            known.from = extra.json;
            return Ok(());
        }
        let known =
            self.extra.take().map(|known| known.block).filter(|block| block.bytes() as usize >= extra.json.len());
        let block = match known {
            Some(block) => block,
            None => {
                let block = self.memory.allocate(extra.json.len());
                block.map_err(|error| JobError::Load(format!("extra: {error}")))?
            }
        };
        if linear.offset(block.ptr(), block.bytes() as usize).is_none() {
            return Err(JobError::Load("extra: its block lies beyond 4 GiB".into()));
        }
        // SAFETY: the block is ours and has the bytes; no kernel runs on it now.
        unsafe { ptr::copy_nonoverlapping(extra.json.as_ptr(), block.ptr().as_ptr(), extra.json.len()) };
        let (version, text, from) = (extra.version, extra.json.into(), ptr::from_ref(extra.json));
        self.extra = Some(GivenExtra { block, version, text, from, number: number.wrapping_add(1) });
        Ok(())
    }

    /// Writes the descriptor of a call.
    fn describe(&self, linear: &Linear, call: &JobCall<'_>) -> Result<(), JobError> {
        let Instance { shape, block, at, .. } = self;
        let layout = Layout::of(shape);
        let outside = || out_of_reach(linear, call).unwrap_or_else(|| JobError::Memory(STRAY.into()));
        let place = |lent: &Lent| match lent.len {
            // Nothing of it may be touched, and 0 would say that there is none.
            0 => Ok(*at),
            _ => linear.offset(lent.ptr, lent.bytes()).ok_or_else(outside),
        };
        let bits_place = |lent: &Option<Lent>| lent.as_ref().map_or(Ok(0), place);
        let (mut groups, mut columns, mut read_bits) = (layout.groups, layout.columns, layout.bits);
        let mut component_columns = call.columns.iter();
        let mut resource_columns = call.resources.iter();
        let mut put_group = |id, access, changed, count: usize, lents: &mut dyn Iterator<Item = &Lent>| {
            let group = Group {
                id,
                access: if access == Access::Write { ACCESS_WRITE } else { ACCESS_READ },
                changed,
                columns: at + columns as u32,
                column_count: count as u32,
                reserved: 0,
            };
            // SAFETY: the layout gives each group of the shape its place in the block, aligned as its offset is.
            unsafe { block.ptr().add(groups).cast().write(group) };
            groups += size_of::<Group>();
            for lent in lents.take(count) {
                let column = Column { offset: place(lent)?, len: lent.len, scalar: lent.scalar as u32, reserved: 0 };
                // SAFETY: as above, for each column.
                unsafe { block.ptr().add(columns).cast().write(column) };
                columns += size_of::<Column>();
            }
            Ok::<(), JobError>(())
        };
        for (component, bits) in shape.components.iter().zip(call.changed) {
            let changed = match bits {
                // What a filter found may lie anywhere: it is small, and copied.
                Some(bits) if component.access == Access::Read => {
                    debug_assert!(bits.bytes() <= BITS_BYTES);
                    // SAFETY: the layout has room for the bits of each read component, and `bits` is readable as
                    // `JobCall::lease` was promised.
                    unsafe {
                        let to = block.ptr().as_ptr().add(read_bits);
                        ptr::copy_nonoverlapping(bits.ptr.as_ptr(), to, bits.bytes().min(BITS_BYTES));
                    }
                    at + read_bits as u32
                }
                bits => bits_place(bits)?,
            };
            if component.access == Access::Read {
                read_bits += BITS_BYTES;
            }
            put_group(component.id, component.access, changed, component.fields.len(), &mut component_columns)?;
        }
        for (id, resource) in shape.resources.iter().enumerate() {
            put_group(id as u32, resource.access, 0, resource.fields.len(), &mut resource_columns)?;
        }
        let extra = self.extra.as_ref();
        let extra_at = |extra: &GivenExtra| linear.offset(extra.block.ptr(), extra.text.len()).unwrap_or(0);
        let descriptor = Descriptor {
            version: VERSION,
            rows: call.rows,
            dt: call.dt,
            time: call.time,
            eids: place(&call.eids)?,
            despawn: bits_place(&call.despawn)?,
            groups: at + layout.groups as u32,
            components: shape.components.len() as u32,
            resources: shape.resources.len() as u32,
            extra: extra.map_or(0, extra_at),
            extra_bytes: extra.map_or(0, |extra| extra.text.len() as u32),
            extra_version: extra.map_or(0, |extra| extra.number),
        };
        // SAFETY: the block starts with the descriptor and is aligned to 64 bytes.
        unsafe { block.ptr().cast().write(descriptor) };
        Ok(())
    }

    /// Calls `handle` with the descriptor that was written.
    fn call(&mut self, cx: &mut JSContext, roots: &Roots) -> Result<(), JobError> {
        // SAFETY: the context is in the agent's realm; values are rooted or traced where they lie.
        let result = unsafe {
            let raw = cx.raw_cx();
            if self.unsettled {
                rooted!(in(raw) let top = Int32Value(self.stack.top() as i32));
                let pointer = self.roots.stack_pointer.handle();
                if !ja::JS_SetProperty(raw, pointer, c"value".as_ptr(), top.handle().into()) {
                    return Err(take_failure(cx, roots).into());
                }
            }
            self.unsettled = true;
            rooted!(in(raw) let descriptor = Int32Value(self.at as i32));
            let arguments = ja::HandleValueArray { length_: 1, elements_: &*descriptor };
            rooted!(in(raw) let mut value = UndefinedValue());
            let (nothing, function) = (ja::UndefinedHandleValue, self.roots.handle.handle());
            if ja::Call(raw, nothing, function, &arguments, value.handle_mut().into()) {
                Ok(())
            } else {
                Err(take_failure(cx, roots).into())
            }
        };
        self.unsettled = result.is_err();
        if self.stack.was_overrun() && result.is_ok() {
            self.unsettled = true;
            let message = format!("the kernel overran its stack of {STACK_BYTES} bytes");
            return Err(JobError::Threw { name: "RuntimeError".into(), message, stack: String::new() });
        }
        result
    }
}
