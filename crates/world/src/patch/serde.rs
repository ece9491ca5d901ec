//! Values of opaque components, by their `serde`.

use std::fmt::Display;

use peristyle_layout::{Entity, PatchKind, PatchRecord};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{PatchError, PatchValue};
use crate::{
    component::{Component, ComponentId, Kind, Opaque},
    world::World,
};

/// What is known of an opaque component's `serde`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SerdeFns {
    set: fn(&mut World, Entity, &str) -> Result<(), PatchError>,
    add: fn(&mut World, Entity, &str) -> Result<(), PatchError>,
    get: fn(&World, Entity) -> Result<Value, PatchError>,
}

fn refused<C: Component>(error: impl Display) -> PatchError {
    PatchError::Value { component: C::NAME.to_owned(), message: error.to_string() }
}

impl World {
    /// Lets values of an opaque component cross as JSON: in patches, and in what undoes them.
    pub fn register_serde<C: Component<Storage = Opaque<C>> + Serialize + DeserializeOwned>(&mut self) -> ComponentId {
        fn read<C: Component + DeserializeOwned>(text: &str) -> Result<C, PatchError> {
            serde_json::from_str(text).map_err(refused::<C>)
        }
        let fns = SerdeFns {
            set: |world, entity, text| Ok(world.set(entity, read::<C>(text)?)?),
            add: |world, entity, text| Ok(world.insert(entity, read::<C>(text)?)?),
            get: |world, entity| serde_json::to_value(world.get::<C>(entity)?).map_err(refused::<C>),
        };
        let component = self.register::<C>();
        self.components.set_serde(component, fns);
        component
    }

    fn serde_of(&self, component: ComponentId) -> Result<SerdeFns, PatchError> {
        let info = self.components.info(component);
        info.serde().ok_or_else(|| PatchError::NoSerde(info.name().to_owned()))
    }

    /// Applies a set or an add whose value is a text.
    pub(super) fn patch_opaque(
        &mut self,
        entity: Entity,
        component: ComponentId,
        record: &PatchRecord<'_>,
    ) -> Result<(), PatchError> {
        let serde = self.serde_of(component)?;
        let text = std::str::from_utf8(record.value.bytes()).unwrap_or_default();
        if record.kind == PatchKind::Set { (serde.set)(self, entity, text) } else { (serde.add)(self, entity, text) }
    }

    /// The value of an entity's component, as a patch would set it: packed if it lies in columns, else as its `serde` has
    /// it.
    ///
    /// # Errors
    /// [`PatchError::World`] if the entity is gone or lacks it, [`PatchError::NoSerde`], [`PatchError::Value`].
    ///
    /// # Panics
    /// If the number is another world's.
    pub fn patch_value(&self, entity: Entity, component: ComponentId) -> Result<PatchValue, PatchError> {
        let Some(at) = self.find(entity, component) else {
            return Err(self.why_not(entity, self.components.info(component).name()).into());
        };
        let Kind::Columnar(_) = self.components.info(component).kind() else {
            return Ok(PatchValue::Json((self.serde_of(component)?.get)(self, entity)?));
        };
        let mut packed = Vec::new();
        for field in at.table.fields(at.column) {
            let element = at.table.element(at.chunk, field, at.row);
            // SAFETY: the row is in use, and `&self` keeps writers away.
            packed.extend_from_slice(unsafe { std::slice::from_raw_parts(element, field.scalar.size()) });
        }
        Ok(PatchValue::Packed(packed))
    }
}
