//! Why a view cannot be made, and why a frame cannot be taken in.

/// Why a view cannot be made of a world.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// A view without components.
    #[error("a view needs a component that its entities must have")]
    Empty,
    /// More components than a view can tell apart in one word.
    #[error("{components} components in one view, at most {max} fit")]
    TooMany {
        /// How many were given.
        components: usize,
        /// How many fit.
        max: usize,
    },
    /// The world has no component of that name.
    #[error("the world has no component `{0}`")]
    Unknown(String),
    /// As many different parts of the world are followed as may be.
    #[error("{max} parts of the world are followed, no more may be")]
    TooManyViews {
        /// How many may be.
        max: usize,
    },
    /// More bounds than an interest has.
    #[error("an interest of {bounds} bounds, at most {max} fit")]
    TooManyBounds {
        /// How many were given.
        bounds: usize,
        /// How many fit.
        max: usize,
    },
    /// Bounds on a component that entities of the view may lack.
    #[error("component `{0}` is optional in the view: an interest needs one that every entity has")]
    OptionalInterest(String),
    /// A component was given twice.
    #[error("component `{0}` is in the view twice")]
    Twice(String),
    /// A component's values are not numbers in columns.
    #[error("component `{0}` is opaque: only columns can be mirrored")]
    Opaque(String),
    /// A component has no such field.
    #[error("component `{component}` has no field `{field}`")]
    NoField {
        /// The component.
        component: String,
        /// The field.
        field: String,
    },
    /// A field that holds no float cannot be quantised.
    #[error("field `{component}.{field}` is {scalar}: only f32 and f64 can be quantised")]
    NotFloat {
        /// The component.
        component: String,
        /// The field.
        field: String,
        /// Its scalar.
        scalar: peristyle_layout::Scalar,
    },
    /// An error bound that is not a positive number.
    #[error("field `{component}.{field}` is to be quantised with an error of {error}, which is no positive number")]
    BadError {
        /// The component.
        component: String,
        /// The field.
        field: String,
        /// The bound, as text.
        error: String,
    },
}

/// Why a frame was not taken in. The view-world is as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame ends too early.
    #[error("the frame ends {missing} bytes too early, at byte {offset}")]
    Truncated {
        /// Where.
        offset: usize,
        /// Bytes that are missing at least.
        missing: usize,
    },
    /// The bytes are not what the format has there.
    #[error("at byte {offset} of the frame: {what}")]
    Invalid {
        /// Where.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The frame is of another version of the format.
    #[error("the frame has version {found} of the format, this is version {known}")]
    Version {
        /// The frame's.
        found: u8,
        /// This crate's.
        known: u8,
    },
    /// The frame is of another schema than the one that was opened with.
    #[error("the frame has schema {found:08x}, the stream was opened with {known:08x}")]
    Schema {
        /// The frame's, the low half of the hash.
        found: u32,
        /// The stream's.
        known: u32,
    },
    /// A frame came before the schema.
    #[error("a frame came before the schema")]
    NoSchema,
    /// The frame builds on a tick that this side does not hold; ask for a snapshot.
    #[error("the frame of tick {tick} builds on tick {base}, but tick {have} is held")]
    Gap {
        /// The frame's tick.
        tick: u64,
        /// What it builds on.
        base: u64,
        /// What is held.
        have: u64,
    },
    /// The columns are not the host's; ask for a snapshot.
    #[error("after tick {tick} the columns hash to {found:016x}, at the host to {sent:016x}")]
    Hash {
        /// The tick.
        tick: u64,
        /// Hash of the columns here.
        found: u64,
        /// Hash that the frame carries.
        sent: u64,
    },
    /// More rows than this side allows.
    #[error("the frame has {rows} rows, at most {max} are allowed")]
    TooManyRows {
        /// The frame's.
        rows: u64,
        /// The bound.
        max: u32,
    },
}
