//! Checks the result of a simulation against a plain model.
//!
//! The model is the inputs: for example, the count of a key must be the number of the key's input records. Reads only
//! topics and local copies. Must not know how these came about.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ECHO, FIRST, GROUP, INPUTS, OPERATOR, TABLE, VISITS, Visited, cuts::Cuts, schedule::SLOTS,
    stage::Stage, turned,
};
use crate::{
    base::partitioner::Partitioner,
    sim::kafka::{Mishaps, TEST, Written},
};

/// An input record: the index of the input, the partition and the offset.
type Input = (usize, i32, i64);

/// A row of the changelog.
struct Row {
    moment: u64,
    count: u64,
}

/// What the checks need of an input record.
struct Fed {
    key: Vec<u8>,
    /// For a record of a switch: whether it turns the switch on. `None` for a record of any other key.
    is_on: Option<bool>,
}

/// The contents of the topics after a run.
struct Seen {
    /// For each input and partition, the records in the order of their offsets.
    inputs: BTreeMap<(usize, i32), Vec<Fed>>,
    /// For each key, the rows in the order of their offsets.
    rows: BTreeMap<Vec<u8>, Vec<Row>>,
    /// For each input record, the moments at which its echoes were written.
    echoes: BTreeMap<Input, Vec<u64>>,
    /// The keys that the deduplicator has written.
    first: BTreeSet<Vec<u8>>,
}

pub(super) fn check(stage: &Stage) -> Result<(), String> {
    let seen = Seen::of(stage)?;
    let mishaps = stage.world.mishaps();
    let cuts = match stage.is_exact() {
        true => Some(Cuts::check(stage)?),
        false => None,
    };
    if let Some(cuts) = &cuts {
        rows_of_operators_stay(cuts)?;
        no_copy_is_beyond_its_cut(stage)?;
    }
    if stage.schedule.exactly_once {
        seen.every_input_was_handled(true)?;
        seen.every_key_was_counted_up(stage.schedule.coalesce)?;
        seen.every_switch_was_turned(!stage.schedule.coalesce)?;
        seen.nothing_was_committed_too_early(stage, cuts.as_ref())?;
        visits_were_whole(stage, true)?;
        return copies_are_what_they_say(stage, false);
    }
    if let Some(cuts) = &cuts {
        seen.every_key_has_its_count(stage, cuts)?;
        seen.no_first_output_was_lost(stage, cuts)?;
    } else {
        seen.no_key_was_lost(mishaps)?;
    }
    let calm = mishaps == Mishaps::default();
    seen.every_input_was_handled(calm)?;
    seen.every_switch_was_turned(false)?;
    seen.nothing_was_committed_too_early(stage, cuts.as_ref())?;
    visits_were_whole(stage, calm)?;
    copies_are_what_they_say(stage, cuts.is_none())
}

impl Seen {
    fn of(stage: &Stage) -> Result<Self, String> {
        let mut seen = Seen {
            inputs: BTreeMap::new(),
            rows: BTreeMap::new(),
            echoes: BTreeMap::new(),
            first: BTreeSet::new(),
        };
        for partition in 0..stage.partitions {
            for (input, topic) in INPUTS.iter().enumerate() {
                let records = history(stage, topic, partition)?;
                let fed = records.iter().map(|record| {
                    let key = bytes(record.key.as_ref());
                    let is_on = turned(&key, record.value.as_deref());
                    Fed { key, is_on }
                });
                seen.inputs.insert((input, partition), fed.collect());
            }
            for record in history(stage, TABLE, partition)? {
                let (moment, count) = (record.moment, number(record.value.as_ref())?);
                let rows = seen.rows.entry(bytes(record.key.as_ref())).or_default();
                rows.push(Row { moment, count });
            }
            for record in history(stage, ECHO, partition)? {
                let input = echoed(record.value.as_ref())?;
                seen.echoes.entry(input).or_default().push(record.moment);
            }
            let first = history(stage, FIRST, partition)?;
            let keys = first.iter().map(|record| bytes(record.key.as_ref()));
            seen.first.extend(keys);
        }
        Ok(seen)
    }

