//! The committed offsets of a whole group, for readers that are no members of the group. Must not know what the
//! metadata beside an offset means.

use super::{Committed, GroupOffsets};
use crate::base::error::Error;

/// Asks for the committed offsets of a group. No method waits for a broker.
///
/// An answer contains the offsets as of some moment after the question. A transaction that is undecided at that moment
/// is ignored.
pub(crate) trait Cuts {
    /// Asks for the committed offsets. Does nothing while an earlier question has no answer.
    fn ask(&self);

    /// The answer to the last question, returned once. `None` until the answer has come.
    fn answer(&self) -> Option<Result<GroupCommits, Error>>;
}

/// The offsets that a group has committed for all of its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupCommits {
    /// The name of each input as the group's members know it: the logical name of the topic, `#`, and the topic id;
    /// without the `#` if the broker gives no ids.
    pub(crate) inputs: Vec<String>,
    /// The offsets of each partition. Their `sources` are in the order of `inputs`.
    pub(crate) partitions: Vec<GroupOffsets>,
}

impl GroupCommits {
    /// Puts together what a group has committed for partitions 0 to `partitions` - 1. `committed` returns the offset of
    /// a partition of the input with this index, or of the changelog (`None`).
    pub(crate) fn of(
        inputs: Vec<String>,
        partitions: i32,
        mut committed: impl FnMut(Option<usize>, i32) -> Option<Committed>,
    ) -> Self {
        let partitions = (0..partitions).map(|partition| GroupOffsets {
            sources: (0..inputs.len())
                .map(|input| committed(Some(input), partition))
                .collect(),
            changelog: committed(None, partition),
        });
        GroupCommits {
            partitions: partitions.collect(),
            inputs,
        }
    }
}
