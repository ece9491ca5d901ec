//! A client that runs ahead of its host.
//!
//! What a client does to its own entities should show at once, not a round trip later. So the client keeps a small world of
//! its own with the components that it predicts of the entities that are its, and runs the same systems as the host on
//! them, with its own inputs. Inputs are numbered, and sent to the host; a frame says which of them the host had taken in.
//! Then the client rewinds to what the host says, replays the inputs since, and reports what that corrected.
//!
//! # Rules
//! - Between a frame and the next input the predicted world is the host's state plus the inputs that the host has not
//!   seen, whatever was shown before.
//! - Inputs wait in a bounded list; a client that is not answered for so long stops predicting, and is told.
//! - Systems are functions of the world and an input: what else they look at is not rewound.

use std::collections::VecDeque;

use peristyle_world::{Columnar, Columns, Component, ComponentId, Entity, Scalar, World, WorldError};

use crate::view_world::ViewWorld;

/// How many inputs wait for the host's answer at most, unless told otherwise: two seconds at 60 a second.
const INPUTS_MAX: usize = 120;

/// Why nothing was predicted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// The host has not answered for so long that predicting on would be guessing.
    #[error("{inputs} inputs wait for the host's answer: nothing more is predicted until it comes")]
    TooFarAhead {
        /// How many.
        inputs: usize,
    },
    /// The view has no such component, or other fields of it.
    #[error("component `{component}` cannot be predicted: {why}")]
    Component {
        /// The component.
        component: String,
        /// What keeps it.
        why: &'static str,
    },
    /// The predicted world refused.
    #[error(transparent)]
    World(#[from] WorldError),
}

/// A field of a predicted component.
#[derive(Debug)]
struct Field {
    /// Position in the world's component.
    at: usize,
    name: String,
    scalar: Scalar,
}

#[derive(Debug)]
struct Predicted {
    name: String,
    id: ComponentId,
    fields: Vec<Field>,
}

/// An entity that is predicted.
#[derive(Debug, Clone, Copy)]
struct Own {
    /// As the host and the view name it.
    host: Entity,
    /// Its row in the view.
    row: u32,
    /// As the predicted world names it.
    local: Entity,
}

/// A value that the host saw otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correction {
    /// The entity, as the host names it.
    pub entity: Entity,
    /// The component, in order of [`Prediction::predict`].
    pub component: usize,
    /// The field, in order of the view's schema.
    pub field: usize,
    /// What was shown.
    pub before: f64,
    /// What is right, with the inputs since replayed.
    pub after: f64,
}

/// A client's own entities, ahead of the host.
pub struct Prediction<I> {
    world: World,
    predicted: Vec<Predicted>,
    own: Vec<Own>,
    inputs: VecDeque<(u64, I)>,
    inputs_max: usize,
    next: u64,
    before: Vec<f64>,
    corrections: Vec<Correction>,
}

impl<I> Prediction<I> {
    /// Predicts in this world, which holds nothing yet but perhaps resources that systems need.
    pub fn new(world: World) -> Prediction<I> {
        Prediction {
            world,
            predicted: Vec::new(),
            own: Vec::new(),
            inputs: VecDeque::new(),
            inputs_max: INPUTS_MAX,
            next: 1,
            before: Vec::new(),
            corrections: Vec::new(),
        }
    }

    /// Lets so many inputs wait for the host's answer: 120 unless told.
    pub fn set_inputs_max(&mut self, inputs: usize) {
        self.inputs_max = inputs;
    }

    /// Predicts a component of the view. Fields that the view does not show stay as the systems leave them.
    ///
    /// # Errors
    /// [`PredictError::Component`].
    pub fn predict<C>(&mut self, view: &ViewWorld) -> Result<(), PredictError>
    where
        C: Component<Storage = Columns<C>> + Columnar,
    {
        let refused = |why| PredictError::Component { component: C::NAME.to_owned(), why };
        let at = view.schema().component(C::NAME).ok_or_else(|| refused("the view does not show it"))?;
        let id = self.world.register::<C>();
        let known = self.world.components().info(id).fields().to_vec();
        let mut fields = Vec::new();
        for field in &view.schema().components()[at].fields {
            let at = known.iter().position(|known| known.name == field.name && known.scalar == field.scalar);
            let at = at.ok_or_else(|| refused("its fields are others than the host's"))?;
            if matches!(field.scalar, Scalar::I64 | Scalar::U64) {
                return Err(refused("64-bit integers are not predicted"));
            }
            fields.push(Field { at, name: field.name.clone(), scalar: field.scalar });
        }
        self.predicted.push(Predicted { name: C::NAME.to_owned(), id, fields });
        Ok(())
    }

    /// Predicts an entity from now on, and gives its handle in the predicted world; none if it is not in view.
    ///
    /// # Errors
    /// [`PredictError::World`]: out of memory.
    pub fn follow(&mut self, view: &ViewWorld, entity: Entity) -> Result<Option<Entity>, PredictError> {
        if let Some(own) = self.own.iter().find(|own| own.host == entity) {
            return Ok(Some(own.local));
        }
        let Some(row) = (0..view.rows()).find(|row| view.entity(*row) == Some(entity)) else { return Ok(None) };
        let ids: Vec<ComponentId> = self.predicted.iter().map(|predicted| predicted.id).collect();
        let local = self.world.spawn_ids(&ids, 1)?.iter().next();
        let Some(local) = local else { return Ok(None) };
        let own = Own { host: entity, row: row as u32, local };
        self.own.push(own);
        // The others stay ahead.
        take_host_state(&mut self.world, &self.predicted, &[own], view)?;
        Ok(Some(local))
    }

