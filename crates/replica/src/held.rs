//! What both ends of a stream hold after the same frame: entities by row, and the codes of their fields.
//!
//! The host's is what it has sent, not what the world is; the client's is what it took in. After the same frames both are
//! equal, bit for bit, which [`Held::hash`] proves.
//!
//! # Rules
//! - A row is free, or an entity's with a mask of the components it has in view. Rows are named when an entity enters; the
//!   lowest free one is taken, so that a view stays dense.
//! - A field's code is 0 where the row does not have its component. When a component is gained, its difference is to 0.

use std::ops::Range;

use peristyle_world::Entity;

use crate::pack::Word;
use crate::rows::RowSet;
use crate::schema::{FieldSchema, Predictor, Schema};

/// One field's codes by row, and their last differences if it is predicted by them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column<W> {
    pub(crate) codes: Vec<W>,
    pub(crate) velocity: Vec<W>,
    way: Way,
}

/// How a code follows from a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is the difference.
    Plain,
    /// The difference is added to the last code.
    Add,
    /// It is added to the last code and the last difference.
    AddTwice,
    /// Bits that differ from the last code's.
    Xor,
}

impl<W: Word> Column<W> {
    fn new(field: &FieldSchema) -> Column<W> {
        let way = match field.predictor {
            Predictor::None => Way::Plain,
            _ if field.is_bits() => Way::Xor,
            _ if field.is_linear() => Way::AddTwice,
            _ => Way::Add,
        };
        Column { codes: Vec::new(), velocity: Vec::new(), way }
    }

    fn grow(&mut self, rows: usize) {
        if self.codes.len() < rows {
            self.codes.resize(rows, W::default());
            if self.way == Way::AddTwice {
                self.velocity.resize(rows, W::default());
            }
        }
    }

    fn clear(&mut self) {
        self.codes.clear();
        self.velocity.clear();
    }

    /// Forgets what a row had.
    fn reset(&mut self, row: usize) {
        self.codes[row] = W::default();
        if let Some(velocity) = self.velocity.get_mut(row) {
            *velocity = W::default();
        }
    }

    /// Moves row after row on to `next`; gives the differences in `out`.
    pub(crate) fn advance(&mut self, rows: &RowSet, high: usize, next: &[W], out: &mut Vec<W>) {
        out.clear();
        if rows.is_full(high) {
            return self.advance_run(0..high, next, out);
        }
        // Where some rows come and go, most words of the set are whole all the same.
        rows.for_each_run(|run| self.advance_run(run, next, out));
    }

    /// The same for neighbours: loops that become vector instructions where there are many.
    #[inline(always)]
    fn advance_run(&mut self, rows: Range<usize>, next: &[W], out: &mut Vec<W>) {
        let (codes, next) = (&mut self.codes[rows.clone()], &next[rows.clone()]);
        match self.way {
            Way::Plain => out.extend_from_slice(next),
            Way::Add => out.extend(next.iter().zip(&*codes).map(|(next, code)| next.less(*code))),
            Way::Xor => out.extend(next.iter().zip(&*codes).map(|(next, code)| next.xor(*code))),
            Way::AddTwice => {
                let velocity = &mut self.velocity[rows];
                out.extend(next.iter().zip(&*codes).zip(velocity).map(|((next, code), velocity)| {
                    let difference = next.less(*code);
                    let surprise = difference.less(*velocity);
                    *velocity = difference;
                    surprise
                }));
            }
        }
        codes.copy_from_slice(next);
    }

    /// Takes in the difference of a row.
    #[inline(always)]
    pub(crate) fn follow(&mut self, row: usize, difference: W) {
        let code = self.codes[row];
        self.codes[row] = match self.way {
            Way::Plain => difference,
            Way::Add => code.plus(difference),
            Way::Xor => code.xor(difference),
            Way::AddTwice => {
                let velocity = &mut self.velocity[row];
                *velocity = velocity.plus(difference);
                code.plus(*velocity)
            }
        };
    }

    /// Takes in the differences of the first rows, all of them.
    pub(crate) fn follow_all(&mut self, differences: &[W]) {
        let codes = &mut self.codes[..differences.len()];
        match self.way {
            Way::Plain => codes.copy_from_slice(differences),
            Way::Add => codes.iter_mut().zip(differences).for_each(|(code, by)| *code = code.plus(*by)),
            Way::Xor => codes.iter_mut().zip(differences).for_each(|(code, by)| *code = code.xor(*by)),
            Way::AddTwice => (0..differences.len()).for_each(|row| self.follow(row, differences[row])),
        }
    }
}

