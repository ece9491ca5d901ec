//! What a WebAssembly module needs, and whether a kernel may need it.
//!
//! Whether the code is valid is the engine's to say. Here is what the engine would accept, and what would then go wrong
//! without a word: static data at addresses that are the world's, a stack at one, a memory that is not the world's.

use std::fmt;

use wasmparser::{
    Dylink0Subsection, ExternalKind, FuncType, GlobalType, Import, KnownCustom, MemoryType, Name, Operator, Parser,
    Payload, TypeRef, ValType,
};

use crate::memory::PAGE_BYTES;

/// Why a WebAssembly module is no kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelError {
    /// It is no WebAssembly module, or is cut short.
    NotWasm {
        /// Where, in bytes.
        offset: u64,
        /// What is wrong there.
        message: String,
    },
    /// It imports what is not offered.
    Import {
        /// The module that it imports from.
        module: String,
        /// The name there.
        name: String,
        /// Why it cannot have it.
        reason: String,
    },
    /// It imports no memory: a kernel works on the world's.
    NoMemory,
    /// The memory that it imports cannot be a world's.
    Memory {
        /// Why not.
        reason: String,
    },
    /// It exports no function `handle` of one `i32` and no result.
    NoHandle {
        /// What it exports by that name, if anything.
        found: Option<String>,
    },
    /// It has a stack pointer, or what may be one, that cannot be set: its stack would lie in the world's columns.
    Stack {
        /// Index of the global variable.
        global: u32,
    },
    /// It has static data at a fixed address, where the world has something else.
    FixedData {
        /// The data segment: its name if the module has one, else its index.
        segment: String,
        /// Where it is to lie, if the module says so; a function of the module may put it somewhere, too.
        address: Option<u32>,
    },
    /// It has a function that runs when it is instantiated, but is not position-independent: that function writes static
    /// data to a fixed address.
    Start {
        /// Index of the function.
        function: u32,
    },
    /// It is position-independent, but does not say how much static data it has.
    NoDylink,
    /// The engine refuses it.
    Rejected {
        /// What the engine says.
        message: String,
    },
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KernelError::NotWasm { offset, message } => write!(f, "not WebAssembly: {message} (at byte {offset})"),
            KernelError::Import { module, name, reason } => write!(f, "cannot import {module}.{name}: {reason}"),
            KernelError::NoMemory => write!(f, "imports no memory: link with --import-memory and --shared-memory"),
            KernelError::Memory { reason } => write!(f, "cannot work on a world's memory: {reason}"),
            KernelError::NoHandle { found: None } => write!(f, "exports no function `handle`"),
            KernelError::NoHandle { found: Some(found) } => {
                write!(f, "exports `handle` as {found}, not as a function of one i32 without a result")
            }
            KernelError::Stack { global } => write!(
                f,
                "global {global} may be its stack pointer, which must be exported or imported: link with \
                 --export=__stack_pointer"
            ),
            KernelError::FixedData { segment, address } => {
                write!(f, "data segment {segment} lies at a fixed address")?;
                if let Some(address) = address {
                    write!(f, " ({address})")?;
                }
                write!(f, ": do without static data, or link as position-independent (-fPIC, -shared)")
            }
            KernelError::Start { function } => write!(
                f,
                "function {function} runs at its start and writes static data to a fixed address: do without static \
                 data, or link as position-independent (-fPIC, -shared)"
            ),
            KernelError::NoDylink => {
                write!(f, "imports __memory_base, but has no section dylink.0 that says for how much")
            }
            KernelError::Rejected { message } => write!(f, "the engine refuses it: {message}"),
        }
    }
}

impl std::error::Error for KernelError {}

/// What a kernel needs to be instantiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needs {
    min_pages: u64,
    max_pages: u64,
    /// Bytes of static data, and what they are aligned to.
    pub(crate) data_bytes: u32,
    pub(crate) data_align: u32,
    /// Entries of its function table.
    pub(crate) elements: u32,
}

impl Needs {
    /// Whether a memory of `pages` pages now, that may grow to `max_pages`, can be the kernel's.
    pub(crate) fn fit(&self, pages: u64, max_pages: u64) -> Result<(), KernelError> {
        if max_pages > self.max_pages {
            return Err(KernelError::Memory {
                reason: format!(
                    "it allows at most {} pages of {PAGE_BYTES} bytes, the memory may grow to {max_pages}: link with \
                     --max-memory=4294967296",
                    self.max_pages
                ),
            });
        }
        if pages < self.min_pages {
            return Err(KernelError::Memory {
                reason: format!("it needs {} pages of {PAGE_BYTES} bytes, the memory has {pages}", self.min_pages),
            });
        }
        Ok(())
    }
}

/// Largest alignment of static data that is met.
const ALIGN_MAX: u32 = 64;

