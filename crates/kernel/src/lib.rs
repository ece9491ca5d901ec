//! WebAssembly kernels in Rust.
//!
//! A kernel is a job compiled to WebAssembly whose memory is the world's: it works on columns where they lie. This crate
//! turns the descriptor that it is called with into slices.
//!
//! ```
//! # mod kernel {
//! use peristyle_kernel::{Call, kernel};
//!
//! kernel!(step);
//!
//! fn step(call: Call<'_>) {
//!     let dt = call.dt as f32;
//!     // In the order in which the job's system declares them.
//!     let [position, velocity] = call.components.take();
//!     let [x, y] = position.columns.write::<f32, 2>();
//!     let [dx, dy] = velocity.columns.read::<f32, 2>();
//!     for (x, dx) in x.iter_mut().zip(dx) {
//!         *x += dx * dt;
//!     }
//!     for (y, dy) in y.iter_mut().zip(dy) {
//!         *y += dy * dt;
//!     }
//!     if let Some(mut changed) = position.changed {
//!         changed.set_all();
//!     }
//! }
//! # }
//! ```
//!
//! # Building one
//! A `cdylib` for `wasm32-unknown-unknown`, `#![no_std]`, without static data, as its memory is somebody else's. Shared
//! memory needs a `core` built with atomics, so it is built from source:
//!
//! ```sh
//! export RUSTFLAGS="-Ctarget-feature=+atomics,+bulk-memory,+simd128 -Clink-arg=--import-memory \
//!   -Clink-arg=--shared-memory -Clink-arg=--max-memory=4294967296 -Clink-arg=--export=__stack_pointer"
//! CARGO_PROFILE_RELEASE_LTO=true CARGO_PROFILE_RELEASE_PANIC=abort \
//!   cargo +nightly build --release --target wasm32-unknown-unknown -Zbuild-std=core
//! ```
//!
//! Link-time optimisation drops the texts of panics, which are static data. What cannot do without static data is made
//! position-independent, and each instance gets a block for it: `-Crelocation-model=pic`, and `-shared`,
//! `--experimental-pic` and `--allow-undefined` for the linker, in place of `--export=__stack_pointer`.
//! `examples/kernel-rust` is a whole kernel. A stack has 256 KiB.
//!
//! # Rules
//! - What a kernel is not given it must not touch, and what is declared as read it must not write. Nobody can check that:
//!   it is what `unsafe` in `Cluster::kernel` trusts it with. This crate hands out nothing else.
//! - A wrong use (a column of another type, more components than there are) traps, and fails the call.
#![no_std]
#![warn(missing_docs)]

use core::marker::PhantomData;
use core::{ptr, slice};

use peristyle_layout::Scalar;
use peristyle_layout::descriptor::{self, ACCESS_WRITE, Descriptor, VERSION};

/// Exports a function as the kernel's `handle`, with a panic handler that traps.
///
/// The function takes a [`Call`].
#[macro_export]
macro_rules! kernel {
    ($function:path) => {
        /// Runs one call of the kernel.
        ///
        /// # Safety
        /// `descriptor` is the offset of a descriptor whose columns nobody else uses during the call.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn handle(descriptor: u32) {
            // SAFETY: as the caller answers; offsets count from address 0.
            $function(unsafe { $crate::Call::at(core::ptr::null_mut(), descriptor) })
        }

        #[cfg(all(target_arch = "wasm32", not(test)))]
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            $crate::trap()
        }
    };
}

/// Fails the call.
#[cold]
#[inline]
pub fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    panic!("the kernel trapped");
}

/// One call: rows of one chunk, to be taken apart.
#[derive(Debug)]
pub struct Call<'a> {
    /// Number of rows: 1 to 16 384.
    pub rows: usize,
    /// Simulated seconds of this tick.
    pub dt: f64,
    /// Simulated time of this tick in seconds.
    pub time: f64,
    /// The entity index of each row.
    pub eids: &'a [u32],
    /// Components, in declared order.
    pub components: Groups<'a>,
    /// Columnar resources, in declared order.
    pub resources: Groups<'a>,
    /// To be set for rows to despawn, if the job declared that it despawns.
    pub despawn: Option<Bits<'a>>,
    /// The system's `extra` value as JSON text in UTF-8, and a number that changes whenever the text does.
    pub extra: Option<(&'a [u8], u32)>,
}

