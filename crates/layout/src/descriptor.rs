//! What a WebAssembly kernel is called with: one record in the world's memory that says where its rows are.
//!
//! ```text
//! handle(d) ──▶ | Descriptor, 56 bytes |
//!                 ├ groups ──▶ | Group, 24 bytes | x components, in declared order | Group x resources |
//!                 │                └ columns ──▶ | Column, 16 bytes | x fields, in order |
//!                 └ extra ───▶ | UTF-8 JSON |
//! ```
//!
//! Offsets are bytes from the start of the memory, which is where a kernel's address 0 is: a kernel uses them as pointers.
//! 0 is never a valid offset and means "none". Everything is little-endian and lies at multiples of its own size.
//!
//! # Rules
//! - The layout of a version never changes. Another version has another number in [`Descriptor::version`], and a kernel
//!   that does not know it traps.
//! - `crates/kernel/include/peristyle_kernel.h` has the same layout in C; a test compares the two.

/// The version that this module describes.
pub const VERSION: u32 = 1;

/// The record that a kernel gets the offset of. Valid during the call.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Descriptor {
    /// [`VERSION`].
    pub version: u32,
    /// Rows of this call: 1 to 16 384.
    pub rows: u32,
    /// Simulated seconds of this tick.
    pub dt: f64,
    /// Simulated time of this tick in seconds.
    pub time: f64,
    /// `u32` entity index of each row. Not to be written.
    pub eids: u32,
    /// The bits of rows to despawn, or 0 if the job did not declare that it despawns.
    pub despawn: u32,
    /// The [`Group`]s: components in declared order, then resources.
    pub groups: u32,
    /// Number of components.
    pub components: u32,
    /// Number of resources.
    pub resources: u32,
    /// The system's `extra` value as JSON text in UTF-8, or 0.
    pub extra: u32,
    /// Bytes of that text.
    pub extra_bytes: u32,
    /// Changes whenever the text changes, so that a kernel parses each value once.
    pub extra_version: u32,
}

/// One component or columnar resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Group {
    /// The component's number in its world; of a resource, its position.
    pub id: u32,
    /// [`ACCESS_READ`] or [`ACCESS_WRITE`]. What is declared as read must not be written.
    pub access: u32,
    /// Bits by row, or 0. Of a written component: to be set for rows that were written. Of one that is only read, if the
    /// job filters by its changes: the rows that changed.
    pub changed: u32,
    /// The [`Column`]s.
    pub columns: u32,
    /// Number of columns.
    pub column_count: u32,
    /// 0.
    pub reserved: u32,
}

/// One field of a component or resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Column {
    /// The first element, aligned to its size; 64-byte aligned if the call starts at a chunk's first row.
    pub offset: u32,
    /// Number of elements: the rows of the call, or those of the resource.
    pub len: u32,
    /// Element type: the discriminant of [`Scalar`](crate::Scalar).
    pub scalar: u32,
    /// 0.
    pub reserved: u32,
}

/// [`Group::access`] of what the job only reads.
pub const ACCESS_READ: u32 = 0;
/// [`Group::access`] of what the job reads and writes.
pub const ACCESS_WRITE: u32 = 1;

/// Bytes of a bitset over `rows` rows: whole 64-bit words. Bit `i` is `1 << (i & 7)` of byte `i >> 3`.
#[inline]
pub const fn bits_bytes(rows: u32) -> u32 {
    rows.div_ceil(64) * 8
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Descriptor>() == 56 && align_of::<Descriptor>() == 8);
    assert!(offset_of!(Descriptor, version) == 0 && offset_of!(Descriptor, rows) == 4);
    assert!(offset_of!(Descriptor, dt) == 8 && offset_of!(Descriptor, time) == 16);
    assert!(offset_of!(Descriptor, eids) == 24 && offset_of!(Descriptor, despawn) == 28);
    assert!(offset_of!(Descriptor, groups) == 32 && offset_of!(Descriptor, components) == 36);
    assert!(offset_of!(Descriptor, resources) == 40 && offset_of!(Descriptor, extra) == 44);
    assert!(offset_of!(Descriptor, extra_bytes) == 48 && offset_of!(Descriptor, extra_version) == 52);
    assert!(size_of::<Group>() == 24 && align_of::<Group>() == 4);
    assert!(offset_of!(Group, id) == 0 && offset_of!(Group, access) == 4 && offset_of!(Group, changed) == 8);
    assert!(offset_of!(Group, columns) == 12 && offset_of!(Group, column_count) == 16);
    assert!(size_of::<Column>() == 16 && align_of::<Column>() == 4);
    assert!(offset_of!(Column, offset) == 0 && offset_of!(Column, len) == 4 && offset_of!(Column, scalar) == 8);
};