    /// The predicted world: read it to draw; systems write it in [`Prediction::input`].
    pub fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// How an entity of the host is named in the predicted world.
    pub fn local(&self, entity: Entity) -> Option<Entity> {
        self.own.iter().find(|own| own.host == entity).map(|own| own.local)
    }

    /// Inputs that the host has not answered.
    pub fn waiting(&self) -> usize {
        self.inputs.len()
    }

    /// Runs one tick ahead with an input, and gives the input's number, to be sent with it to the host.
    ///
    /// # Errors
    /// [`PredictError::TooFarAhead`]; nothing was run then.
    pub fn input(&mut self, input: I, step: impl FnOnce(&mut World, &I)) -> Result<u64, PredictError> {
        if self.inputs.len() >= self.inputs_max {
            return Err(PredictError::TooFarAhead { inputs: self.inputs.len() });
        }
        let number = self.next;
        self.next += 1;
        step(&mut self.world, &input);
        self.inputs.push_back((number, input));
        Ok(number)
    }

    /// Takes in what the view shows after a frame that has the host's state with all inputs up to `acknowledged`: rewinds
    /// to it, replays the inputs since, and gives what that corrected. Entities that left the view are followed no more.
    ///
    /// # Errors
    /// [`PredictError::World`].
    pub fn reconcile(
        &mut self,
        view: &ViewWorld,
        acknowledged: u64,
        mut step: impl FnMut(&mut World, &I),
    ) -> Result<&[Correction], PredictError> {
        let Prediction { own, world, .. } = self;
        own.retain(|own| {
            let is_in_view = view.entity(own.row as usize) == Some(own.host);
            // A local entity that is gone already is what was wanted.
            is_in_view || world.despawn(own.local).is_err()
        });
        let mut before = std::mem::take(&mut self.before);
        before.clear();
        self.for_each_value(|_, _, _, value| before.push(value))?;
        while self.inputs.front().is_some_and(|(number, _)| *number <= acknowledged) {
            self.inputs.pop_front();
        }
        take_host_state(&mut self.world, &self.predicted, &self.own, view)?;
        for (_, input) in &self.inputs {
            step(&mut self.world, input);
        }
        let mut corrections = std::mem::take(&mut self.corrections);
        corrections.clear();
        let mut shown = before.iter();
        self.for_each_value(|entity, component, field, after| {
            if let Some(before) = shown.next()
                && *before != after
            {
                corrections.push(Correction { entity, component, field, before: *before, after });
            }
        })?;
        self.before = before;
        self.corrections = corrections;
        Ok(&self.corrections)
    }

    /// Calls `f` with each predicted value: entity, component, field and value, always in the same order.
    fn for_each_value(&self, mut f: impl FnMut(Entity, usize, usize, f64)) -> Result<(), WorldError> {
        for own in &self.own {
            for (component, predicted) in self.predicted.iter().enumerate() {
                for (field, Field { at, scalar, .. }) in predicted.fields.iter().enumerate() {
                    let (world, local, id) = (&self.world, own.local, predicted.id);
                    let value = match scalar {
                        Scalar::F32 => world.get_field::<f32>(local, id, *at)?.into(),
                        Scalar::F64 => world.get_field::<f64>(local, id, *at)?,
                        Scalar::I8 => world.get_field::<i8>(local, id, *at)?.into(),
                        Scalar::U8 => world.get_field::<u8>(local, id, *at)?.into(),
                        Scalar::I16 => world.get_field::<i16>(local, id, *at)?.into(),
                        Scalar::U16 => world.get_field::<u16>(local, id, *at)?.into(),
                        Scalar::I32 => world.get_field::<i32>(local, id, *at)?.into(),
                        Scalar::U32 => world.get_field::<u32>(local, id, *at)?.into(),
                        Scalar::Bool => {
                            f64::from(u8::from(bool::from(world.get_field::<peristyle_world::Bool>(local, id, *at)?)))
                        }
                        // Refused by `predict`.
                        Scalar::I64 | Scalar::U64 => continue,
                    };
                    f(own.host, component, field, value);
                }
            }
        }
        Ok(())
    }
}

/// Sets the predicted values of some entities to the view's.
fn take_host_state(
    world: &mut World,
    predicted: &[Predicted],
    own: &[Own],
    view: &ViewWorld,
) -> Result<(), WorldError> {
    for Predicted { name, id, fields } in predicted {
        for Field { at, name: field, scalar } in fields {
            macro_rules! take {
                ($type:ty, $element:ty) => {{
                    let Some(values) = view.column::<$type>(name, field) else { continue };
                    for own in own {
                        world.set_field::<$element>(own.local, *id, *at, values[own.row as usize].into())?;
                    }
                }};
            }
            match scalar {
                Scalar::F32 => take!(f32, f32),
                Scalar::F64 => take!(f64, f64),
                Scalar::I8 => take!(i8, i8),
                Scalar::U8 => take!(u8, u8),
                Scalar::I16 => take!(i16, i16),
                Scalar::U16 => take!(u16, u16),
                Scalar::I32 => take!(i32, i32),
                Scalar::U32 => take!(u32, u32),
                Scalar::Bool => take!(bool, peristyle_world::Bool),
                // Refused by `predict`.
                Scalar::I64 | Scalar::U64 => {}
            }
        }
    }
    Ok(())
}
