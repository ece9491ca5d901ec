//! The spans of one lane: a ring of a fixed size, with one writer and any readers.
//!
//! ```text
//! slot   word 0  start, ticks        word 2  0 (24) | kind (8) | name (32)
//!        word 1  end, ticks          word 3  detail (32) | rows (32)
//! head   how many spans were ever written; span n lies in slot n % slots
//! ```
//!
//! The number of slots is a power of two, for a division would take a fifth of the time of recording a span.
//!
//! # Rules
//! - The writer fills slot `head % slots`, then advances `head`. There is at least one slot more than spans are
//!   promised, so that the span being written never covers one of those.
//! - A reader copies the slots, reads `head` again and throws away the spans whose slots the writer may
//!   have begun to overwrite meanwhile. Every word of a span is stored with `Release` and read with
//!   `Acquire`: a reader that saw one word of span `n` then sees `head >= n`, which is what tells it
//!   that span `n - slots` is gone.
//! - A second writer breaks no memory rule: spans get lost or mixed.
//!
//! This is a sequence lock over a ring, with the ring's head as the sequence.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::{Kind, NameId, Span};

/// Aligned so that none lies on two cache lines.
#[derive(Default)]
#[repr(align(32))]
struct Slot([AtomicU64; 4]);

pub(crate) struct Ring {
    /// Release on advance pairs with Acquire in `read`: a reader that sees `n` sees spans below `n`.
    head: CachePadded<AtomicU64>,
    /// The first span that belongs to the current recording; what lies before was cleared.
    first: AtomicU64,
    /// A power of two of them, more than `spans`.
    slots: Box<[Slot]>,
    /// How many are promised.
    spans: u64,
}

impl Ring {
    /// Makes a ring that keeps the newest `spans`. Writes every slot, so that recording takes no page
    /// faults.
    pub(crate) fn new(spans: usize) -> Ring {
        let slots = (0..slots(spans)).map(|_| Slot::default()).collect();
        Ring { head: CachePadded::new(AtomicU64::new(0)), first: AtomicU64::new(0), slots, spans: spans as u64 }
    }

    /// The slot of span number `n`.
    #[inline]
    fn slot(&self, n: u64) -> &Slot {
        &self.slots[n as usize & (self.slots.len() - 1)]
    }

    #[inline]
    pub(crate) fn push(&self, span: Span) {
        // Relaxed: the writer reads what it wrote itself.
        let head = self.head.load(Ordering::Relaxed);
        let Slot(words) = self.slot(head);
        // Release, each: see the module's rules. They are plain stores on x86-64.
        words[0].store(span.start, Ordering::Release);
        words[1].store(span.end, Ordering::Release);
        words[2].store(u64::from(span.kind as u8) << 32 | u64::from(span.name.0), Ordering::Release);
        words[3].store(u64::from(span.detail) << 32 | u64::from(span.rows), Ordering::Release);
        self.head.store(head + 1, Ordering::Release);
    }

    /// Forgets all spans.
    pub(crate) fn clear(&self) {
        // Relaxed: a mark for readers; spans written at the same time may fall on either side.
        self.first.store(self.head.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Returns the spans still held, oldest first, and how many older ones were dropped.
    pub(crate) fn read(&self) -> (Vec<Span>, u64) {
        // Relaxed: see `clear`.
        let first = self.first.load(Ordering::Relaxed);
        // Acquire: pairs with the Release of `head` in `push`.
        let head = self.head.load(Ordering::Acquire);
        let first = first.min(head);
        let oldest = head.saturating_sub(self.spans).max(first);
        let mut spans: Vec<Span> = (oldest..head).map(|n| self.slot(n).read()).collect();
        // Relaxed: the Acquire loads of the words come before it, and with them every advance of `head`
        // that preceded a word that was read.
        let now = self.head.load(Ordering::Relaxed);
        let whole_from = now.saturating_sub(self.slots.len() as u64 - 1).clamp(oldest, head);
        spans.drain(..(whole_from - oldest) as usize);
        (spans, whole_from - first)
    }
}

/// Slots of a ring that promises `spans`.
pub(crate) const fn slots(spans: usize) -> usize {
    (spans + 1).next_power_of_two()
}

impl Slot {
    fn read(&self) -> Span {
        // Acquire, each: pairs with the Release stores of `push`.
        let [start, end, meta, args] = [0, 1, 2, 3].map(|i| self.0[i].load(Ordering::Acquire));
        Span {
            kind: Kind::from_bits((meta >> 32) as u8),
            name: NameId(meta as u32),
            start,
            end,
            rows: args as u32,
            detail: (args >> 32) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(n: u64) -> Span {
        Span { kind: Kind::Range, name: NameId(n as u32), start: n, end: n, rows: n as u32, detail: n as u32 }
    }

    #[test]
    fn keeps_the_newest_and_counts_the_rest() {
        let ring = Ring::new(3);
        assert_eq!(ring.read(), (vec![], 0));
        (0..3).for_each(|n| ring.push(span(n)));
        assert_eq!(ring.read(), ((0..3).map(span).collect(), 0));
        (3..10).for_each(|n| ring.push(span(n)));
        assert_eq!(ring.read(), ((7..10).map(span).collect(), 7));
        ring.clear();
        assert_eq!(ring.read(), (vec![], 0));
        ring.push(span(10));
        assert_eq!(ring.read(), (vec![span(10)], 0));
    }

    #[test]
    fn a_reader_beside_the_writer_sees_whole_spans_in_order() {
        let ring = Ring::new(8);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (0..200_000).for_each(|n| ring.push(span(n))));
            while !writer.is_finished() {
                let (spans, dropped) = ring.read();
                for (i, &found) in spans.iter().enumerate() {
                    assert_eq!(found, span(dropped + i as u64));
                }
            }
        });
        assert_eq!(ring.read(), ((199_992..200_000).map(span).collect(), 199_992));
    }
}