/// Components or resources of a call.
#[derive(Debug)]
pub struct Groups<'a> {
    memory: Memory<'a>,
    groups: &'a [descriptor::Group],
    rows: usize,
}

/// One component, or one columnar resource.
#[derive(Debug)]
pub struct Group<'a> {
    /// The component's number in its world; of a resource, its position.
    pub id: u32,
    /// The fields.
    pub columns: Columns<'a>,
    /// Of a written component: to be set for rows that were written. Of one that is only read, if the job filters by its
    /// changes: the rows that changed.
    pub changed: Option<Bits<'a>>,
}

/// The fields of a component or resource.
#[derive(Debug)]
pub struct Columns<'a> {
    memory: Memory<'a>,
    columns: &'a [descriptor::Column],
    writable: bool,
}

/// One field.
#[derive(Debug)]
pub struct Column<'a> {
    memory: Memory<'a>,
    column: &'a descriptor::Column,
    writable: bool,
}

/// One bit for each row.
#[derive(Debug)]
pub struct Bits<'a> {
    bytes: &'a mut [u8],
    rows: usize,
}

/// Where offset 0 is. Everything of a call borrows from here.
#[derive(Debug, Clone, Copy)]
struct Memory<'a> {
    start: *mut u8,
    borrowed: PhantomData<&'a mut [u8]>,
}

/// A type that columns hold.
///
/// # Safety
/// Every bit pattern is a value, and columns whose scalar [`Element::is`] accepts hold such values.
pub unsafe trait Element: Copy {
    /// Whether columns of that scalar hold values of this type.
    fn is(scalar: u32) -> bool;
}

macro_rules! elements {
    ($($element:ty: $($scalar:ident)|+;)*) => { $(
        // SAFETY: numbers have no invalid bit patterns; the scalars are those of the same size and kind.
        unsafe impl Element for $element {
            #[inline]
            fn is(scalar: u32) -> bool {
                $(scalar == Scalar::$scalar as u32)||+
            }
        }
    )* };
}
elements! {
    f32: F32; f64: F64;
    i8: I8; i16: I16; i32: I32; i64: I64;
    // A bool is a byte, of which any value but 0 reads as true.
    u8: U8 | Bool; u16: U16; u32: U32; u64: U64;
}

impl<'a> Memory<'a> {
    fn at<T>(self, offset: u32) -> *mut T {
        if self.start.is_null() {
            return ptr::with_exposed_provenance_mut(offset as usize);
        }
        self.start.wrapping_add(offset as usize).cast()
    }

    /// # Safety
    /// The offset is of `len` initialised elements that stay, and that nobody writes, for `'a`.
    unsafe fn slice<T>(self, offset: u32, len: u32) -> &'a [T] {
        match len {
            0 => &[],
            // SAFETY: as the caller answers.
            _ => unsafe { slice::from_raw_parts(self.at(offset), len as usize) },
        }
    }

    /// # Safety
    /// The offset is of `len` initialised elements that stay, and that nobody else uses, for `'a`.
    unsafe fn slice_mut<T>(self, offset: u32, len: u32) -> &'a mut [T] {
        match len {
            0 => &mut [],
            // SAFETY: as the caller answers.
            _ => unsafe { slice::from_raw_parts_mut(self.at(offset), len as usize) },
        }
    }

    /// # Safety
    /// The offset is 0 or that of a bitset over `rows` rows that nobody else uses for `'a`.
    unsafe fn bits(self, offset: u32, rows: u32) -> Option<Bits<'a>> {
        if offset == 0 {
            return None;
        }
        // SAFETY: as the caller answers.
        let bytes = unsafe { self.slice_mut(offset, descriptor::bits_bytes(rows)) };
        Some(Bits { bytes, rows: rows as usize })
    }
}

