//! Range lists: where a run's rows are, written into the world's memory for lanes of other languages.
//!
//! ```text
//! | cursor, count, done, failed | offsets x count | pad | per descriptor: Descriptor, Groups, Columns, pending bits |
//! ```
//!
//! # Rules
//! - The list is written before the run is handed out and not touched until it is settled, but for `extra`, which whoever it was
//!   handed to may still set.
//! - Storage is kept from run to run, and grows by half.

use std::{
    mem::{self, offset_of},
    ptr::NonNull,
};

use peristyle_jobs::{Access as JobAccess, Lent};
use peristyle_layout::{
    Scalar,
    descriptor::{ACCESS_READ, ACCESS_WRITE, Column, Descriptor, Group, VERSION},
};
use peristyle_memory::{Block, Memory};
use peristyle_world::{LentColumn, ResourceId, SharedWorld};

use crate::{
    error::ScheduleError,
    pull::PullError,
    ranges::Item,
    staging::Staging,
    touched::{CHUNK_WORDS, Touched},
};

/// Words before the offsets: cursor, count, done, failed.
const HEAD_WORDS: usize = 4;

/// The list of one system.
#[derive(Default)]
pub(super) struct RangeList {
    block: Option<Block>,
    staging: Staging,
    items: Vec<Item>,
    /// Where the descriptors are in the block: what it says itself, scripts may have written.
    descriptors: Vec<usize>,
    leased: bool,
    staged: bool,
}

/// What all descriptors of a run say.
pub(super) struct Call<'a> {
    pub(super) system: &'a str,
    pub(super) dt: f64,
    pub(super) time: f64,
    /// One descriptor for all rows.
    pub(super) whole: bool,
    pub(super) extra: ExtraPlace,
}

/// Where the text is that descriptors name.
#[derive(Clone, Copy)]
pub(super) struct ExtraPlace {
    pub(super) offset: u32,
    pub(super) bytes: u32,
    pub(super) version: u32,
}

/// Writes `bytes` to the beginning of a block.
///
/// # Panics
/// If it has less room.
pub(super) fn write_bytes(block: &Block, bytes: &[u8]) {
    assert!(bytes.len() as u64 <= block.bytes());
    // SAFETY: the block has as many bytes, and belongs to a system that does not run.
    unsafe { block.ptr().as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
}

/// What a call on some rows may overwrite, but for the bits of marks.
pub(super) fn overwritten<'w>(
    world: SharedWorld<'w>,
    touched: Touched<'w>,
    item: &Item,
) -> impl Iterator<Item = Lent> + use<'w> {
    let (chunk, first, rows) = item.place();
    let lent = move |ptr: *mut u8, len: usize, scalar| Lent {
        ptr: NonNull::new(ptr).expect("columns are not at address 0"),
        len: len as u32,
        scalar,
    };
    let written = touched.components.iter().filter(|(_, how)| *how == JobAccess::Write);
    let columns = written.flat_map(move |(component, _)| world.columns(chunk, *component, first));
    let despawn = touched.despawns.then(|| world.despawn_bits(chunk, first).cast());
    columns
        .map(move |LentColumn { ptr, scalar }| lent(ptr, rows, scalar))
        .chain(despawn.map(|bits| lent(bits, rows.div_ceil(64) * 8, Scalar::U8)))
}

/// Appends records to a block.
struct Writer<'a> {
    block: &'a Block,
    at: usize,
}

impl Writer<'_> {
    /// Room for a `T`, 8-byte aligned; gives its distance from the block's start.
    fn take(&mut self, bytes: usize) -> usize {
        let at = self.at;
        self.at = (at + bytes).next_multiple_of(8);
        assert!(self.at as u64 <= self.block.bytes(), "room was made for the whole list");
        at
    }

    /// Writes a record at a distance that was taken.
    fn put<T: Copy>(&self, at: usize, value: T) {
        assert!((at + size_of::<T>()) as u64 <= self.block.bytes() && at.is_multiple_of(align_of::<T>()));
        // SAFETY: within the block, which is 64-byte aligned and belongs to a system that does not run.
        unsafe { self.block.ptr().as_ptr().add(at).cast::<T>().write(value) };
    }

    fn offset(&self, at: usize) -> u32 {
        self.block.offset() as u32 + at as u32
    }
}

/// Where a descriptor's rows are.
struct Place {
    rows: usize,
    eids: u32,
    despawn: u32,
}

