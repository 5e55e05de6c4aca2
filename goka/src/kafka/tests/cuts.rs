//! Tests of the committed offsets of a group, as a program reads them that is no member.

use super::{super::cuts::GroupCuts, *};

/// Asks once, and waits for the answer.
fn ask(cuts: &GroupCuts) -> GroupCommits {
    cuts.ask();
    let mut answer = None;
    until("the group answers", || {
        answer = cuts.answer();
        answer.is_some()
    });
    assert!(cuts.answer().is_none(), "it is returned once");
    answer.expect("it was waited for").unwrap()
}

fn position(log: Log, offset: i64) -> Position {
    Position {
        log,
        partition: 1,
        offset,
        metadata: format!("offset {offset}").into(),
    }
}

#[test]
fn the_offsets_of_a_group_are_read_without_membership() {
    let bench = Bench::new();
    let cluster = bench.cluster();
    create(&cluster, 2);
    let physical = |topic: &str| cluster.names().topic(topic).unwrap();
    let changelog = physical("group-state");
    let inputs = ["a", "b"].map(|topic| (physical(topic), format!("{topic}#id")));
    let known = cluster.cuts("group", &changelog, 2, Some(inputs.into()));
    let (known, any) = (known.unwrap(), cluster.cuts("group", &changelog, 2, None));
    let any = any.unwrap();
    any.check().unwrap();
    let nothing = ask(&known);
    assert_eq!(nothing.inputs, ["a#id", "b#id"]);
    assert!(
        nothing
            .partitions
            .iter()
            .all(|offsets| offsets.changelog.is_none() && offsets.sources == [None, None])
    );

    let holder = Holder::of_all(&cluster, 2);
    let offsets = [
        position(Log::Source(SourceIx::new(0)), 5),
        position(Log::Source(SourceIx::new(1)), 6),
        position(Log::Changelog, 7),
    ];
    until("the commit is taken", || {
        holder.member.poll(STEP, &mut |_| {});
        holder.member.commit(&offsets).is_ok()
    });
    let committed = |offset: i64| {
        Some(Committed {
            offset,
            metadata: format!("offset {offset}"),
        })
    };
    let expected = GroupOffsets {
        sources: vec![committed(5), committed(6)],
        changelog: committed(7),
    };
    let read = ask(&known);
    assert_eq!(read.partitions.len(), 2);
    assert_eq!(read.partitions[0], nothing.partitions[0]);
    assert_eq!(read.partitions[1], expected);
    for _ in 0..2 {
        // The second answer uses the ids that are known.
        let found = ask(&any);
        assert_eq!(found.partitions[1].changelog, expected.changelog);
        let topics = cluster.topics(&["a", "b"]).unwrap();
        for (n, (topic, info)) in ["a", "b"].iter().zip(topics).enumerate() {
            let id = info.unwrap().id;
            let name = match Bench::on_kafka() {
                true => format!("{topic}#{id}"),
                false => (*topic).to_owned(),
            };
            let at = found.inputs.iter().position(|input| *input == name);
            let at = at.unwrap_or_else(|| panic!("{name} is not among {:?}", found.inputs));
            assert_eq!(found.partitions[1].sources[at], expected.sources[n]);
        }
    }
}
