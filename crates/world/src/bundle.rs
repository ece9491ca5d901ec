//! Bundles: the components an entity is spawned with, or given at once.

use std::any::TypeId;

use peristyle_layout::Entity;

use crate::{
    columnar::{Base, Columnar},
    component::{Component, ComponentId, Components, SlicesMutOf, Storage},
};

/// A component or a tuple of bundles (up to twelve).
///
/// # Safety
/// `declare` appends exactly [`Bundle::COUNT`] components, and `write` writes those, in that order.
pub unsafe trait Bundle: Send + Sync + Sized + 'static {
    /// Number of components.
    const COUNT: usize;

    /// Appends the components' numbers, registering what is new.
    fn declare(components: &mut Components, out: &mut Vec<ComponentId>);

    /// Writes the values to one row.
    ///
    /// # Safety
    /// `bases` has where each declared component starts in one live chunk, and `row`, below its capacity, holds no value
    /// of them.
    unsafe fn write(self, bases: &[Base], row: usize);

    /// Replaces the entity handles in the values.
    fn remap(&mut self, map: &mut dyn FnMut(Entity) -> Entity);
}

// SAFETY: one component, written by its own storage.
unsafe impl<C: Component> Bundle for C {
    const COUNT: usize = 1;

    fn declare(components: &mut Components, out: &mut Vec<ComponentId>) {
        out.push(components.register::<C>());
    }
    #[inline(always)]
    unsafe fn write(self, bases: &[Base], row: usize) {
        // SAFETY: the caller's duties, for the only component.
        unsafe { C::Storage::write(self, bases[0], row) }
    }
    fn remap(&mut self, map: &mut dyn FnMut(Entity) -> Entity) {
        C::Storage::remap(self, map);
    }
}

/// A bundle whose components all lie in columns, so that they can be filled in place.
pub trait ColumnarBundle: Bundle {
    /// The components' columns, to write.
    type SlicesMut<'a>;

    /// The columns' rows.
    ///
    /// # Safety
    /// `bases` has where each declared component starts in one live chunk; `rows` are below its capacity, and nobody else
    /// uses them during `'a`.
    unsafe fn slices_mut<'a>(bases: &[Base], rows: std::ops::Range<usize>) -> Self::SlicesMut<'a>;
}

impl<C: Component + Columnar> ColumnarBundle for C
where
    C: Component<Storage = crate::component::Columns<C>>,
{
    type SlicesMut<'a> = SlicesMutOf<'a, C>;

    #[inline(always)]
    unsafe fn slices_mut<'a>(bases: &[Base], rows: std::ops::Range<usize>) -> Self::SlicesMut<'a> {
        // SAFETY: the caller's duties, for the only component.
        unsafe { <C as Component>::Storage::slices_mut(bases[0], rows) }
    }
}

macro_rules! tuples {
    ($(($($name:ident),*))*) => {$(
        // SAFETY: the parts declare and write their own components, each with its own part of the bases.
        unsafe impl<$($name: Bundle),*> Bundle for ($($name,)*) {
            const COUNT: usize = 0 $(+ $name::COUNT)*;

            fn declare(components: &mut Components, out: &mut Vec<ComponentId>) {
                let _ = (&components, &out);
                $($name::declare(components, out);)*
            }
            #[inline(always)]
            #[allow(non_snake_case)]
            unsafe fn write(self, bases: &[Base], row: usize) {
                let ($($name,)*) = self;
                let _ = (bases, row);
                $(
                    let (own, bases) = bases.split_at(<$name as Bundle>::COUNT);
                    // SAFETY: the caller's duties, for this part's components.
                    unsafe { $name.write(own, row) };
                    let _ = bases;
                )*
            }
            #[allow(non_snake_case)]
            fn remap(&mut self, map: &mut dyn FnMut(Entity) -> Entity) {
                let ($($name,)*) = self;
                let _ = &map;
                $($name.remap(map);)*
            }
        }

        impl<$($name: ColumnarBundle),*> ColumnarBundle for ($($name,)*) {
            type SlicesMut<'a> = ($($name::SlicesMut<'a>,)*);

            #[inline(always)]
            #[allow(non_snake_case, clippy::unused_unit)]
            unsafe fn slices_mut<'a>(bases: &[Base], rows: std::ops::Range<usize>) -> Self::SlicesMut<'a> {
                let _ = (bases, &rows);
                $(
                    let (own, bases) = bases.split_at(<$name as Bundle>::COUNT);
                    // SAFETY: the caller's duties, for this part's components.
                    let $name = unsafe { <$name as ColumnarBundle>::slices_mut(own, rows.clone()) };
                    let _ = bases;
                )*
                ($($name,)*)
            }
        }
    )*};
}

tuples! {
    ()
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, F)
    (A, B, C, D, E, F, G)
    (A, B, C, D, E, F, G, H)
    (A, B, C, D, E, F, G, H, I)
    (A, B, C, D, E, F, G, H, I, J)
    (A, B, C, D, E, F, G, H, I, J, K)
    (A, B, C, D, E, F, G, H, I, J, K, L)
}

/// The numbers of a bundle's components, checked.
///
/// # Panics
/// If a component is in the bundle twice.
pub(crate) fn components_of<B: Bundle>(components: &mut Components) -> Box<[ComponentId]> {
    let mut declared = Vec::with_capacity(B::COUNT);
    B::declare(components, &mut declared);
    for (index, id) in declared.iter().enumerate() {
        assert!(!declared[..index].contains(id), "component `{}` is twice in a bundle", components.info(*id).name());
    }
    declared.into()
}

/// Key of a bundle type in the world's cache.
pub(crate) fn key<B: Bundle>() -> TypeId {
    TypeId::of::<B>()
}
