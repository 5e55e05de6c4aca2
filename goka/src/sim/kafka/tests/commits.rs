//! Tests of offset commits that arrive late or in part, of compaction with a lag, and of other clients of a group.

use super::*;

fn offset(world: &World, topic: &str) -> Option<i64> {
    let committed = world.committed("counts", topic, 0);
    committed.map(|committed| committed.offset)
}

/// A world in which answers get lost and commits arrive late or in part, as `seed` decides.
fn unreliable(seed: u64, is_late: bool) -> World {
    let settings = Settings {
        late_commits: is_late,
        torn_commits: !is_late,
        chance: Chance::seeded(seed),
        ..Settings::default()
    };
    with(settings, 1)
}

/// Joins the group, and receives the partition.
fn join(connection: &Connection) {
    while event(connection) != "take [0]" {}
}

/// Commits increasing offsets until the group has an offset that is lower than the one that was taken before.
fn goes_back(world: &World, connection: &Connection) -> bool {
    let mut taken = 0;
    for next in 1..200 {
        if connection.commit(&at(next)).is_ok() {
            taken = next;
        }
        for _ in 0..20 {
            world.advance(Duration::from_millis(5));
            if offset(world, INPUT).unwrap_or(0) < taken {
                return true;
            }
        }
        connection.serve(Duration::ZERO, &mut |_| {});
    }
    false
}

#[test]
fn a_commit_without_an_answer_may_be_applied_after_a_later_one() {
    let late = |is_late: bool| {
        (0..5).any(|seed| {
            let world = unreliable(seed, is_late);
            let connection = connect(&world, "late");
            join(&connection);
            let is_back = goes_back(&world, &connection);
            let commits = world.commits();
            assert!(!is_back || commits.iter().any(|commit| commit.is_late));
            is_back
        })
    };
    assert!(late(true), "no commit came late");
    assert!(
        !late(false),
        "a commit came late in a world without late commits"
    );
}

#[test]
fn a_late_commit_of_a_former_generation_is_refused() {
    let mut late = 0;
    for seed in 0..200 {
        let world = unreliable(seed, true);
        let first = connect(&world, "first");
        join(&first);
        let before = world.commits().len();
        // The answer is lost, and the commit may be on its way.
        if first.commit(&at(7)).is_ok() || world.commits().len() > before {
            continue;
        }
        late += 1;
        let second = connect(&world, "second");
        event(&second);
        world.advance(10 * SECOND);
        assert_eq!(offset(&world, INPUT), None, "seed {seed}");
    }
    assert!(late > 0, "no commit was late");
}

#[test]
fn a_commit_may_be_refused_in_part() {
    let both = |next| {
        let [input] = at(next);
        let changelog = Position {
            log: Log::Changelog,
            ..input.clone()
        };
        [input, changelog]
    };
    let torn = |tears_commits| {
        let world = unreliable(3, false);
        let connection = world
            .connect(ConnectionSpec {
                tears_commits,
                ..spec("torn")
            })
            .unwrap();
        join(&connection);
        let mut torn = Vec::new();
        for next in 1..100 {
            let is_taken = connection.commit(&both(next)).is_ok();
            let stored = [INPUT, TABLE].map(|topic| offset(&world, topic) == Some(next));
            if stored[0] != stored[1] {
                torn.push(is_taken);
            }
        }
        torn
    };
    let (honest, planted) = (torn(false), torn(true));
    assert!(!honest.is_empty() && honest.iter().all(|is_taken| !is_taken));
    assert!(!planted.is_empty() && planted.iter().all(|is_taken| *is_taken));
}

#[test]
fn compaction_ends_before_the_first_record_that_is_too_young() {
    let world = world(1);
    let (lag_ms, now) = (60_000, world.wall_ms());
    let write = |key: &str, age_ms: i64| {
        let record = (Some(key.as_bytes()), Some(&b"v"[..]));
        let (headers, timestamp) = (OwnedHeaders::new(), Some(now - age_ms));
        world
            .append_with(TABLE, 0, record, timestamp, &headers)
            .unwrap();
    };
    for (key, age_ms) in [("a", 90_000), ("b", 90_000), ("a", 70_000), ("b", 10_000)] {
        write(key, age_ms);
    }
    // The row that replaces the first `b` is young, so that only the first `a` is removed.
    assert_eq!(world.compact_with_lag(TABLE, 0, lag_ms).unwrap(), 1);
    assert_eq!(
        world
            .compacted(TABLE, 0)
            .unwrap()
            .into_iter()
            .collect::<Vec<_>>(),
        [0]
    );
    world.advance(60 * SECOND);
    assert_eq!(world.compact_with_lag(TABLE, 0, lag_ms).unwrap(), 1);
    assert_eq!(world.compact_with_lag(TABLE, 0, 0).unwrap(), 0);
}

#[test]
fn another_client_commits_without_metadata() {
    let world = world(1);
    let connection = connect(&world, "first");
    join(&connection);
    assert!(world.has_members("counts"));
    connection.commit(&at(3)).unwrap();
    connection.close();
    assert!(!world.has_members("counts"));
    world.commit_as("other", "counts", (INPUT, 0), 5);
    let committed = world.committed("counts", INPUT, 0).unwrap();
    assert_eq!((committed.offset, &*committed.metadata), (5, ""));
}