#[derive(Default)]
struct Seen<'a> {
    types: Vec<FuncType>,
    functions: Vec<u32>,
    memory: Option<MemoryType>,
    own_memory: bool,
    /// Imports come first, so the index of a defined global is the number of globals before it.
    globals: Vec<(GlobalType, bool)>,
    handle: Option<(ExternalKind, u32)>,
    exported_globals: Vec<(&'a str, u32)>,
    imports_stack: bool,
    memory_base: Option<u32>,
    start: Option<u32>,
    /// Of each data segment: the address, if it is a fixed one.
    segments: Vec<Segment>,
    segment_names: Vec<(u32, String)>,
    dylink: Option<(u32, u32, u32)>,
}

enum Segment {
    Fixed(Option<u32>),
    Relative,
    Passive,
}

/// Reads what a module needs.
pub(crate) fn check(bytes: &[u8]) -> Result<Needs, KernelError> {
    let seen = read(bytes)?;
    let memory = seen.memory.ok_or(KernelError::NoMemory)?;
    let refuse = |reason: &str| Err(KernelError::Memory { reason: reason.into() });
    if seen.own_memory {
        return refuse("it has another memory of its own");
    }
    if !memory.shared {
        return refuse("it imports one that is not shared: link with --shared-memory");
    }
    if memory.memory64 {
        return refuse("it imports one with 64-bit addresses");
    }
    if memory.page_size_log2.is_some_and(|log2| 1 << log2 != PAGE_BYTES) {
        return refuse("it imports one with pages of another size");
    }
    check_handle(&seen)?;
    check_stack(&seen)?;
    check_data(&seen)?;
    let (data_bytes, align_log2, elements) = match (seen.memory_base, seen.dylink) {
        (Some(_), None) => return Err(KernelError::NoDylink),
        (Some(_), Some(dylink)) => dylink,
        (None, _) => (0, 0, 0),
    };
    let data_align = 1u32.checked_shl(align_log2).filter(|align| *align <= ALIGN_MAX);
    let data_align = data_align.ok_or_else(|| KernelError::Memory {
        reason: format!("its static data is aligned to 2^{align_log2} bytes, the limit is {ALIGN_MAX}"),
    })?;
    let max_pages = memory.maximum.unwrap_or(0);
    Ok(Needs { min_pages: memory.initial, max_pages, data_bytes, data_align, elements })
}

fn not_wasm(error: wasmparser::BinaryReaderError) -> KernelError {
    KernelError::NotWasm { offset: error.offset(), message: error.message().into() }
}

