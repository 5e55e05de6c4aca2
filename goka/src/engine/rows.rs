//! Rows of one partition of the group table, as a handler sees them.

use crate::Error;

/// The rows: what was written since the last commit, over the local copy.
#[derive(Default)]
pub(crate) struct Rows {}

impl Rows {
    /// Reads the row at `key`, as encoded bytes.
    pub(crate) fn read<R>(
        &self,
        _key: &[u8],
        with: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, Error> {
        Ok(with(None))
    }
}
