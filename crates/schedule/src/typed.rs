//! Columns of a Rust job by the component's type.

use peristyle_jobs::{AccessError, Lent, RustCall};
use peristyle_layout::Scalar;
use peristyle_world::{Columnar, SlicesMutOf, SlicesOf};

use crate::context::ColumnComponent;

/// What a [`RustCall`] gives to who has the component as a Rust type.
///
/// ```
/// use peristyle_jobs::RustJob;
/// use peristyle_schedule::{ByType, Job, System};
/// # use peristyle_world::Component;
/// # #[derive(Component, Clone, Copy)]
/// # struct Position { x: f32 }
/// # #[derive(Component, Clone, Copy)]
/// # struct Velocity { x: f32 }
///
/// let job = RustJob::new("move", |call| {
///     let (velocity, position) = (call.get::<Velocity>()?, call.get_mut::<Position>()?);
///     position.x.iter_mut().zip(velocity.x).for_each(|(x, v)| *x += v);
///     call.marks("Position")?.mark_all();
///     Ok(())
/// });
/// let system = System::new("move").job(Job::new(job).reads::<Velocity>().writes::<Position>());
/// ```
pub trait ByType<'a> {
    /// A component's columns, to read.
    ///
    /// # Errors
    /// [`AccessError`], also if the component of that name has other columns than `C`.
    fn get<C: ColumnComponent>(&mut self) -> Result<SlicesOf<'a, C>, AccessError>;

    /// A component's columns, to write.
    ///
    /// # Errors
    /// As [`ByType::get`].
    fn get_mut<C: ColumnComponent>(&mut self) -> Result<SlicesMutOf<'a, C>, AccessError>;
}

impl<'a> ByType<'a> for RustCall<'a> {
    fn get<C: ColumnComponent>(&mut self) -> Result<SlicesOf<'a, C>, AccessError> {
        let columns = self.columns(C::NAME)?;
        check::<C>(columns)?;
        // SAFETY: the columns were checked to be those of `C`. The lease makes them readable during `'a`, with as many
        // elements as there are rows; by the call's books nobody got them to write.
        Ok(unsafe { C::slices_at(&mut walk(columns), self.rows()) })
    }

    fn get_mut<C: ColumnComponent>(&mut self) -> Result<SlicesMutOf<'a, C>, AccessError> {
        let columns = self.columns_mut(C::NAME)?;
        check::<C>(columns)?;
        // SAFETY: as above; the lease makes them the call's alone, and its books give them out once.
        Ok(unsafe { C::slices_mut_at(&mut walk(columns), self.rows()) })
    }
}

/// Gives the addresses of columns, one after the other.
fn walk(columns: &[Lent]) -> impl FnMut(Scalar) -> *mut u8 {
    let mut columns = columns.iter();
    move |_| columns.next().expect("columns were counted").ptr.as_ptr()
}

/// Checks that the columns are those of `C`: as many, with the same scalars.
fn check<C: Columnar + peristyle_world::Component>(columns: &[Lent]) -> Result<(), AccessError> {
    if columns.len() != C::COLUMNS {
        let (has, asked) = (columns.len(), C::COLUMNS);
        return Err(AccessError::WrongColumns { name: C::NAME.to_owned(), has, asked });
    }
    let (mut at, mut wrong) = (0, None);
    let mut look = |asked: Scalar| {
        let holds = columns[at].scalar;
        if holds != asked && wrong.is_none() {
            wrong = Some((at, holds, asked));
        }
        at += 1;
        std::ptr::without_provenance_mut(peristyle_layout::chunk::ALIGN)
    };
    // SAFETY: slices of no rows, at an address that is aligned for every scalar.
    let _ = unsafe { C::slices_at(&mut look, 0) };
    match wrong {
        None => Ok(()),
        Some((at, holds, asked)) => {
            let mut fields = Vec::new();
            C::fields("", &mut fields);
            let field = fields.get(at).map_or_else(String::new, |field| field.name.to_string());
            Err(AccessError::WrongType { name: C::NAME.to_owned(), field, holds, asked })
        }
    }
}