impl<'a> Call<'a> {
    /// The call that a descriptor tells of, in a memory whose offset 0 is at `start`: in a kernel, null.
    ///
    /// Traps if the descriptor has another version.
    ///
    /// # Safety
    /// - `descriptor` is the offset of a [`Descriptor`], and what it names lies in the memory as it says.
    /// - For `'a` nobody writes it, and nobody else uses what it lets a job write.
    #[inline]
    pub unsafe fn at(start: *mut u8, descriptor: u32) -> Call<'a> {
        let memory = Memory { start, borrowed: PhantomData };
        // SAFETY: as the caller answers. Components and resources are lists of their own, and each column and bitset is
        // named once.
        unsafe {
            let of = &*memory.at::<Descriptor>(descriptor);
            if of.version != VERSION {
                trap();
            }
            let groups = memory.slice(of.groups, of.components + of.resources);
            let (components, resources) = groups.split_at(of.components as usize);
            let rows = of.rows as usize;
            Call {
                rows,
                dt: of.dt,
                time: of.time,
                eids: memory.slice(of.eids, of.rows),
                components: Groups { memory, groups: components, rows },
                resources: Groups { memory, groups: resources, rows },
                despawn: memory.bits(of.despawn, of.rows),
                extra: (of.extra != 0).then(|| (memory.slice(of.extra, of.extra_bytes), of.extra_version)),
            }
        }
    }
}

impl<'a> Groups<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The first `N`. Traps if there are fewer.
    #[inline]
    pub fn take<const N: usize>(self) -> [Group<'a>; N] {
        if self.groups.len() < N {
            trap();
        }
        core::array::from_fn(|at| {
            let group = &self.groups[at];
            Group {
                id: group.id,
                // SAFETY: `Call::at` was promised that columns lie as the descriptor says, unused by others, and `self`
                // is used up: each column is handed out once.
                columns: unsafe {
                    Columns {
                        memory: self.memory,
                        columns: self.memory.slice(group.columns, group.column_count),
                        writable: group.access == ACCESS_WRITE,
                    }
                },
                // SAFETY: as above.
                changed: unsafe { self.memory.bits(group.changed, self.rows as u32) },
            }
        })
    }
}

impl<'a> Columns<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The first `N`, whatever their types. Traps if there are fewer.
    #[inline]
    pub fn take<const N: usize>(self) -> [Column<'a>; N] {
        if self.columns.len() < N {
            trap();
        }
        core::array::from_fn(|at| Column { memory: self.memory, column: &self.columns[at], writable: self.writable })
    }

    /// The first `N`, all of type `T`, to read. Traps if there are fewer, or others.
    #[inline]
    pub fn read<T: Element, const N: usize>(self) -> [&'a [T]; N] {
        self.take().map(Column::read)
    }

    /// The first `N`, all of type `T`, to write. Traps if there are fewer, or others, or if the job declared that it only
    /// reads.
    #[inline]
    pub fn write<T: Element, const N: usize>(self) -> [&'a mut [T]; N] {
        self.take().map(Column::write)
    }
}

impl<'a> Column<'a> {
    /// The elements, to read. Traps if they are no `T`.
    #[inline]
    pub fn read<T: Element>(self) -> &'a [T] {
        if !T::is(self.column.scalar) {
            trap();
        }
        // SAFETY: `Call::at` was promised that the column lies there; its elements are `T`, and it was handed out once.
        unsafe { self.memory.slice(self.column.offset, self.column.len) }
    }

    /// The elements, to write. Traps if they are no `T`, or if the job declared that it only reads them.
    #[inline]
    pub fn write<T: Element>(self) -> &'a mut [T] {
        if !T::is(self.column.scalar) || !self.writable {
            trap();
        }
        // SAFETY: as in `read`; the job writes it, so nobody else uses it.
        unsafe { self.memory.slice_mut(self.column.offset, self.column.len) }
    }
}

