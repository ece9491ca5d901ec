//! Values between two received ticks.
//!
//! A host ticks at its own rate, a page draws at another. An [`Interpolation`] keeps, for chosen fields of a view-world,
//! where each row was and where it is now; in between it gives values on the straight line. It is one tick behind.

use crate::view_world::{Value, ViewWorld};

/// Follows fields of a view-world.
#[derive(Debug, Default)]
pub struct Interpolation {
    fields: Vec<Field>,
    /// Rows that moved in the last tick: they must come to rest in the next, if that has nothing of them.
    moved: Vec<Vec<u32>>,
}

#[derive(Debug)]
struct Field {
    component: String,
    name: String,
    from: Vec<f32>,
    to: Vec<f32>,
}

impl Interpolation {
    /// Follows these fields, each a component's and its own name. Fields that the view-world lacks or that are no `f32` or
    /// `f64` stay empty.
    pub fn of<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Interpolation {
        let field = |(component, name): (&str, &str)| Field {
            component: component.to_owned(),
            name: name.to_owned(),
            from: Vec::new(),
            to: Vec::new(),
        };
        let fields: Vec<Field> = fields.into_iter().map(field).collect();
        Interpolation { moved: fields.iter().map(|_| Vec::new()).collect(), fields }
    }

    /// Takes in what the view-world shows now: call it after each frame that was applied. Rows that are new start where
    /// they are. Costs a look at what moved.
    pub fn advance(&mut self, world: &ViewWorld) {
        for (field, moved) in self.fields.iter_mut().zip(&mut self.moved) {
            for row in moved.drain(..) {
                field.from[row as usize] = field.to[row as usize];
            }
            let Some(component) = world.schema().component(&field.component) else { continue };
            let rows = world.rows();
            field.from.resize(rows.max(field.from.len()), 0.0);
            field.to.resize(rows.max(field.to.len()), 0.0);
            if let Some(values) = world.column::<f32>(&field.component, &field.name) {
                field.follow(world.changed(component), moved, values, |value| value);
            } else if let Some(values) = world.column::<f64>(&field.component, &field.name) {
                field.follow(world.changed(component), moved, values, |value| value as f32);
            }
            for row in world.added() {
                field.from[*row as usize] = field.to[*row as usize];
            }
        }
    }

    /// The value of a row, `part` of the way from the tick before the last one (0) to the last one (1); none if the field
    /// is not followed or the row is beyond the view's.
    pub fn value(&self, field: usize, row: usize, part: f32) -> Option<f32> {
        let field = self.fields.get(field)?;
        let (from, to) = (*field.from.get(row)?, *field.to.get(row)?);
        Some(from + (to - from) * part)
    }

    /// Writes the values of all rows to `out`, as many as it has.
    ///
    /// # Panics
    /// If there is no such field.
    pub fn sample(&self, field: usize, part: f32, out: &mut [f32]) {
        let field = &self.fields[field];
        let ends = field.from.iter().zip(&field.to);
        out.iter_mut().zip(ends).for_each(|(out, (from, to))| *out = from + (to - from) * part);
    }
}

impl Field {
    fn follow<T: Value>(&mut self, changed: &[u64], moved: &mut Vec<u32>, values: &[T], number: impl Fn(T) -> f32) {
        for (word, bits) in changed.iter().enumerate() {
            peristyle_memory::bits::for_each_one(*bits, word * 64, |row| {
                self.from[row] = self.to[row];
                self.to[row] = number(values[row]);
                moved.push(row as u32);
            });
        }
    }
}
