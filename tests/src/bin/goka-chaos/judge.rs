//! Checks the result of a run: compares the topics, read with a plain client, and the local copies on disk with the
//! model.

use std::{collections::BTreeMap, path::Path};

use goka_tests::{Record, read_topic};
use serde::Serialize;

use crate::{
    cluster::Cluster,
    copies,
    model::{Histories, firsts_of, histories, number},
    row::Row,
    worker::{echo, loop_key},
};

/// How many violations are listed. All violations beyond this number are only counted.
const TOLD: usize = 25;

/// What the judge has counted, and the violations that it has found in a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    /// Number of records in the input.
    pub(crate) records: usize,
    /// Number of input records without their echo, without their loop message, or without their record in the output of
    /// the handler that looks before it emits.
    pub(crate) lost: u64,
    /// Number of echoes, loop messages and first records that were written again for an input record.
    pub(crate) doubled: u64,
    /// Number of input records that the table counts more than once. Messages of the loop are left out.
    pub(crate) counted_twice: u64,
    /// Number of input records that the table does not count.
    pub(crate) not_counted: u64,
    /// Number of messages of the loop that the table counts more than once. With at-least-once, this is no violation.
    pub(crate) loop_counted_twice: u64,
    /// Number of input records that must be in the output of the handler that looks before it emits.
    pub(crate) firsts: usize,
    /// Number of rows, output records and local copies that differ from what is expected.
    pub(crate) mismatches: u64,
    /// Number of rows of the table that were compared with the model.
    pub(crate) rows: usize,
    /// Number of local copies that were compared with the changelog.
    pub(crate) copies: u64,
    /// Number of partitions with an open transaction at the end of the run.
    pub(crate) open_transactions: usize,
    /// The group's committed offsets in the input just before the first kill or pause, by partition.
    #[serde(skip)]
    pub(crate) quiet: BTreeMap<i32, i64>,
    /// Why the run ended early; `None` if it did not.
    pub(crate) stuck: Option<String>,
    /// The first violations, each as a text with topic, partition, and key or offset.
    pub(crate) violations: Vec<String>,
    pub(crate) violations_in_all: u64,
}

impl Findings {
    pub(crate) fn violation(&mut self, what: String) {
        self.violations_in_all += 1;
        if self.violations.len() < TOLD {
            eprintln!("VIOLATION: {what}");
            self.violations.push(what);
        }
    }

    fn lost(&mut self, what: String) {
        self.lost += 1;
        self.violation(what);
    }

    fn mismatch(&mut self, what: String) {
        self.mismatches += 1;
        self.violation(what);
    }

    /// Counts how many records the row of a key counts too much or too little.
    fn count(&mut self, row: Option<Row>, right: Option<Row>, is_looped: bool) {
        let counted = |row: Option<Row>| row.map_or(0, |row| row.count);
        let (row, right) = (counted(row), counted(right));
        let more = match is_looped {
            true => &mut self.loop_counted_twice,
            false => &mut self.counted_twice,
        };
        *more += u64::try_from(row - right).unwrap_or(0);
        self.not_counted += u64::try_from(right - row).unwrap_or(0);
    }

    /// Counts an output that was written twice for an input record. This is a violation with exactly-once, and with
    /// at-least-once if the record was committed before the first kill or pause.
    fn doubled(&mut self, source: &Record, is_exactly_once: bool, what: String) {
        self.doubled += 1;
        let quiet = self.quiet.get(&source.partition).copied().unwrap_or(0);
        if is_exactly_once || source.offset < quiet {
            self.violation(what);
        }
    }
}

/// Reads all topics and local copies, and compares them with the model. All processes must have ended.
pub(crate) fn judge<'a>(
    cluster: &Cluster,
    states: impl IntoIterator<Item = &'a Path>,
    is_exactly_once: bool,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let address = &cluster.address;
    let input = read_topic(address, &cluster.input());
    findings.records = input.len();
    echoes(cluster, &input, is_exactly_once, findings);
    firsts(cluster, &input, is_exactly_once, findings);
    let loops = read_topic(address, &cluster.loopback());
    looped(cluster, &input, &loops, is_exactly_once, findings);

    let table = read_topic(address, &cluster.table());
    let looped = histories(&loops);
    let expected = histories(input.iter().chain(&loops));
    drop((input, loops));
    let judged = Judged {
        expected: &expected,
        looped: &looped,
        is_exactly_once,
    };
    rows(cluster, &table, &judged, findings);
    drop((expected, looped));
    let mut furthest = BTreeMap::new();
    for state in states {
        let found = copies::compare(state, &table, &mut |what| findings.mismatch(what))?;
        findings.copies += found.len() as u64;
        for (partition, position) in found {
            let most = furthest.entry(partition).or_insert(position);
            *most = position.max(*most);
        }
    }
    whole(cluster, &table, &furthest, findings);
    Ok(())
}