impl RangeList {
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.descriptors.clear();
        (self.leased, self.staged) = (false, false);
    }

    /// The rows that are leased, one item a descriptor unless they are staged.
    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn is_leased(&self) -> bool {
        self.leased
    }

    pub(super) fn is_staged(&self) -> bool {
        self.staged
    }

    pub(super) fn staging(&self) -> &Staging {
        &self.staging
    }

    /// Lets the descriptors of a run that is handed out name this text.
    pub(super) fn name_extra(&self, extra: ExtraPlace) {
        let Some(block) = self.block.as_ref().filter(|_| self.leased) else { return };
        let writer = Writer { block, at: 0 };
        for at in &self.descriptors {
            writer.put(at + offset_of!(Descriptor, extra), extra.offset);
            writer.put(at + offset_of!(Descriptor, extra_bytes), extra.bytes);
            writer.put(at + offset_of!(Descriptor, extra_version), extra.version);
        }
    }

    /// Says that the lease is over. What it was about is kept for the merge.
    pub(super) fn settled(&mut self) {
        self.leased = false;
    }

    pub(super) fn offset(&self) -> u32 {
        self.block.as_ref().map_or(0, |block| block.offset() as u32)
    }

    /// Writes the list of a run.
    pub(super) fn make(
        &mut self,
        world: SharedWorld<'_>,
        touched: Touched<'_>,
        resources: &[(ResourceId, JobAccess)],
        items: &[Item],
        call: Call<'_>,
    ) -> Result<(), PullError> {
        self.items.extend_from_slice(items);
        let memory = world.world().memory();
        let has_filter = touched.query.has_row_filter();
        if has_filter && !call.whole {
            // Ranges of a chunk in which something is pending may have nothing.
            let mut pending = [0_u64; CHUNK_WORDS];
            self.items.retain(|item| {
                world.copy_pending(touched.query, item.chunk, item.range(), &mut pending);
                pending[..(item.rows as usize).div_ceil(64)].iter().any(|word| *word != 0)
            });
        }
        if self.items.is_empty() {
            return Ok(());
        }
        let infos = world.world().components();
        let columns: usize = touched.components.iter().map(|(id, _)| infos.info(*id).fields().len()).sum();
        let filtered = touched.components.iter().filter(|(id, _)| touched.tells_changed(*id)).count();
        let mut resource_columns = 0;
        for (id, _) in resources {
            let of = world.column_resource(*id).ok_or_else(|| ScheduleError::NoColumns {
                system: call.system.to_owned(),
                resource: world.world().resource_name(*id).to_owned(),
            })?;
            resource_columns += of.fields().len();
        }
        self.staged = call.whole && self.items.len() > 1;
        let descriptors = if self.staged { 1 } else { self.items.len() };
        let groups = touched.components.len() + resources.len();
        let bytes = (HEAD_WORDS + descriptors).next_multiple_of(2) * 4
            + descriptors
                * (size_of::<Descriptor>()
                    + groups * size_of::<Group>()
                    + (columns + resource_columns) * size_of::<Column>()
                    + 16)
            + if self.staged { 0 } else { self.items.len() * filtered * CHUNK_WORDS * 8 };
        if self.block.as_ref().is_none_or(|block| block.bytes() < bytes as u64) {
            self.block = None;
            self.block = Some(memory.allocate(bytes + bytes / 2)?);
        }
        if self.staged {
            let rows: usize = self.items.iter().map(|item| item.rows as usize).sum();
            let scalars =
                touched.components.iter().flat_map(|(id, _)| infos.info(*id).fields()).map(|field| field.scalar);
            self.staging.reserve(memory, rows, scalars, touched.components.len() + 1)?;
            // SAFETY: staging belongs to this system, which does not run, and has room for as many rows; the plan gave this
            // system what it declared.
            unsafe { touched.gather(world, &self.items, rows, &self.staging) };
        }
        let block = self.block.as_ref().expect("room was just made");
        let mut places = mem::take(&mut self.descriptors);
        let mut writer = Writer { block, at: 0 };
        let head = writer.take((HEAD_WORDS + descriptors) * 4);
        [0, descriptors as u32, 0, 0]
            .into_iter()
            .enumerate()
            .for_each(|(word, value)| writer.put(head + word * 4, value));
        for index in 0..descriptors {
            let descriptor = self.describe(&mut writer, world, touched, resources, index, &call);
            writer.put(head + (HEAD_WORDS + index) * 4, writer.offset(descriptor));
            places.push(descriptor);
        }
        self.descriptors = places;
        self.leased = true;
        Ok(())
    }

    /// Writes one descriptor, and gives its distance from the block's start.
    fn describe(
        &self,
        writer: &mut Writer<'_>,
        world: SharedWorld<'_>,
        touched: Touched<'_>,
        resources: &[(ResourceId, JobAccess)],
        index: usize,
        call: &Call<'_>,
    ) -> usize {
        let memory = world.world().memory();
        let at = writer.take(size_of::<Descriptor>());
        let groups_at = writer.take((touched.components.len() + resources.len()) * size_of::<Group>());
        let (chunk, first, rows) = self.items[index].place();
        let mut staged = self.staged.then(|| self.staging.columns());
        let place = match &mut staged {
            Some(columns) => Place {
                rows: self.items.iter().map(|item| item.rows as usize).sum(),
                eids: columns.next().map_or(0, |(ptr, _)| offset(memory, ptr)),
                despawn: offset(memory, self.staging.bitset(touched.components.len())),
            },
            None => Place {
                rows,
                eids: offset(memory, world.eids(chunk, first).cast_mut()),
                despawn: offset(memory, world.despawn_bits(chunk, first)),
            },
        };
        for (group, (component, how)) in touched.components.iter().enumerate() {
            let fields = world.world().components().info(*component).fields().len();
            let columns_at = writer.take(fields * size_of::<Column>());
            // Tables of an `any` query may lack the component: it has no columns then.
            let mut in_place = world.columns(chunk, *component, first);
            let mut count = 0;
            while count < fields
                && let Some((ptr, scalar)) = match &mut staged {
                    Some(columns) => columns.next(),
                    None => in_place.next().map(|LentColumn { ptr, scalar }| (ptr, scalar)),
                }
            {
                let column = column(memory, ptr, place.rows, scalar);
                writer.put(columns_at + count * size_of::<Column>(), column);
                count += 1;
            }
            let changed = match how {
                _ if self.staged && (*how == JobAccess::Write || touched.tells_changed(*component)) => {
                    offset(memory, self.staging.bitset(group))
                }
                _ if self.staged => 0,
                JobAccess::Write => world.live_bits(chunk, *component, first).map_or(0, |bits| offset(memory, bits)),
                JobAccess::Read if touched.tells_changed(*component) => {
                    let words = rows.div_ceil(64);
                    let bits_at = writer.take(words * 8);
                    let mut pending = [0_u64; CHUNK_WORDS];
                    world.copy_pending(touched.query, chunk, first..first + rows, &mut pending);
                    (0..words).for_each(|word| writer.put(bits_at + word * 8, pending[word]));
                    writer.offset(bits_at)
                }
                JobAccess::Read => 0,
            };
            writer.put(
                groups_at + group * size_of::<Group>(),
                Group {
                    id: component.index(),
                    access: access(*how),
                    changed,
                    columns: writer.offset(columns_at),
                    column_count: count as u32,
                    reserved: 0,
                },
            );
        }
        for (resource, (id, how)) in resources.iter().enumerate() {
            let Some(of) = world.column_resource(*id) else { continue };
            let columns_at = writer.take(of.fields().len() * size_of::<Column>());
            for (count, (ptr, scalar)) in of.columns().enumerate() {
                let column = column(memory, ptr, of.rows(), scalar);
                writer.put(columns_at + count * size_of::<Column>(), column);
            }
            writer.put(
                groups_at + (touched.components.len() + resource) * size_of::<Group>(),
                Group {
                    id: resource as u32,
                    access: access(*how),
                    changed: 0,
                    columns: writer.offset(columns_at),
                    column_count: of.fields().len() as u32,
                    reserved: 0,
                },
            );
        }
        writer.put(
            at,
            Descriptor {
                version: VERSION,
                rows: place.rows as u32,
                dt: call.dt,
                time: call.time,
                eids: place.eids,
                despawn: if touched.despawns { place.despawn } else { 0 },
                groups: writer.offset(groups_at),
                components: touched.components.len() as u32,
                resources: resources.len() as u32,
                extra: call.extra.offset,
                extra_bytes: call.extra.bytes,
                extra_version: call.extra.version,
            },
        );
        at
    }
}

/// Where something in the memory is.
fn offset<T>(memory: &Memory, ptr: *mut T) -> u32 {
    memory.offset_of(NonNull::new(ptr).expect("columns are not at address 0").cast()) as u32
}

fn column(memory: &Memory, ptr: *mut u8, len: usize, scalar: Scalar) -> Column {
    Column { offset: offset(memory, ptr), len: len as u32, scalar: scalar as u32, reserved: 0 }
}

fn access(how: JobAccess) -> u32 {
    if how == JobAccess::Write { ACCESS_WRITE } else { ACCESS_READ }
}
