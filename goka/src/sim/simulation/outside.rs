//! What others than the workers of a group write: another client of the group, and an operator.
//!
//! Both act only while the group is stopped. Must not know what is expected of the workers.

use super::{
    ECHO, FIRST, GROUP, INPUTS, OPERATOR, TABLE, model,
    program::{echo_of, row_after},
    stage::Stage,
    turned,
};
use crate::{
    base::{config::Guarantee, error::Error, partitioner::Partitioner, record::OwnedHeaders},
    engine::cut::Found,
};

/// The name of the other client of the group, in its commits.
pub(super) const OTHER: &str = "another client";

/// Another client of the group takes a partition over, as an older version or Go Goka does: it takes all rows of the
/// changelog for its table, handles up to `count` records of one input, and commits only the offset of this input,
/// without metadata. Does nothing unless the group is stopped.
pub(super) fn handle(
    stage: &Stage,
    partition: i32,
    input: usize,
    count: usize,
) -> Result<(), Error> {
    let (world, topic) = (&stage.world, INPUTS[input]);
    if !stage.is_stopped() {
        return Ok(());
    }
    let mut rows = model::replay(&world.history(TABLE, partition)?, i64::MAX);
    let committed = world.committed(GROUP, topic, partition);
    let mut next = committed.map_or(0, |committed| committed.offset);
    let records = world.history(topic, partition)?;
    let is_new = |record: &model::Record| record.offset >= next;
    let records: Vec<_> = records.into_iter().filter(is_new).take(count).collect();
    if records.is_empty() {
        return Ok(());
    }
    world.note(|| format!("{OTHER} takes over {topic}/{partition} @ {next}"));
    for record in records {
        let (key, value) = (model::key(&record), record.value.as_deref());
        let before = rows.get(key).map(Vec::as_slice);
        let row = row_after((key, value), record.offset, before);
        let row =
            row.map_err(|_| Error::Topic("a row of the changelog is not a count".to_owned()))?;
        let echo = echo_of((input, partition, record.offset));
        let row_bytes = row.as_ref().map(String::as_bytes);
        world.append(TABLE, partition, Some(key), row_bytes)?;
        if turned(key, value).is_none() && row.as_deref() == Some("1") {
            world.append(FIRST, partition, Some(key), Some(echo.as_bytes()))?;
        }
        world.append(ECHO, partition, Some(key), Some(echo.as_bytes()))?;
        match row {
            Some(row) => rows.insert(key.to_vec(), row.into_bytes()),
            None => rows.remove(key),
        };
        next = record.offset + 1;
    }
    world.commit_as(OTHER, GROUP, (topic, partition), next);
    Ok(())
}

/// An operator writes a row of a key that no input has. Does nothing unless the group is stopped and has given the
/// partition back cleanly.
pub(super) fn write_row(stage: &Stage, key: u64) -> Result<(), Error> {
    let world = &stage.world;
    let key = format!("{OPERATOR}{key}");
    let partition = Partitioner::Murmur2.partition(key.as_bytes(), stage.partitions);
    let is_clean = match model::committed(world, partition) {
        Found::Cut(cut) => cut.is_clean || cut.guarantee == Guarantee::ExactlyOnce,
        Found::Nothing | Found::NotOurs(_) => false,
    };
    if !stage.is_stopped() || !is_clean {
        return Ok(());
    }
    world.note(|| "an operator writes a row".to_owned());
    let value = world.moment().to_string();
    let row = (Some(key.as_bytes()), Some(value.as_bytes()));
    world.append_with(TABLE, partition, row, None, &OwnedHeaders::new())?;
    Ok(())
}
