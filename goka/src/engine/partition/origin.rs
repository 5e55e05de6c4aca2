//! What caused effects: a record of a source, or the visit of a row. Plain data.

/// The cause of effects.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) partition: i32,
    pub(crate) by: By,
    /// -1: a visit.
    pub(crate) offset: i64,
    /// Milliseconds since 1970; negative: unknown.
    pub(crate) timestamp: i64,
    /// How often it has failed before.
    pub(crate) attempts: u32,
}

/// A source, by its index, or a visit, by its number.
#[derive(Clone, Copy)]
pub(crate) enum By {
    Source(usize),
    Visit(u64),
}

/// What is needed of a record after its handler has returned.
pub(crate) struct Cause {
    pub(crate) origin: Origin,
    pub(crate) key: Option<Vec<u8>>,
}
