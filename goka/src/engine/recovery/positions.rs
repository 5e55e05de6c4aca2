//! Where a partition resumes in its sources: at the committed offsets, at the positions in the local copy, or where
//! the settings `start` and `out_of_range` say. Must not know how the positions are claimed.

use tracing::{debug, warn};

use super::{
    phase::Phase,
    state::{RETRY, Recovery},
};
use crate::{
    base::{
        config::{OutOfRange, Start},
        error::Error,
        index::SourceIx,
    },
    engine::{env::Env, halt::Halt, partition::Partitions, port::Committed},
    store::Store,
};

/// Where a partition resumes.
pub(crate) enum Resume {
    /// At these positions, one per source.
    At(Vec<i64>),
    /// Not known yet, for example because brokers did not answer: the committed offsets are fetched again.
    Unknown,
    /// At the earliest records, after all rows are deleted (`start = reset`).
    Reset,
}

impl Recovery {
    /// Finds out where a partition resumes in its sources. The local copy of the partition is restored already.
    pub(crate) fn resume(
        &mut self,
        env: &Env<'_>,
        partitions: &Partitions,
        number: i32,
    ) -> Result<Resume, Halt> {
        let (Some(partition), Some((committed, is_reset))) =
            (partitions.get(number), self.claiming(number))
        else {
            return Ok(Resume::Unknown);
        };
        let known = Self::known(env, &committed.sources, partition.copy().store());
        let is_new = known.iter().all(Option::is_none);
        let start = env.spec.settings.start;
        if is_new && partition.copy().changelog() > 0 && !is_reset {
            // The rows may be those of another owner, which took the partition over after the committed offsets were
            // fetched. Therefore ask for the committed offsets again.
            let still = env.kafka.committed(number);
            if !still.is_ok_and(|committed| committed.has_no_sources()) {
                self.fetch_again(env, number);
                return Ok(Resume::Unknown);
            }
            match start {
                None => return Err(no_offsets(env).into()),
                Some(Start::Reset) => return Ok(Resume::Reset),
                Some(Start::Earliest | Start::Latest) => {}
            }
        }
        let mut positions = Vec::new();
        for (source, known) in known.into_iter().enumerate() {
            let source = SourceIx::new(source);
            if let Some(offset) = known
                && !partition.feed().is_out_of_range(source)
            {
                positions.push(offset);
                continue;
            }
            let (first, end) = match env.kafka.bounds(source, number) {
                Ok(bounds) => bounds,
                Err(error) => {
                    debug!(partition = number, %error, "first and end offsets of an input not available; asking again");
                    self.fetch_again(env, number);
                    return Ok(Resume::Unknown);
                }
            };
            positions.push(match (known, start) {
                (Some(wanted), _) => in_range(env, source, number, wanted, (first, end))?,
                (None, Some(Start::Latest)) => end,
                (None, _) => first,
            });
        }
        Ok(Resume::At(positions))
    }

    /// The known position in each source. `None`: neither the group nor the local copy has a position in this source.
    fn known(
        env: &Env<'_>,
        committed: &[Option<Committed>],
        store: Option<&Store>,
    ) -> Vec<Option<i64>> {
        let stored = store.map(|store| &*store.position().inputs);
        let of_source = |(source, committed): (usize, &Option<Committed>)| {
            let local =
                stored.and_then(|stored| env.edges.position_in(stored, SourceIx::new(source)));
            group_wins(committed.as_ref(), local)
        };
        committed.iter().enumerate().map(of_source).collect()
    }

    fn fetch_again(&mut self, env: &Env<'_>, number: i32) {
        let at = env.now() + RETRY;
        self.set(number, Phase::FetchingOffsets { at });
    }
}

/// The position in a source that counts: the group's position, which was committed together with the changelog's. If
/// the group has no position any more, that of the local copy counts.
fn group_wins(committed: Option<&Committed>, local: Option<i64>) -> Option<i64> {
    committed.map(|committed| committed.offset).or(local)
}

/// Where a source resumes after its next offset, `wanted`, was out of range: at `wanted` if the source has this offset
/// by now, otherwise where the policy `out_of_range` says.
fn in_range(
    env: &Env<'_>,
    source: SourceIx,
    number: i32,
    wanted: i64,
    (first, end): (i64, i64),
) -> Result<i64, Error> {
    let topic = env.topic_of(source);
    let offset = match env.spec.settings.out_of_range {
        _ if (first..=end).contains(&wanted) => return Ok(wanted),
        OutOfRange::Fail => {
            let group = env.group();
            return Err(Error::Topic(format!(
                "offset out of range: group `{group}` needs offset {wanted} of `{topic}` partition {number}, but the \
                 partition has offsets {first} to {end}. Records expired before the group handled them, or the topic \
                 was recreated. Choose where to resume: `Config::out_of_range` (GOKA_OUT_OF_RANGE: `earliest`, \
                 `latest`), or reset the group's offsets for this topic (kafka-consumer-groups --reset-offsets)"
            )));
        }
        OutOfRange::Earliest => first,
        OutOfRange::Latest => end,
    };
    warn!(
        group = env.group(),
        topic,
        partition = number,
        wanted,
        first,
        end,
        missing = (offset - wanted).max(0),
        "offset out of range; resuming at {offset} (policy `out_of_range`)"
    );
    Ok(offset)
}

fn no_offsets(env: &Env<'_>) -> Error {
    let group = env.group();
    let topic = env.changelog();
    Error::Topic(format!(
        "group `{group}` has no committed offsets, but `{topic}` is not empty: where it should resume cannot be known. \
         Choose with `start`: `earliest` handles every record of the inputs again on top of the table, `latest` only new \
         ones, `reset` deletes the table's rows and begins at the earliest record"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::spec::mark;

    fn committed(offset: i64, metadata: &str) -> Committed {
        Committed {
            offset,
            metadata: metadata.to_owned(),
        }
    }

    #[test]
    fn the_groups_position_wins() {
        let ours = mark("group-a-0");
        assert_eq!(group_wins(Some(&committed(5, &ours)), Some(7)), Some(5));
        assert_eq!(group_wins(None, Some(7)), Some(7));
        assert_eq!(group_wins(None, None), None);
    }
}
