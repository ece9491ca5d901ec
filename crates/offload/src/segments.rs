//! Which table holds which rows of a snapshot: for worlds that keep their entities in tables.

use std::ops::Range;

/// Consecutive rows of a snapshot, table after table.
#[derive(Debug, Clone)]
pub struct Segments<T> {
    /// First row and table.
    list: Vec<(usize, T)>,
    rows: usize,
}

impl<T> Default for Segments<T> {
    fn default() -> Segments<T> {
        Segments { list: Vec::new(), rows: 0 }
    }
}

impl<T: Copy> Segments<T> {
    /// Forgets all, and keeps the room for as many.
    pub fn clear(&mut self) {
        self.list.clear();
        self.rows = 0;
    }

    /// Adds the first `rows` rows of a table; nothing if there are none.
    pub fn push(&mut self, table: T, rows: usize) {
        if rows > 0 {
            self.list.push((self.rows, table));
            self.rows += rows;
        }
    }

    /// Rows of all tables.
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn end(&self, segment: usize) -> usize {
        self.list.get(segment + 1).map_or(self.rows, |(first, _)| *first)
    }

    /// The segment that holds `row`, which is below the number of rows.
    fn find(&self, row: usize) -> usize {
        self.list.partition_point(|(first, _)| *first <= row) - 1
    }

    /// Calls `f` for each table that has some of `rows`: the table, its rows, and where they are among `rows`.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn for_each(&self, rows: Range<usize>, mut f: impl FnMut(T, Range<usize>, Range<usize>)) {
        assert!(rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        let mut row = rows.start;
        while row < rows.end {
            let segment = self.find(row);
            let ((first, table), end) = (self.list[segment], self.end(segment).min(rows.end));
            f(table, row - first..end - first, row - rows.start..end - rows.start);
            row = end;
        }
    }

    /// Calls `f` for each table that has some of `rows`, which ascend: the table, the snapshot's row at which it starts,
    /// and those rows.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn for_each_run(&self, rows: &[u32], mut f: impl FnMut(T, u32, &[u32])) {
        let mut rest = rows;
        while let Some(&row) = rest.first() {
            assert!((row as usize) < self.rows, "row {row} of {}", self.rows);
            let segment = self.find(row as usize);
            let ((first, table), end) = (self.list[segment], self.end(segment));
            let (run, others) = rest.split_at(rest.partition_point(|&row| (row as usize) < end));
            f(table, first as u32, run);
            rest = others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Segments<char> {
        let mut segments = Segments::default();
        for (table, rows) in [('a', 3), ('b', 0), ('c', 1), ('d', 4)] {
            segments.push(table, rows);
        }
        segments
    }

    #[test]
    fn ranges_are_cut_at_tables() {
        let cut = |rows| {
            let mut cut = Vec::new();
            segments().for_each(rows, |table, of_table, of_range| cut.push((table, of_table, of_range)));
            cut
        };
        assert_eq!(cut(0..8), [('a', 0..3, 0..3), ('c', 0..1, 3..4), ('d', 0..4, 4..8)]);
        assert_eq!(cut(2..5), [('a', 2..3, 0..1), ('c', 0..1, 1..2), ('d', 0..1, 2..3)]);
        assert_eq!(cut(6..7), [('d', 2..3, 0..1)]);
        assert_eq!(cut(8..8), []);
    }

    #[test]
    fn lists_are_cut_at_tables() {
        let mut runs = Vec::new();
        segments().for_each_run(&[0, 2, 4, 7], |table, first, rows| runs.push((table, first, rows.to_vec())));
        assert_eq!(runs, [('a', 0, vec![0, 2]), ('d', 4, vec![4, 7])]);
    }

    #[test]
    #[should_panic(expected = "rows 7..9 of 8")]
    fn rows_beyond_the_end_are_refused() {
        segments().for_each(7..9, |_, _, _| ());
    }
}