/// A column of 32-bit or of 64-bit codes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Codes {
    Narrow(Column<u32>),
    Wide(Column<u64>),
}

/// Does the same with a column of either width.
macro_rules! with_column {
    ($codes:expr, $column:ident => $body:expr) => {
        match $codes {
            Codes::Narrow($column) => $body,
            Codes::Wide($column) => $body,
        }
    };
}

impl Codes {
    pub(crate) fn new(field: &FieldSchema) -> Codes {
        if field.is_wide() { Codes::Wide(Column::new(field)) } else { Codes::Narrow(Column::new(field)) }
    }

    pub(crate) fn grow(&mut self, rows: usize) {
        with_column!(self, column => column.grow(rows));
    }
}

/// Everything that one end holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    /// By row; 0 for a free one.
    pub(crate) entities: Vec<u64>,
    /// By row, which components of the schema it has.
    pub(crate) masks: Vec<u32>,
    pub(crate) live: RowSet,
    /// By component, which rows have it.
    pub(crate) has: Vec<RowSet>,
    /// By component and field.
    pub(crate) columns: Vec<Vec<Codes>>,
}

impl Held {
    pub(crate) fn new(schema: &Schema) -> Held {
        let components = schema.components();
        Held {
            entities: Vec::new(),
            masks: Vec::new(),
            live: RowSet::default(),
            has: components.iter().map(|_| RowSet::default()).collect(),
            columns: components.iter().map(|component| component.fields.iter().map(Codes::new).collect()).collect(),
        }
    }

    /// Rows that are or were in use: all are below.
    pub(crate) fn high(&self) -> usize {
        self.entities.len()
    }

    /// Makes room for rows below `high`.
    pub(crate) fn grow(&mut self, high: usize) {
        if high <= self.entities.len() {
            return;
        }
        self.entities.resize(high, 0);
        self.masks.resize(high, 0);
        self.live.grow(high);
        self.has.iter_mut().for_each(|has| has.grow(high));
        self.columns.iter_mut().flatten().for_each(|codes| codes.grow(high));
    }

    /// Frees every row, and forgets how many there were.
    pub(crate) fn clear(&mut self) {
        for row in 0..self.high() {
            if self.entities[row] != 0 {
                self.leave(row);
            }
        }
        self.entities.clear();
        self.masks.clear();
        self.columns.iter_mut().flatten().for_each(|codes| with_column!(codes, column => column.clear()));
    }

    pub(crate) fn entity(&self, row: usize) -> Option<Entity> {
        let bits = *self.entities.get(row)?;
        if bits == 0 { None } else { Entity::from_f64(bits as f64).ok() }
    }

    pub(crate) fn enter(&mut self, row: usize, entity: u64, mask: u32) {
        self.entities[row] = entity;
        self.live.set(row);
        self.set_mask(row, mask);
    }

    pub(crate) fn leave(&mut self, row: usize) {
        self.set_mask(row, 0);
        self.entities[row] = 0;
        self.live.unset(row);
    }

    /// Gives a row other components. Codes of those that it loses are forgotten.
    pub(crate) fn set_mask(&mut self, row: usize, mask: u32) {
        let before = std::mem::replace(&mut self.masks[row], mask);
        for component in bits(before & !mask) {
            self.has[component].unset(row);
            self.columns[component].iter_mut().for_each(|codes| with_column!(codes, column => column.reset(row)));
        }
        for component in bits(mask & !before) {
            self.has[component].set(row);
        }
    }

    /// A hash of everything in view: rows, entities, masks, codes. FNV-1a over 64-bit words, in order of rows and then of
    /// columns.
    pub(crate) fn hash(&self) -> u64 {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |word: u64| hash = (hash ^ word).wrapping_mul(PRIME).rotate_left(23);
        self.live.for_each(|row| {
            eat(row as u64);
            eat(self.entities[row]);
            eat(self.masks[row].into());
        });
        for (has, columns) in self.has.iter().zip(&self.columns) {
            for codes in columns {
                with_column!(codes, column => has.for_each(|row| eat(column.codes[row].bits())));
            }
        }
        hash
    }
}

/// The numbers of the bits set in a mask.
pub(crate) fn bits(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let bit = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            bit
        })
    })
}