/// Checks that some local copy of each partition reaches the end of the changelog, as the last owner's copy must.
/// Without this check, a copy that is never updated would pass, because it matches the changelog at its old position.
fn whole(
    cluster: &Cluster,
    table: &[Record],
    furthest: &BTreeMap<i32, i64>,
    findings: &mut Findings,
) {
    let last: BTreeMap<i32, i64> = table
        .iter()
        .map(|row| (row.partition, row.offset))
        .collect();
    for (partition, last) in last {
        let furthest = furthest.get(&partition).copied().unwrap_or(0);
        if furthest <= last {
            findings.mismatch(format!(
                "`{}` partition {partition}: no local copy has all rows. The changelog has a row at offset {last}, but the most recent copy has only the rows before offset {furthest}",
                cluster.table()
            ));
        }
    }
}

/// Checks that every input record has its echo, and, with exactly-once, that the echoes are in the order of the input.
fn echoes(cluster: &Cluster, input: &[Record], is_exactly_once: bool, findings: &mut Findings) {
    let mut missing = BTreeMap::new();
    for record in input {
        let text = echo(record.partition, record.offset, number(record));
        missing.insert(text, (record, 0_u32));
    }
    let topic = cluster.output();
    let mut last = BTreeMap::new();
    for record in read_topic(&cluster.address, &topic) {
        let (at, text) = (place(&topic, &record), record.value_text());
        let Some((source, seen)) = missing.get_mut(text) else {
            findings.mismatch(format!(
                "{at}: output record `{text}` names an input record that does not exist"
            ));
            continue;
        };
        *seen += 1;
        let source = *source;
        if source.key != record.key {
            findings.mismatch(format!(
                "{at}: the key of this output record is not the key of its input record {source:?}"
            ));
        }
        if *seen > 1 {
            let what = format!("{at}: output record `{text}` was written twice");
            findings.doubled(source, is_exactly_once, what);
        }
        let before = last.insert(source.partition, source.offset);
        if let Some(before) = before.filter(|before| is_exactly_once && *before >= source.offset) {
            findings.mismatch(format!(
                "{at}: output record `{text}` comes after the output record for offset {before}"
            ));
        }
    }
    for (text, (record, seen)) in &missing {
        if *seen == 0 {
            let at = place(&cluster.input(), record);
            findings.lost(format!(
                "{at}: the output record `{text}` of this input record is missing"
            ));
        }
    }
}

/// Checks the output of the handler that looks before it emits: it has a record for each input record that finds no row
/// of its key, and for no other input record. The model says which input records these are, so this check also fails
/// if the handler has seen a row of a record that it handled again.
fn firsts(cluster: &Cluster, input: &[Record], is_exactly_once: bool, findings: &mut Findings) {
    let mut missing: BTreeMap<_, _> = firsts_of(input)
        .map(|record| {
            let text = echo(record.partition, record.offset, number(record));
            (text, (record, 0_u32))
        })
        .collect();
    findings.firsts = missing.len();
    let topic = cluster.first();
    for record in read_topic(&cluster.address, &topic) {
        let (at, text) = (place(&topic, &record), record.value_text());
        let Some((source, seen)) = missing.get_mut(text) else {
            findings.mismatch(format!(
                "{at}: `{text}` names an input record whose key had a row already, or that does not exist"
            ));
            continue;
        };
        *seen += 1;
        if *seen > 1 {
            let what = format!("{at}: `{text}` was written twice");
            findings.doubled(source, is_exactly_once, what);
        }
    }
    for (text, (record, _)) in missing.iter().filter(|(_, (_, seen))| *seen == 0) {
        let at = place(&cluster.input(), record);
        findings.lost(format!(
            "{at}: `{topic}` lacks `{text}`, although the key of this input record had no row"
        ));
    }
}

