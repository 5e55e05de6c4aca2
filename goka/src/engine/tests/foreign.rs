//! Rows of a zombie that arrive at the worst moment, which a random simulation hardly meets: each commit of the group
//! must be a cut all the same. Each rule is shown to be needed by a planted fault.

use super::*;

/// Rows by key.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Checks each commit of the group: the rows before the committed changelog offset must be the last values of the
/// records before the committed offset of the input.
fn cuts_are_right(stage: &Stage) -> Result<(), String> {
    let rows = |topic, until: i64| {
        let mut rows = Rows::new();
        for record in stage.world.history(topic, 0).unwrap() {
            let key = record.key.clone().unwrap();
            match &record.value {
                _ if record.offset >= until => {}
                Some(value) => drop(rows.insert(key, value.clone())),
                None => drop(rows.remove(&key)),
            }
        }
        rows
    };
    let commits = stage.world.commits();
    for request in commits.chunk_by(|a, b| a.request == b.request) {
        let offset_of = |topic: &str| {
            let entry = request.iter().find(|entry| *entry.topic == *topic);
            entry.map(|entry| entry.offset)
        };
        if let (Some(input), Some(changelog)) = (offset_of(INPUT), offset_of(TABLE)) {
            let (is, expected) = (rows(TABLE, changelog), rows(INPUT, input));
            if is != expected {
                return Err(format!(
                    "input offset {input}, changelog offset {changelog}: {is:?}, expected {expected:?}"
                ));
            }
        }
    }
    Ok(())
}

fn committed(stage: &Stage) -> i64 {
    let committed = stage.world.committed(GROUP, INPUT, 0);
    committed.map_or(0, |committed| committed.offset)
}

/// A zombie writes a row for `a` between the row that undoes `a` and the row that undoes `b`.
fn a_zombie_writes_between_the_rows_of_an_undo(fault: Option<Fault>) -> Result<(), String> {
    let mut stage = Stage::new(Guarantee::AtLeastOnce);
    stage.dies_at = Some((Point::Reached(Step::Delivered), 2));
    let mut worker = stage.worker("one");
    stage.put("a", "1");
    turns(&mut worker, |_| committed(&stage) == 1).unwrap();
    stage.put("a", "2");
    stage.put("b", "2");
    turns(&mut worker, |_| false).unwrap_err();
    drop(worker);
    (stage.dies_at, stage.fault, stage.foreign_at) = (None, fault, Some((2, "9")));
    let mut worker = stage.worker("two");
    turns(&mut worker, |_| committed(&stage) == 3).unwrap();
    let written = stage.world.history(TABLE, 0).unwrap();
    let mut values = written.iter().map(|row| row.value.as_deref());
    assert!(
        values.any(|value| value == Some(b"9")),
        "no zombie has written"
    );
    cuts_are_right(&stage)
}

/// A zombie writes a row for `a` between two rows of the closing interval. The row equals the one that the open
/// interval writes.
fn a_zombie_writes_what_the_open_interval_writes(fault: Option<Fault>) -> Result<(), String> {
    let stage = Stage {
        fault,
        foreign_at: Some((2, "2")),
        ..Stage::new(Guarantee::AtLeastOnce)
    };
    let mut worker = stage.worker("one");
    turns(&mut worker, runs).unwrap();
    stage.put("a", "1");
    stage.put("b", "1");
    stage.put("a", "2");
    turns(&mut worker, |_| committed(&stage) == 3).unwrap();
    cuts_are_right(&stage)
}

#[test]
fn an_undo_is_repeated_if_a_zombie_writes_between_its_rows() {
    a_zombie_writes_between_the_rows_of_an_undo(None).unwrap();
    a_zombie_writes_between_the_rows_of_an_undo(Some(Fault::NoUndoGap)).unwrap_err();
}

#[test]
fn an_interval_with_a_gap_closes_together_with_the_open_one() {
    a_zombie_writes_what_the_open_interval_writes(None).unwrap();
    let found = a_zombie_writes_what_the_open_interval_writes(Some(Fault::BarrierOnlyIfRepair));
    found.unwrap_err();
}