    fn every_input_was_handled(&self, calm: bool) -> Result<(), String> {
        for (&(input, partition), keys) in &self.inputs {
            for offset in (0..).take(keys.len()) {
                let place = || format!("{}/{partition} @ {offset}", INPUTS[input]);
                let echoes = self.echoes.get(&(input, partition, offset));
                match echoes.map_or(0, Vec::len) {
                    0 => return Err(format!("{} was never handled", place())),
                    times if calm && times > 1 => {
                        let place = place();
                        return Err(format!(
                            "{place} was handled {times} times, although no fault occurred"
                        ));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The number of records of each counted key.
    fn fed(&self) -> BTreeMap<&[u8], u64> {
        let mut times: BTreeMap<&[u8], u64> = BTreeMap::new();
        let counted = self.inputs.values().flatten();
        for fed in counted.filter(|fed| fed.is_on.is_none()) {
            *times.entry(&fed.key).or_default() += 1;
        }
        times
    }

    /// The expected rows of each switch, one row for each record that turns the switch: the record's offset plus 1 if
    /// it turns the switch on, otherwise 0.
    fn turns(&self) -> BTreeMap<&[u8], Vec<u64>> {
        let mut turns: BTreeMap<&[u8], Vec<u64>> = BTreeMap::new();
        for inputs in self.inputs.values() {
            for (place, fed) in (1..).zip(inputs) {
                if let Some(is_on) = fed.is_on {
                    turns
                        .entry(&fed.key)
                        .or_default()
                        .push(u64::from(is_on) * place);
                }
            }
        }
        turns
    }

    /// Checks that the last row of each switch is that of its last turn. With exactly-once, each turn has exactly one
    /// row.
    fn every_switch_was_turned(&self, exactly: bool) -> Result<(), String> {
        for (key, turns) in self.turns() {
            let rows = self.rows.get(key).map(Vec::as_slice).unwrap_or_default();
            let rows: Vec<u64> = rows.iter().map(|row| row.count).collect();
            if rows.last() != turns.last() || exactly && rows != turns {
                let key = String::from_utf8_lossy(key);
                return Err(format!(
                    "key {key}: found rows {rows:?}, expected {turns:?}"
                ));
            }
        }
        Ok(())
    }

    /// Checks that the table is exact: the last row of each key is the number of its records. Where rows behind a cut
    /// were kept, a count may be higher.
    fn every_key_has_its_count(&self, stage: &Stage, cuts: &Cuts) -> Result<(), String> {
        for (key, fed) in self.fed() {
            let rows = self.rows.get(key).map(Vec::as_slice).unwrap_or_default();
            let last = rows.last().map_or(0, |row| row.count);
            let kept = &cuts.partition(partition_of(stage, key))?.kept;
            let most = match (kept.is_any(), kept.is_only_other()) {
                (false, _) => fed,
                (true, true) => fed + kept.excess.get(key).copied().unwrap_or(0),
                (true, false) => u64::MAX,
            };
            if last < fed && !kept.may_lose || last > most {
                let key = String::from_utf8_lossy(key);
                return Err(format!(
                    "{key} occurs {fed} times in the input, and its last row is {last} (rows that were kept: {kept:?})"
                ));
            }
        }
        Ok(())
    }

    /// Checks that the deduplicator has written each counted key at least once, although it writes nothing for a key
    /// that has a row.
    fn no_first_output_was_lost(&self, stage: &Stage, cuts: &Cuts) -> Result<(), String> {
        for (key, fed) in self.fed() {
            let kept = &cuts.partition(partition_of(stage, key))?.kept;
            if !self.first.contains(key) && !kept.is_any() {
                let key = String::from_utf8_lossy(key);
                return Err(format!(
                    "{key} occurs {fed} times in the input, and topic `{FIRST}` has no record of it"
                ));
            }
        }
        Ok(())
    }

    /// Checks at-least-once without cuts: a record may count more than once.
    fn no_key_was_lost(&self, mishaps: Mishaps) -> Result<(), String> {
        let calm = mishaps == Mishaps::default();
        for (key, fed) in self.fed() {
            let rows = self.rows.get(key).map(Vec::as_slice).unwrap_or_default();
            let last = rows.last().map_or(0, |row| row.count);
            let highest = rows.iter().map(|row| row.count).max().unwrap_or(0);
            let key = String::from_utf8_lossy(key);
            if last < fed {
                return Err(format!(
                    "key {key}: the input has {fed} records, but the count in the last row is {last}"
                ));
            }
            // After a zombie's row, a lower count may be right: the zombie may have counted a record twice.
            if last < highest && mishaps.expelled == 0 {
                return Err(format!(
                    "key {key}: the count in the last row is {last}, but an earlier row had {highest}"
                ));
            }
            if calm && last != fed {
                return Err(format!(
                    "key {key}: the input has {fed} records, but the count in the last row is {last}, although no fault occurred"
                ));
            }
        }
        Ok(())
    }

    /// Checks exactly-once: the rows of a key are its counts from 1, one by one. With `coalesce`, the rows are some of
    /// these counts, in order, and include the last.
    fn every_key_was_counted_up(&self, coalesce: bool) -> Result<(), String> {
        for (key, fed) in self.fed() {
            let rows = self.rows.get(key).map(Vec::as_slice).unwrap_or_default();
            let counts: Vec<u64> = rows.iter().map(|row| row.count).collect();
            let all: Vec<u64> = (1..=fed).collect();
            let right = match coalesce {
                false => counts == all,
                true => counts.is_sorted_by(|a, b| a < b) && counts.last() == all.last(),
            };
            if !right {
                let key = String::from_utf8_lossy(key);
                return Err(format!(
                    "key {key}: the input has {fed} records, but the counts in the rows are {counts:?}"
                ));
            }
        }
        Ok(())
    }

    /// Checks that every record before a committed offset was already processed and its effects delivered. Only the
    /// owner of a partition may commit. An offset goes back only by a commit that is applied late.
    fn nothing_was_committed_too_early(
        &self,
        stage: &Stage,
        cuts: Option<&Cuts>,
    ) -> Result<(), String> {
        let mut committed: BTreeMap<(usize, i32), i64> = BTreeMap::new();
        let mut checked: BTreeMap<(usize, i32), i64> = BTreeMap::new();
        let mut counted: BTreeMap<&[u8], u64> = BTreeMap::new();
        let commits = stage.world.commits();
        for commit in commits.iter().filter(|commit| *commit.topic == *TABLE) {
            let offset = committed
                .entry((INPUTS.len(), commit.partition))
                .or_default();
            if commit.offset < *offset && !commit.is_late {
                return Err(format!(
                    "{} commits {TABLE}/{} @ {}, and {offset} was committed earlier",
                    commit.by, commit.partition, commit.offset
                ));
            }
            *offset = commit.offset;
        }
        for commit in commits {
            if *commit.topic == *TABLE && stage.is_exact() {
                continue;
            }
            let place = format!(
                "{} commits {}/{} @ {}",
                commit.by, commit.topic, commit.partition, commit.offset
            );
            let input = INPUTS.iter().position(|topic| **topic == *commit.topic);
            let input = input.ok_or_else(|| format!("{place}, but the topic is not an input"))?;
            if !commit.owned {
                return Err(format!("{place}, but does not own the partition"));
            }
            let before = committed.entry((input, commit.partition)).or_default();
            if commit.offset < *before && !commit.is_late {
                return Err(format!(
                    "{place}, but offset {before} was committed earlier"
                ));
            }
            *before = commit.offset;
            let checked = checked.entry((input, commit.partition)).or_default();
            for offset in *checked..commit.offset {
                let echoes = self.echoes.get(&(input, commit.partition, offset));
                let first = echoes.and_then(|echoes| echoes.first());
                if first.is_none_or(|moment| *moment > commit.moment) {
                    return Err(format!(
                        "{place}, but the output of the record at offset {offset} is not written yet"
                    ));
                }
                let inputs = self.inputs.get(&(input, commit.partition));
                let fed = inputs.and_then(|inputs| inputs.get(usize::try_from(offset).ok()?));
                let Fed { key, is_on } = fed.ok_or_else(|| {
                    format!("{place}, but the partition has no record at offset {offset}")
                })?;
                let rows = self.rows.get(key).map(Vec::as_slice).unwrap_or_default();
                let rows = rows.iter().take_while(|row| row.moment < commit.moment);
                let mut counts = rows.map(|row| row.count);
                let is_there = match is_on {
                    // With `coalesce`, a row of a later turn of the switch will do as well.
                    Some(_) if stage.schedule.coalesce => counts.any(|count| {
                        count == 0 || i64::try_from(count).is_ok_and(|count| count > offset)
                    }),
                    Some(true) => counts.any(|count| i64::try_from(count) == Ok(offset + 1)),
                    Some(false) => counts.any(|count| count == 0),
                    None => {
                        let counted = counted.entry(key).or_default();
                        *counted += 1;
                        counts.max() >= Some(*counted)
                    }
                };
                let may_lose = match cuts {
                    Some(cuts) => cuts.partition(commit.partition)?.kept.may_lose,
                    None => false,
                };
                // After a commit that is applied late, fewer records may be handled again than were handled before.
                if !is_there && !may_lose && !stage.schedule.late_commits {
                    return Err(format!(
                        "{place}, but the row of the record at offset {offset} is not written yet"
                    ));
                }
            }
            *checked = commit.offset.max(*checked);
        }
        Ok(())
    }
}

/// Checks that the rows that an operator has written are the last rows of their keys.
fn rows_of_operators_stay(cuts: &Cuts) -> Result<(), String> {
    for partition in cuts.partitions() {
        type Values<'r> = (Option<&'r Vec<u8>>, Option<&'r Vec<u8>>);
        let mut written: BTreeMap<&[u8], Values<'_>> = BTreeMap::new();
        let is_operators = |key: &Option<Vec<u8>>| matches!(key, Some(key) if key.starts_with(OPERATOR.as_bytes()));
        let rows = partition.table.iter();
        for row in rows.filter(|row| is_operators(&row.key)) {
            let key = row.key.as_deref().unwrap_or_default();
            let (by_operator, last) = written.entry(key).or_default();
            *last = row.value.as_ref();
            if *row.by == *TEST {
                *by_operator = *last;
            }
        }
        for (key, (by_operator, last)) in written {
            if by_operator != last {
                let key = String::from_utf8_lossy(key);
                let (by_operator, last) = (show(by_operator), show(last));
                return Err(format!(
                    "an operator has written {by_operator} for {key}, and its last row is {last}"
                ));
            }
        }
    }
    Ok(())
}

/// Checks that no local copy is beyond the group's cut in the end.
fn no_copy_is_beyond_its_cut(stage: &Stage) -> Result<(), String> {
    for slot in 0..SLOTS {
        for copy in stage.copies(slot)? {
            let partition = copy.partition;
            let cut = stage.world.committed(GROUP, TABLE, partition);
            let cut = cut.map_or(0, |cut| cut.offset);
            let beyond = copy.table.max(copy.reaches);
            // The missing worker may have left a copy that was stored before a late commit.
            let is_left_alone = stage.schedule.missing == Some(slot);
            if beyond > cut && !is_left_alone {
                return Err(format!(
                    "the copy of partition {partition} at worker {slot} is at offset {beyond}, and the group's cut is at \
                     {cut}"
                ));
            }
        }
    }
    Ok(())
}

fn partition_of(stage: &Stage, key: &[u8]) -> i32 {
    Partitioner::Murmur2.partition(key, stage.partitions)
}

/// Checks that a completed visit has visited every row that existed when the visit was requested. With `once`, the
/// visit has visited each of these rows exactly once.
fn visits_were_whole(stage: &Stage, once: bool) -> Result<(), String> {
    for visit in stage.visits() {
        let mut rows = 0;
        for &partition in &visit.partitions {
            let mut visited: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
            for record in history(stage, VISITS, partition)? {
                if record.value.as_deref() == Some(visit.mark.as_bytes()) {
                    *visited.entry(bytes(record.key.as_ref())).or_default() += 1;
                }
            }
            let table = history(stage, TABLE, partition)?;
            let before = table.iter().filter(|row| row.moment <= visit.moment);
            let keys: BTreeSet<_> = before.map(|row| bytes(row.key.as_ref())).collect();
            // A deleted row need not be visited. An owner also deletes rows that only a zombie has written.
            let deleted = table.iter().filter(|row| row.value.is_none());
            let mut deleted: BTreeSet<_> = deleted.map(|row| bytes(row.key.as_ref())).collect();
            if stage.schedule.coalesce {
                // A switch that was turned off and on again within one commit interval was deleted in between, but the
                // changelog does not show the deletion.
                let inputs = history(stage, INPUTS[0], partition)?;
                let keys = inputs
                    .iter()
                    .map(|record| (bytes(record.key.as_ref()), record));
                let off = keys
                    .filter(|(key, record)| turned(key, record.value.as_deref()) == Some(false));
                deleted.extend(off.map(|(key, _)| key));
            }
            for key in keys.difference(&deleted) {
                rows += 1;
                let times = visited.get(key).copied().unwrap_or(0);
                if times == 0 || (once && times > 1) {
                    let key = String::from_utf8_lossy(key);
                    return Err(format!(
                        "visit {}: key {key} was visited {times} times",
                        visit.mark
                    ));
                }
            }
        }
        if visit.keys < rows {
            let Visited { mark, keys, .. } = visit;
            return Err(format!(
                "visit {mark}: the visit reports {keys} rows, but the table had {rows}"
            ));
        }
    }
    Ok(())
}

/// Checks that a local copy has the rows of the changelog up to the copy's position. Where compaction has removed a
/// row before this position, the copy may lack the row: it may have been read after the compaction, and not up to the
/// row that replaces the removed row. The copy must then say that it is whole only from a later offset on. If the last
/// batch was stored only in part, rows may be newer, up to the stored offset `reaches`. With `may_be_ahead`, which is
/// not used for exactly-once, a row may also have the key's next value.
fn copies_are_what_they_say(stage: &Stage, may_be_ahead: bool) -> Result<(), String> {
    for slot in 0..SLOTS {
        for copy in stage.copies(slot)? {
            let partition = copy.partition;
            let history = history(stage, TABLE, partition)?;
            let compacted = stage.world.compacted(TABLE, partition);
            let compacted = compacted.map_err(|error| error.to_string())?;
            let mut rows: BTreeMap<&[u8], Vec<&Written>> = BTreeMap::new();
            for record in &history {
                let key = record.key.as_deref().unwrap_or_default();
                rows.entry(key).or_default().push(record);
            }
            for key in copy.rows.keys() {
                rows.entry(key).or_default();
            }
            for (key, rows) in rows {
                let here = copy.rows.get(key);
                let lacks = |end: i64| {
                    let before: Vec<_> = rows.iter().filter(|row| row.offset < end).collect();
                    let has_lost = before
                        .last()
                        .is_some_and(|last| compacted.contains(&last.offset));
                    // The copy may have read an older row before that one was removed as well.
                    let mut older = before.iter().map(|row| row.value.as_ref());
                    has_lost && (here.is_none() || older.any(|value| value == here))
                };
                let there = |end: i64| {
                    let last = rows.iter().rfind(|record| record.offset < end);
                    last.and_then(|record| record.value.as_ref())
                };
                let next = rows.iter().find(|record| record.offset >= copy.reaches);
                let ahead = next.is_some_and(|next| next.value.as_ref() == here);
                if here != there(copy.table)
                    && here != there(copy.reaches)
                    && !(ahead && may_be_ahead)
                    && !(copy.table < copy.whole_from && lacks(copy.table))
                {
                    return Err(format!(
                        "local copy of partition {partition} at worker {slot}, position {}: found {} for key {}, but \
                         the changelog has {}",
                        copy.table,
                        show(here),
                        show(Some(&key.to_vec())),
                        show(there(copy.table))
                    ));
                }
            }
        }
    }
    Ok(())
}

fn show(value: Option<&Vec<u8>>) -> String {
    value.map_or("nothing".into(), |value| {
        String::from_utf8_lossy(value).into_owned()
    })
}

fn history(
    stage: &Stage,
    topic: &str,
    partition: i32,
) -> Result<Vec<std::rc::Rc<Written>>, String> {
    let history = stage.world.history(topic, partition);
    history.map_err(|error| error.to_string())
}

fn bytes(bytes: Option<&Vec<u8>>) -> Vec<u8> {
    bytes.cloned().unwrap_or_default()
}

/// The count in a row. A tombstone counts as 0: if a zombie has written the row of a key without records so far, the
/// owner deletes the row.
fn number(value: Option<&Vec<u8>>) -> Result<u64, String> {
    if value.is_none() {
        return Ok(0);
    }
    let text = String::from_utf8(bytes(value)).map_err(|error| error.to_string())?;
    text.parse().map_err(|_| format!("`{text}` is not a count"))
}

/// The input record that an echo names, in the form `input/partition/offset`.
fn echoed(value: Option<&Vec<u8>>) -> Result<Input, String> {
    let text = String::from_utf8(bytes(value)).map_err(|error| error.to_string())?;
    let mut parts = text.split('/').map(str::parse::<i64>);
    let mut part = || parts.next().and_then(Result::ok);
    let parsed = (|| {
        let input = usize::try_from(part()?).ok()?;
        let partition = i32::try_from(part()?).ok()?;
        Some((input, partition, part()?))
    })();
    parsed.ok_or_else(|| format!("`{text}` is not an echo"))
}
