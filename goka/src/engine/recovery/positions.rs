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
    engine::{
        env::Env,
        halt::{Halt, stored},
        partition::Partitions,
        port::Committed,
    },
    store::{Position, Store},
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
        let known = self.known(env, &committed.sources, partition.copy().store());
        let is_new = known.iter().all(Option::is_none);
        let start = env.spec.settings.start;
        if is_new && partition.copy().changelog() > 0 && !is_reset {
            // The rows may be those of another owner, which took the partition over after the committed offsets were
            // fetched. Therefore ask for the committed offsets again.
            let still = env.kafka.committed(number);
            if !still.is_ok_and(|committed| committed.sources.iter().all(Option::is_none)) {
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
        &self,
        env: &Env<'_>,
        committed: &[Option<Committed>],
        store: Option<&Store>,
    ) -> Vec<Option<i64>> {
        let stored = store.map(|store| &*store.position().inputs);
        let of_source = |(source, committed): (usize, &Option<Committed>)| {
            let local =
                stored.and_then(|stored| env.edges.position_in(stored, SourceIx::new(source)));
            match self.rules.copy_may_lead {
                true => which_wins(committed.as_ref(), local, &env.spec.settings.instance),
                false => group_wins(committed.as_ref(), local),
            }
        };
        committed.iter().enumerate().map(of_source).collect()
    }

    fn fetch_again(&mut self, env: &Env<'_>, number: i32) {
        let at = env.now() + RETRY;
        self.set(number, Phase::FetchingOffsets { at });
    }

    /// Sets the positions in the local copy back to `positions`, at which the partition resumes, if any position in
    /// the copy is later: an operator has reset the group's offsets. The lower positions have to be stored before the
    /// claim. After the claim, this instance is the one that committed last, and the later position, that of the copy,
    /// would win.
    pub(crate) fn lower_copy(
        &self,
        env: &Env<'_>,
        partitions: &mut Partitions,
        number: i32,
        positions: &[i64],
    ) -> Result<(), Halt> {
        let Some(partition) = partitions.get_mut(number) else {
            return Ok(());
        };
        let Some(stored_at) = partition
            .copy()
            .store()
            .map(|store| store.position().clone())
        else {
            return Ok(());
        };
        let mut sources = positions.iter().enumerate();
        let is_ahead = sources.any(|(source, offset)| {
            let local = env
                .edges
                .position_in(&stored_at.inputs, SourceIx::new(source));
            local.is_some_and(|local| local > *offset)
        });
        if !is_ahead {
            return Ok(());
        }
        let lowered = Position {
            inputs: env.edges.named(positions),
            ..stored_at
        };
        stored(number, partition.copy_mut().move_to(lowered))
    }
}

/// The position in a source that counts under at-least-once, at the instance whose commits have the mark `instance` as
/// metadata. If this instance committed last, the later of the two positions counts: the local copy may be a commit
/// interval ahead of the group, and then it also has the rows of that interval. If another instance or an operator
/// committed last, the group's position counts. If the group has no position, that of the local copy counts.
fn which_wins(committed: Option<&Committed>, local: Option<i64>, instance: &str) -> Option<i64> {
    match (committed, local) {
        (Some(committed), Some(local)) if committed.metadata == instance => {
            Some(committed.offset.max(local))
        }
        (Some(committed), _) => Some(committed.offset),
        (None, local) => local,
    }
}

/// The position in a source that counts under exactly-once: the group's position, which was committed together with
/// the rows. If the group has no position any more, that of the local copy counts.
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
    fn the_later_position_wins_at_the_instance_that_committed_last_and_elsewhere_the_groups() {
        let me = mark("a");
        let wins = |committed: Option<(i64, &str)>, local| {
            let committed = committed.map(|(offset, by)| self::committed(offset, by));
            which_wins(committed.as_ref(), local, &me)
        };
        assert_eq!(wins(Some((5, &me)), Some(7)), Some(7));
        assert_eq!(wins(Some((9, &me)), Some(7)), Some(9));
        assert_eq!(wins(Some((2, "")), Some(7)), Some(2));
        assert_eq!(wins(Some((2, &mark("b"))), Some(7)), Some(2));
        assert_eq!(wins(None, Some(7)), Some(7));
        assert_eq!(wins(Some((3, "")), None), Some(3));
        assert_eq!(wins(None, None), None);
    }

    #[test]
    fn exactly_once_the_groups_position_wins() {
        let ours = mark("group-a-0");
        assert_eq!(group_wins(Some(&committed(5, &ours)), Some(7)), Some(5));
        assert_eq!(group_wins(None, Some(7)), Some(7));
        assert_eq!(group_wins(None, None), None);
    }
}
