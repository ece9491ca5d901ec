//! Prefabs: recipes for entities, with values by index and overrides.

use std::sync::Arc;

use peristyle_layout::Entity;

use crate::{bundle::Bundle, error::WorldError, world::World};

type Step = Arc<dyn Fn(&mut World, Entity, usize) -> Result<(), WorldError> + Send + Sync>;

/// A named recipe: components with fixed values, or values that depend on the entity's number among those spawned.
///
/// ```
/// use peristyle_world::{Component, Prefab, World};
///
/// #[derive(Component, Clone, Copy)]
/// struct Position { x: f32 }
/// #[derive(Component, Clone, Copy)]
/// struct Health { points: u32 }
///
/// let enemy = Prefab::new("enemy").with(Health { points: 10 }).with_each(|i| Position { x: i as f32 });
/// let mut world = World::new()?;
/// let boss = Prefab::new("boss").based_on(&enemy).with(Health { points: 500 });
/// let spawned = world.spawn_prefab(&boss, 3)?;
/// assert_eq!(world.get::<Position>(spawned[2])?.x, 2.0);
/// assert_eq!(world.get::<Health>(spawned[2])?.points, 500);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Prefab {
    name: String,
    steps: Vec<Step>,
}

impl Prefab {
    /// A recipe for entities without components.
    pub fn new(name: impl Into<String>) -> Prefab {
        Prefab { name: name.into(), steps: Vec::new() }
    }

    /// The prefab's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts with another prefab's steps; later steps override them.
    pub fn based_on(mut self, other: &Prefab) -> Prefab {
        self.steps.splice(0..0, other.steps.iter().cloned());
        self
    }

    /// Gives every entity these components. A component that an earlier step gave is overridden.
    pub fn with<B: Bundle + Clone>(self, bundle: B) -> Prefab {
        self.with_each(move |_| bundle.clone())
    }

    /// Gives entity number `i` of those spawned together the components that `make(i)` returns.
    pub fn with_each<B: Bundle>(mut self, make: impl Fn(usize) -> B + Send + Sync + 'static) -> Prefab {
        self.steps.push(Arc::new(move |world, entity, index| world.insert(entity, make(index))));
        self
    }
}

impl World {
    /// Spawns `count` entities by a prefab, in order.
    ///
    /// # Errors
    /// [`WorldError::OutOfMemory`], [`WorldError::EntitiesExhausted`]; nothing is spawned then.
    pub fn spawn_prefab(&mut self, prefab: &Prefab, count: usize) -> Result<Vec<Entity>, WorldError> {
        let mut spawned = Vec::with_capacity(count);
        for index in 0..count {
            let made = self.spawn(()).and_then(|entity| {
                spawned.push(entity);
                prefab.steps.iter().try_for_each(|step| step(self, entity, index))
            });
            if let Err(error) = made {
                self.despawn_batch(spawned)?;
                return Err(error);
            }
        }
        Ok(spawned)
    }

    /// Spawns one entity by a prefab, then gives it `overrides`.
    ///
    /// # Errors
    /// As [`World::spawn_prefab`].
    pub fn spawn_prefab_with<B: Bundle>(&mut self, prefab: &Prefab, overrides: B) -> Result<Entity, WorldError> {
        let entity = self.spawn_prefab(prefab, 1)?[0];
        match self.insert(entity, overrides) {
            Ok(()) => Ok(entity),
            Err(error) => {
                self.despawn(entity)?;
                Err(error)
            }
        }
    }
}