/// Checks that every input record that sends a loop message has sent it, and counts messages that were sent again.
fn looped(
    cluster: &Cluster,
    input: &[Record],
    loops: &[Record],
    is_exactly_once: bool,
    findings: &mut Findings,
) {
    let told = input.iter().filter_map(|record| {
        let number = number(record)?;
        Some((number, (loop_key(number)?, record, 0_u32)))
    });
    let mut told: BTreeMap<_, _> = told.collect();
    let topic = cluster.loopback();
    for record in loops {
        let at = place(&topic, record);
        let found = number(record).and_then(|number| told.get_mut(&number));
        match found {
            Some((key, source, seen)) if key == record.key_text() => {
                *seen += 1;
                if *seen > 1 {
                    let what = format!("{at}: the loop message to key `{key}` was written twice");
                    findings.doubled(source, is_exactly_once, what);
                }
            }
            _ => findings.mismatch(format!(
                "{at}: no input record sends the loop message {record:?}"
            )),
        }
    }
    for (key, record, _) in told.values().filter(|(_, _, seen)| *seen == 0) {
        let at = place(&cluster.input(), record);
        findings.lost(format!(
            "{at}: the loop message of this input record to key `{key}` is missing"
        ));
    }
}

/// What the rows are compared with.
struct Judged<'a> {
    expected: &'a Histories,
    /// The rows that come from messages of the loop.
    looped: &'a Histories,
    is_exactly_once: bool,
}

/// Compares the rows with the model. With exactly-once, every row of a key is compared. With at-least-once, only the
/// last row of a key is compared, because rows that were undone are in the changelog as well; the last row of a key of
/// the loop may count too much.
fn rows(cluster: &Cluster, table: &[Record], judged: &Judged<'_>, findings: &mut Findings) {
    let topic = cluster.table();
    let (expected, is_exactly_once) = (judged.expected, judged.is_exactly_once);
    let mut found: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in table {
        found.entry(record.key_text()).or_default().push(record);
    }
    findings.rows = expected.len();
    for key in found.keys().filter(|key| !expected.contains_key(**key)) {
        findings.mismatch(format!(
            "`{topic}` has rows of key `{key}`, but no input record has this key"
        ));
    }
    for (key, rows) in expected {
        let written = found.get(key.as_str()).map_or(&[][..], Vec::as_slice);
        let right = rows.last().copied().flatten();
        let value = written.last().and_then(|row| row.value.as_ref());
        let value = value.map(|_| written[written.len() - 1].value_text());
        let at = written
            .last()
            .map_or(topic.clone(), |row| place(&topic, row));
        let row: Option<Row> = match value.map(str::parse).transpose() {
            Ok(row) => row,
            Err(error) => {
                findings.mismatch(format!("{at}, key `{key}`: {error}"));
                continue;
            }
        };
        let is_looped = judged.looped.contains_key(key);
        findings.count(row, right, is_looped);
        let is_right = match (right, row) {
            (Some(right), Some(row)) if is_looped && !is_exactly_once => is_at_least(row, right),
            (right, row) => right == row,
        };
        if !is_right {
            findings.mismatch(format!(
                "{at}, key `{key}`: found {}, expected {}",
                text(row),
                text(right)
            ));
        }
        if is_exactly_once {
            history(&topic, key, rows, written, findings);
        }
    }
}

/// Whether a row counts and sums up to at least as much as the model's row, with the same first and last record.
fn is_at_least(row: Row, right: Row) -> bool {
    row.count >= right.count
        && row.sum >= right.sum
        && (row.last, row.born) == (right.last, right.born)
}

/// Reports the first row of a key that differs from the model's row at the same place in the history of the key.
fn history(
    topic: &str,
    key: &str,
    rows: &[Option<Row>],
    written: &[&Record],
    findings: &mut Findings,
) {
    for (right, row) in rows.iter().zip(written) {
        let right = right.map(|right| right.to_string().into_bytes());
        if row.value != right {
            let shown = |value: Option<&[u8]>| {
                let value = value.map(String::from_utf8_lossy);
                value.map_or("deleted".to_owned(), |value| format!("`{value}`"))
            };
            let (there, right) = (shown(row.value.as_deref()), shown(right.as_deref()));
            let at = place(topic, row);
            findings.mismatch(format!(
                "{at}, key `{key}`: the first wrong row is {there}, expected {right}"
            ));
            return;
        }
    }
    if rows.len() != written.len() {
        let (there, right) = (written.len(), rows.len());
        findings.mismatch(format!(
            "`{topic}`, key `{key}`: found {there} rows, expected {right}"
        ));
    }
}

fn place(topic: &str, record: &Record) -> String {
    format!(
        "`{topic}` partition {} offset {}",
        record.partition, record.offset
    )
}

fn text(row: Option<Row>) -> String {
    row.map_or("deleted".to_owned(), |row| format!("`{row}`"))
}