fn read(bytes: &[u8]) -> Result<Seen<'_>, KernelError> {
    let mut seen = Seen::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(not_wasm)? {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                return Err(KernelError::NotWasm { offset: 4, message: "a component, not a module".into() });
            }
            Payload::TypeSection(types) => {
                let types: Result<_, _> = types.into_iter_err_on_gc_types().collect();
                seen.types = types.map_err(not_wasm)?;
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    seen.import(import.map_err(not_wasm)?)?;
                }
            }
            Payload::FunctionSection(functions) => {
                let functions: Result<_, _> = functions.into_iter().collect();
                seen.functions = functions.map_err(not_wasm)?;
            }
            Payload::MemorySection(memories) => seen.own_memory |= memories.count() > 0,
            Payload::GlobalSection(globals) => {
                for global in globals {
                    seen.globals.push((global.map_err(not_wasm)?.ty, false));
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(not_wasm)?;
                    if export.name == "handle" {
                        seen.handle = Some((export.kind, export.index));
                    }
                    if export.kind == ExternalKind::Global {
                        seen.exported_globals.push((export.name, export.index));
                    }
                }
            }
            Payload::StartSection { func, .. } => seen.start = Some(func),
            Payload::DataSection(segments) => {
                for segment in segments {
                    let segment = match segment.map_err(not_wasm)?.kind {
                        wasmparser::DataKind::Passive => Segment::Passive,
                        wasmparser::DataKind::Active { offset_expr, .. } => {
                            let mut operators = offset_expr.get_operators_reader();
                            match operators.read().map_err(not_wasm)? {
                                Operator::GlobalGet { global_index } if seen.memory_base == Some(global_index) => {
                                    Segment::Relative
                                }
                                Operator::I32Const { value } => Segment::Fixed(Some(value as u32)),
                                _ => Segment::Fixed(None),
                            }
                        }
                    };
                    seen.segments.push(segment);
                }
            }
            Payload::CustomSection(custom) => match custom.as_known() {
                // Names are for messages: what is wrong with them does not matter.
                KnownCustom::Name(names) => {
                    for name in names.into_iter().flatten() {
                        if let Name::Data(names) = name {
                            let names = names.into_iter().flatten();
                            seen.segment_names.extend(names.map(|name| (name.index, name.name.to_owned())));
                        }
                    }
                }
                KnownCustom::Dylink0(parts) => {
                    for part in parts {
                        if let Dylink0Subsection::MemInfo(info) = part.map_err(not_wasm)? {
                            seen.dylink = Some((info.memory_size, info.memory_alignment, info.table_size));
                        }
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
    Ok(seen)
}

impl Seen<'_> {
    fn import(&mut self, import: Import<'_>) -> Result<(), KernelError> {
        let Import { module, name, ty } = import;
        let refuse =
            |reason: &str| Err(KernelError::Import { module: module.into(), name: name.into(), reason: reason.into() });
        let number = |global: &GlobalType| global.content_type == ValType::I32 && !global.shared;
        match (module, name, ty) {
            ("env", "memory", TypeRef::Memory(memory)) if self.memory.is_none() => self.memory = Some(memory),
            ("env", "__stack_pointer", TypeRef::Global(global)) if global.mutable && number(&global) => {
                self.imports_stack = true;
                self.globals.push((global, true));
            }
            ("env", "__memory_base" | "__table_base", TypeRef::Global(global))
                if !global.mutable && number(&global) =>
            {
                if name == "__memory_base" {
                    self.memory_base = Some(self.globals.len() as u32);
                }
                self.globals.push((global, true));
            }
            ("env", "__indirect_function_table", TypeRef::Table(_)) => {}
            (_, _, TypeRef::Func(_) | TypeRef::FuncExact(_)) => return refuse("kernels are offered no functions"),
            (
                "env",
                "memory" | "__stack_pointer" | "__memory_base" | "__table_base" | "__indirect_function_table",
                _,
            ) => return refuse("it is offered with another type"),
            _ => return refuse("there is no such thing; a kernel may import env.memory, and what a linker adds to it"),
        }
        Ok(())
    }
}

fn check_handle(seen: &Seen<'_>) -> Result<(), KernelError> {
    let Some((kind, index)) = seen.handle else { return Err(KernelError::NoHandle { found: None }) };
    let refuse = |found: String| Err(KernelError::NoHandle { found: Some(found) });
    if kind != ExternalKind::Func {
        return refuse(format!("{kind:?}").to_lowercase());
    }
    // No function is imported, so functions count from the module's own.
    let of_function = seen.functions.get(index as usize).and_then(|of| seen.types.get(*of as usize));
    match of_function {
        Some(of) if of.params() == [ValType::I32] && of.results().is_empty() => Ok(()),
        Some(of) => refuse(format!("a function of {:?} to {:?}", of.params(), of.results())),
        None => refuse("an unknown function".into()),
    }
}

/// A kernel's stack is where its stack pointer starts. A linker's module has one, whether it is used or not; one that is
/// position-independent imports it if it is used.
fn check_stack(seen: &Seen<'_>) -> Result<(), KernelError> {
    let exported = seen.exported_globals.iter().find(|(name, _)| *name == "__stack_pointer");
    if let Some((_, index)) = exported {
        let settable = |of: &GlobalType| of.mutable && of.content_type == ValType::I32;
        return match seen.globals.get(*index as usize) {
            Some((of, _)) if settable(of) => Ok(()),
            _ => Err(KernelError::Stack { global: *index }),
        };
    }
    if seen.imports_stack || seen.memory_base.is_some() {
        return Ok(());
    }
    let hidden = |(index, (of, imported)): (usize, &(GlobalType, bool))| {
        let exported = seen.exported_globals.iter().any(|(_, known)| *known as usize == index);
        (of.mutable && of.content_type == ValType::I32 && !imported && !exported).then_some(index as u32)
    };
    match seen.globals.iter().enumerate().find_map(hidden) {
        Some(global) => Err(KernelError::Stack { global }),
        None => Ok(()),
    }
}

fn check_data(seen: &Seen<'_>) -> Result<(), KernelError> {
    let named = |index: usize| {
        let name = seen.segment_names.iter().find(|(of, _)| *of as usize == index);
        name.map_or_else(|| index.to_string(), |(_, name)| name.clone())
    };
    for (index, segment) in seen.segments.iter().enumerate() {
        match segment {
            // A linker places it by `__tls_base`, which nobody sets. If its name was stripped, it meets the guard below
            // the first stack.
            _ if [".tdata", ".tbss"].iter().any(|thread_local| named(index).starts_with(thread_local)) => {
                return Err(KernelError::FixedData { segment: named(index), address: Some(0) });
            }
            Segment::Relative => {}
            Segment::Passive if seen.memory_base.is_some() => {}
            Segment::Passive => return Err(KernelError::FixedData { segment: named(index), address: None }),
            Segment::Fixed(address) => {
                return Err(KernelError::FixedData { segment: named(index), address: *address });
            }
        }
    }
    match seen.start {
        Some(function) if seen.memory_base.is_none() => Err(KernelError::Start { function }),
        _ => Ok(()),
    }
}
