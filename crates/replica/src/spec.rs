//! What a view is to show, said by name.

use peristyle_world::{Component, World};

use crate::error::ViewError;
use crate::schema::{COMPONENTS_MAX, Coding, ComponentSchema, FieldSchema, Predictor, Schema};
use crate::view::Interest;

/// What a view shows: entities that have some components and lack others, and fields of theirs.
///
/// ```
/// use peristyle_replica::{ComponentView, Predictor, View, ViewSpec};
/// use peristyle_world::{Component, World};
///
/// #[derive(Component, Clone, Copy)]
/// struct Position { x: f32, y: f32 }
///
/// let mut world = World::new()?;
/// let position = ComponentView::of::<Position>().quantised("x", 1.0 / 64.0).quantised("y", 1.0 / 64.0);
/// let view = View::new(&mut world, ViewSpec::new().with(position))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ViewSpec {
    pub(crate) components: Vec<ComponentView>,
    pub(crate) without: Vec<String>,
    pub(crate) interest: Option<Interest>,
    pub(crate) bytes_per_tick: Option<usize>,
    pub(crate) hash_every: u64,
    register: Vec<fn(&mut World)>,
}

/// A component in a view, and how its fields are sent. All fields exactly, unless told.
#[derive(Debug, Clone)]
pub struct ComponentView {
    pub(crate) name: String,
    pub(crate) priority: f32,
    optional: bool,
    fields: Vec<(String, Change)>,
    register: Option<fn(&mut World)>,
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Quantised(f64),
    Predictor(Predictor),
    Hidden,
}

impl ComponentView {
    /// A component by its type.
    pub fn of<C: Component>() -> ComponentView {
        let register: fn(&mut World) = |world| {
            world.register::<C>();
        };
        ComponentView { register: Some(register), ..ComponentView::named(C::NAME) }
    }

    /// A component by its name.
    pub fn named(name: &str) -> ComponentView {
        ComponentView { name: name.to_owned(), priority: 1.0, optional: false, fields: Vec::new(), register: None }
    }

    /// Shows entities that lack it too.
    pub fn optional(self) -> ComponentView {
        ComponentView { optional: true, ..self }
    }

    fn change(mut self, field: &str, change: Change) -> ComponentView {
        self.fields.push((field.to_owned(), change));
        self
    }

    /// Sends a float rounded, with an error of at most `error`: see [`Coding::Quantised`].
    pub fn quantised(self, field: &str, error: f64) -> ComponentView {
        self.change(field, Change::Quantised(error))
    }

    /// Expects values of a field: see [`Predictor`].
    pub fn predicted(self, field: &str, predictor: Predictor) -> ComponentView {
        self.change(field, Change::Predictor(predictor))
    }

    /// Leaves a field out.
    pub fn hidden(self, field: &str) -> ComponentView {
        self.change(field, Change::Hidden)
    }

    /// How much its changes are worth beside others' where [bytes are short](ViewSpec::bytes_per_tick); 1 unless told.
    pub fn priority(self, priority: f32) -> ComponentView {
        ComponentView { priority, ..self }
    }
}

impl ViewSpec {
    /// A view that shows nothing yet.
    pub fn new() -> ViewSpec {
        ViewSpec::default()
    }

    /// Shows entities that have this component (unless it is [optional](ComponentView::optional)), and it.
    pub fn with(mut self, component: ComponentView) -> ViewSpec {
        self.components.push(component);
        self
    }

    /// Hides entities that have a `C`.
    pub fn without<C: Component>(mut self) -> ViewSpec {
        self.without.push(C::NAME.to_owned());
        self.register.push(|world| {
            world.register::<C>();
        });
        self
    }

    /// Shows only entities within these bounds.
    pub fn interest(self, interest: Interest) -> ViewSpec {
        ViewSpec { interest: Some(interest), ..self }
    }

    /// Keeps frames near so many bytes: changed rows that do not fit wait, and gain priority while they do. Entities that
    /// enter and leave are always told.
    pub fn bytes_per_tick(self, bytes: usize) -> ViewSpec {
        ViewSpec { bytes_per_tick: Some(bytes), ..self }
    }

    /// Has each `ticks`th frame carry a hash of all columns in view, which the client compares. Costs a look at each.
    pub fn hash_every(self, ticks: u64) -> ViewSpec {
        ViewSpec { hash_every: ticks, ..self }
    }

    /// The schema of this view in a world.
    pub(crate) fn schema(&self, world: &mut World) -> Result<Schema, ViewError> {
        let of_components = self.components.iter().filter_map(|component| component.register);
        of_components.chain(self.register.iter().copied()).for_each(|register| register(world));
        if self.components.is_empty() {
            return Err(ViewError::Empty);
        }
        if self.components.len() > COMPONENTS_MAX {
            return Err(ViewError::TooMany { components: self.components.len(), max: COMPONENTS_MAX });
        }
        let mut components: Vec<ComponentSchema> = Vec::new();
        for component in &self.components {
            if components.iter().any(|known| known.name == component.name) {
                return Err(ViewError::Twice(component.name.clone()));
            }
            components.push(component.schema(world)?);
        }
        Ok(Schema::new(components))
    }
}

impl ComponentView {
    fn schema(&self, world: &World) -> Result<ComponentSchema, ViewError> {
        let info = world.components().by_name(&self.name).ok_or_else(|| ViewError::Unknown(self.name.clone()))?;
        if !info.is_columnar() {
            return Err(ViewError::Opaque(self.name.clone()));
        }
        let exact = |field: &peristyle_world::Field| FieldSchema {
            name: field.name.clone(),
            scalar: field.scalar,
            coding: Coding::Exact,
            predictor: Predictor::Hold,
        };
        let mut fields: Vec<FieldSchema> = info.fields().iter().map(exact).collect();
        for (name, change) in &self.fields {
            let (component, field_name) = (self.name.clone(), name.clone());
            let Some(at) = fields.iter().position(|field| field.name == *name) else {
                return Err(ViewError::NoField { component, field: field_name });
            };
            let field = &mut fields[at];
            match *change {
                Change::Hidden => drop(fields.remove(at)),
                Change::Predictor(predictor) => field.predictor = predictor,
                Change::Quantised(error) => {
                    let scalar = field.scalar;
                    if !matches!(scalar, peristyle_world::Scalar::F32 | peristyle_world::Scalar::F64) {
                        return Err(ViewError::NotFloat { component, field: field_name, scalar });
                    }
                    let step = error * 2.0;
                    if !(step.is_finite() && step > 0.0 && (1.0 / step).is_finite()) {
                        return Err(ViewError::BadError { component, field: field_name, error: error.to_string() });
                    }
                    field.coding = Coding::Quantised { step };
                }
            }
        }
        Ok(ComponentSchema {
            name: self.name.clone(),
            layout_hash: info.layout_hash(),
            required: !self.optional,
            fields,
        })
    }
}
