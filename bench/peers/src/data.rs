//! The rows that every contestant starts from: two components of two `f32` each, and one to add and remove.

/// Where an entity is. 8 bytes, also the value that is tracked, read and set at random.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    bevy_ecs::component::Component,
    flecs_ecs::macros::Component,
    peristyle_world::Component,
)]
pub struct Position {
    /// First coordinate.
    pub x: f32,
    /// Second coordinate.
    pub y: f32,
}

/// How much a position moves per unit of time. 8 bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    bevy_ecs::component::Component,
    flecs_ecs::macros::Component,
    peristyle_world::Component,
)]
pub struct Velocity {
    /// Change of the first coordinate.
    pub x: f32,
    /// Change of the second coordinate.
    pub y: f32,
}

/// The component that is added and removed. 4 bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    bevy_ecs::component::Component,
    flecs_ecs::macros::Component,
    peristyle_world::Component,
)]
pub struct Mass(
    /// Its only field.
    pub f32,
);

/// The time of one step.
pub const DT: f32 = 1.0 / 64.0;

/// Row `i`'s position before the first step. All its values are exact in `f32` for up to 4 M rows.
#[inline(always)]
pub fn position(i: usize) -> Position {
    Position { x: i as f32 * 0.5, y: i as f32 * -0.25 }
}

/// Row `i`'s velocity.
#[inline(always)]
pub fn velocity(i: usize) -> Velocity {
    Velocity { x: (i % 7) as f32 * 0.125, y: (i % 5) as f32 * 0.25 }
}

/// The step of one row, the same arithmetic for every contestant.
#[inline(always)]
pub fn step(position: &mut Position, velocity: &Velocity) {
    position.x += velocity.x * DT;
    position.y += velocity.y * DT;
}

/// The step over two slices of equal length, which the compiler vectorises.
#[inline(always)]
pub fn step_slices(positions: &mut [Position], velocities: &[Velocity]) {
    for (position, velocity) in positions.iter_mut().zip(velocities) {
        step(position, velocity);
    }
}

/// The step over a chunk of Peristyle's.
#[inline(always)]
pub fn step_chunk(p: PositionSlicesMut<'_>, v: VelocitySlices<'_>) {
    step_columns(p.x, p.y, v.x, v.y);
}

/// See [`sum`], of a Peristyle world.
pub fn sum_own(world: &mut peristyle_world::World) -> f64 {
    let mut sum = 0.0;
    world.query::<&Position>().for_each(world, |p| sum += f64::from(p.x) + f64::from(p.y));
    sum
}

/// What a contestant's positions sum up to, row by row in `f64`.
pub fn sum<'a>(positions: impl Iterator<Item = &'a Position>) -> f64 {
    positions.map(|p| f64::from(p.x) + f64::from(p.y)).sum()
}

/// The numbers `0..n` in an order that is random, and the same in every run and for every contestant.
pub fn shuffled(n: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    let mut state = 0x5eed_u64;
    // SplitMix64 feeding a Fisher-Yates shuffle.
    for i in (1..n).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        order.swap(i, (z % (i as u64 + 1)) as usize);
    }
    order
}

/// Four plain vectors: what the limit works on.
#[derive(Clone, Default)]
pub struct Columns {
    /// Positions' first coordinates.
    pub x: Vec<f32>,
    /// Positions' second coordinates.
    pub y: Vec<f32>,
    /// Velocities' first coordinates.
    pub vx: Vec<f32>,
    /// Velocities' second coordinates.
    pub vy: Vec<f32>,
}

impl Columns {
    /// Returns columns of `rows` rows before the first step.
    pub fn new(rows: usize) -> Self {
        Self {
            x: (0..rows).map(|i| position(i).x).collect(),
            y: (0..rows).map(|i| position(i).y).collect(),
            vx: (0..rows).map(|i| velocity(i).x).collect(),
            vy: (0..rows).map(|i| velocity(i).y).collect(),
        }
    }

    /// See [`sum`].
    pub fn sum(&self) -> f64 {
        self.x.iter().zip(&self.y).map(|(&x, &y)| f64::from(x) + f64::from(y)).sum()
    }
}