impl Bits<'_> {
    /// Whether a row's bit is set. Traps if there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> bool {
        if row >= self.rows {
            trap();
        }
        self.bytes[row >> 3] & 1 << (row & 7) != 0
    }

    /// Sets a row's bit. Traps if there is no such row.
    #[inline]
    pub fn set(&mut self, row: usize) {
        if row >= self.rows {
            trap();
        }
        self.bytes[row >> 3] |= 1 << (row & 7);
    }

    /// Sets the bits of all rows.
    pub fn set_all(&mut self) {
        let whole = self.rows >> 3;
        self.bytes[..whole].fill(0xff);
        if self.rows & 7 != 0 {
            self.bytes[whole] |= (1 << (self.rows & 7)) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use super::*;

    /// # Safety
    /// There is room for a `T` at the offset, which is aligned for it.
    unsafe fn put<T>(bytes: *mut u8, offset: usize, value: T) {
        // SAFETY: as the caller answers.
        unsafe { bytes.add(offset).cast::<T>().write(value) }
    }

    /// A call of 70 rows: component 7, written, of `f32` and `u8`; component 9, read, of `f32`; a resource of 3 `f64`.
    fn memory() -> std::vec::Vec<u64> {
        let mut words = vec![0u64; 512];
        let bytes = words.as_mut_ptr().cast::<u8>();
        let column =
            |offset, len, scalar: Scalar| descriptor::Column { offset, len, scalar: scalar as u32, reserved: 0 };
        let group = |id, access, changed, columns, column_count| descriptor::Group {
            id,
            access,
            changed,
            columns,
            column_count,
            reserved: 0,
        };
        // SAFETY: all offsets lie in the words, apart from each other and aligned.
        unsafe {
            put(
                bytes,
                64,
                Descriptor {
                    version: VERSION,
                    rows: 70,
                    dt: 0.5,
                    time: 2.0,
                    eids: 2048,
                    despawn: 512,
                    groups: 128,
                    components: 2,
                    resources: 1,
                    extra: 640,
                    extra_bytes: 2,
                    extra_version: 3,
                },
            );
            put(bytes, 128, [group(7, ACCESS_WRITE, 528, 256, 2), group(9, 0, 0, 288, 1), group(0, 0, 0, 304, 1)]);
            put(
                bytes,
                256,
                [
                    column(1024, 70, Scalar::F32),
                    column(1344, 70, Scalar::Bool),
                    column(1472, 70, Scalar::F32),
                    column(1920, 3, Scalar::F64),
                ],
            );
            put(bytes, 640, *b"17");
            put(bytes, 1472, [1.25_f32; 70]);
            put(bytes, 1920, [1.0_f64, 2.0, 3.0]);
            put(bytes, 2048, [6_u32; 70]);
        }
        words
    }

    fn call(words: &mut [u64]) -> Call<'_> {
        // SAFETY: the words are a memory with a descriptor at 64, borrowed for as long as the call.
        unsafe { Call::at(words.as_mut_ptr().cast(), 64) }
    }

    #[test]
    fn a_call_is_taken_apart_into_slices() {
        let mut words = memory();
        let call = call(&mut words);
        assert_eq!((call.rows, call.dt, call.time, call.eids), (70, 0.5, 2.0, &[6; 70][..]));
        assert_eq!(call.extra, Some((&b"17"[..], 3)));
        let [position, velocity] = call.components.take();
        assert_eq!((position.id, velocity.id, velocity.changed.is_none()), (7, 9, true));
        let [x, flag] = position.columns.take();
        let (x, flag) = (x.write::<f32>(), flag.write::<u8>());
        let [dx] = velocity.columns.read::<f32, 1>();
        x.iter_mut().zip(dx).for_each(|(x, dx)| *x += dx);
        flag[69] = 1;
        let [total] = call.resources.take();
        assert_eq!(total.columns.read::<f64, 1>(), [&[1.0, 2.0, 3.0][..]]);
        let (mut changed, mut despawn) = (position.changed.unwrap(), call.despawn.unwrap());
        changed.set_all();
        despawn.set(65);
        assert!(changed.get(69) && despawn.get(65) && !despawn.get(64));
        let bytes: std::vec::Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!((&bytes[528..537], &bytes[537..544]), (&[[255; 8].as_slice(), &[63]].concat()[..], &[0; 7][..]));
        assert_eq!((bytes[512 + 8], bytes[1344 + 69]), (2, 1));
        assert_eq!(bytes[1024..1028], 1.25_f32.to_le_bytes());
    }

    #[test]
    fn wrong_uses_trap() {
        let traps = |f: fn(Call<'_>)| {
            let mut words = memory();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(call(&mut words)))).is_err()
        };
        assert!(traps(|call| _ = call.components.take::<3>()));
        assert!(traps(|call| _ = call.components.take::<1>().map(|group| group.columns.take::<3>().len())));
        assert!(traps(|call| _ = call.components.take::<1>().map(|group| group.columns.read::<f32, 2>())));
        assert!(traps(|call| _ = call.resources.take::<1>().map(|group| group.columns.write::<f64, 1>().len())));
        assert!(traps(|call| call.despawn.unwrap().set(70)));
        assert!(!traps(|call| _ = call.components.take::<2>()));
        let mut words = memory();
        words[8] = 2;
        assert!(std::panic::catch_unwind(move || call(&mut words).rows).is_err(), "another version");
    }
}