/// The step over four columns of equal length, in one loop.
#[inline(always)]
pub fn step_columns(x: &mut [f32], y: &mut [f32], vx: &[f32], vy: &[f32]) {
    for (((x, y), vx), vy) in x.iter_mut().zip(y).zip(vx).zip(vy) {
        *x += vx * DT;
        *y += vy * DT;
    }
}

/// Worlds of the peers and of Peristyle with `rows` entities of ([`Position`], [`Velocity`]), in row order.
pub mod worlds {
    use super::{position, velocity};

    /// A `bevy_ecs` world and its entities.
    pub fn bevy(rows: usize) -> (bevy_ecs::world::World, Vec<bevy_ecs::entity::Entity>) {
        let mut world = bevy_ecs::world::World::new();
        let entities = world.spawn_batch((0..rows).map(|i| (position(i), velocity(i)))).collect();
        (world, entities)
    }

    /// A `hecs` world and its entities.
    pub fn hecs(rows: usize) -> (hecs::World, Vec<hecs::Entity>) {
        let mut world = hecs::World::new();
        let entities = world.spawn_batch((0..rows).map(|i| (position(i), velocity(i)))).collect();
        (world, entities)
    }

    /// A `peristyle_world` world and its entities.
    pub fn own(rows: usize) -> (peristyle_world::World, Vec<peristyle_world::Entity>) {
        let mut world = peristyle_world::World::new().expect("address space");
        let spawned = world.spawn_batch((0..rows).map(|i| (position(i), velocity(i)))).expect("memory");
        let entities = spawned.iter().collect();
        (world, entities)
    }

    /// A flecs world and its entities.
    pub fn flecs(rows: usize) -> (flecs_ecs::core::World, Vec<flecs_ecs::core::Entity>) {
        let world = flecs_ecs::core::World::new();
        let positions: Vec<_> = (0..rows).map(position).collect();
        let velocities: Vec<_> = (0..rows).map(velocity).collect();
        let entities = world.entity_bulk(rows as u32).set(&positions).set(&velocities).build();
        (world, entities)
    }
}

/// Random access to flecs components by its C functions.
///
/// `flecs_ecs`'s own `EntityView::get` cannot be called here: its published bindings declare the result of
/// the function behind it as it is with the feature `flecs_safety_locks`, so without that feature (which
/// takes a lock per access) its address comes back wrong.
pub mod flecs_access {
    use flecs_ecs::prelude::*;
    use flecs_ecs::sys;

    use super::Position;

    /// The id of [`Position`] in one world, looked up once.
    #[derive(Clone, Copy)]
    pub struct PositionId(u64);

    impl PositionId {
        /// Looks the id up, and registers the component if it is new to `world`.
        pub fn new(world: &World) -> Self {
            Self(*world.component_id::<Position>())
        }
    }

    /// Returns the position of a living `entity` of `world` that has one.
    #[inline(always)]
    pub fn get(world: &World, id: PositionId, entity: Entity) -> Option<&Position> {
        // SAFETY: `id` names `Position`, so the address is null or that of a position, which stays where it is
        // while the world is not changed structurally; these benches do not change it while they read.
        unsafe { sys::ecs_get_id(world.world_ptr(), *entity, id.0).cast::<Position>().as_ref() }
    }

    /// Writes the position of a living `entity` of `world` that has one, without telling anybody.
    #[inline(always)]
    pub fn write(world: &World, id: PositionId, entity: Entity, write: impl FnOnce(&mut Position)) {
        // SAFETY: as in `get`; the reference ends before this function does, and nobody else holds one.
        let position = unsafe { sys::ecs_get_mut_id(world.world_ptr(), *entity, id.0).cast::<Position>().as_mut() };
        if let Some(position) = position {
            write(position);
        }
    }

    /// As [`write()`], and tells those who detect changes.
    #[inline(always)]
    pub fn write_tracked(world: &World, id: PositionId, entity: Entity, with: impl FnOnce(&mut Position)) {
        write(world, id, entity, with);
        // SAFETY: the entity has the component `id`.
        unsafe { sys::ecs_modified_id(world.world_ptr_mut(), *entity, id.0) };
    }
}
