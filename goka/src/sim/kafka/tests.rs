//! Tests of the behaviour of the Kafka in memory, one for each property.

mod commits;
mod transactions;

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::{Chance, Connection, ConnectionSpec, Point, Settings, World};
use crate::{
    base::{
        error::Error,
        index::{EdgeIx, SourceIx},
        record::{OwnedHeaders, RECORD_OVERHEAD},
    },
    engine::port::{
        Clock, CommitError, Event, Kafka, Log, Member, Outgoing, Position, Producer, Reader,
        Report, SendError, Step, TableEvent,
    },
};

const INPUT: &str = "clicks";
const TABLE: &str = "counts-state";
const SECOND: Duration = Duration::from_secs(1);

fn world(partitions: i32) -> World {
    with(Settings::default(), partitions)
}

fn with(settings: Settings, partitions: i32) -> World {
    let world = World::new(settings);
    world.create_topic(INPUT, partitions);
    world.create_topic(TABLE, partitions);
    world
}

fn spec(name: &str) -> ConnectionSpec {
    ConnectionSpec {
        name: name.to_owned(),
        group: "counts".to_owned(),
        instance: None,
        sources: vec![INPUT.to_owned()],
        targets: vec![TABLE.to_owned()],
        table: Some(TABLE.to_owned()),
        transactional_id: None,
        on_point: None,
        tears_commits: false,
    }
}

fn connect(world: &World, name: &str) -> Connection {
    world.connect(spec(name)).unwrap()
}

/// The next event of a connection, as one line.
fn event(connection: &Connection) -> String {
    let mut line = "nothing".to_owned();
    connection.poll(Duration::ZERO, &mut |event| {
        line = match event {
            Event::Record { record, .. } => format!("{}@{}", record.partition, record.offset),
            Event::Assigned(partitions) => format!("take {partitions:?}"),
            Event::Revoked { partitions, lost } if lost => format!("lost {partitions:?}"),
            Event::Revoked { partitions, .. } => format!("give back {partitions:?}"),
            Event::OutOfRange { source, partition } => {
                format!("{}/{partition} is out", source.index())
            }
            Event::Failed(error) => error.to_string(),
        };
    });
    line
}

fn table_event(reader: &dyn Reader) -> String {
    let mut line = "nothing".to_owned();
    reader.poll(Duration::ZERO, &mut |event| {
        line = match event {
            TableEvent::Record(record) => format!("{}@{}", record.partition, record.offset),
            TableEvent::End { partition } => format!("end of {partition}"),
            TableEvent::OutOfRange { partition } => format!("{partition} is out"),
            TableEvent::Failed(error) => error.to_string(),
        };
    });
    line
}

fn send(connection: &Connection, key: &str, value: &str, tag: u32) -> Result<(), SendError> {
    connection.send(&Outgoing {
        target: EdgeIx::new(0),
        partition: 0,
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        timestamp: 1,
        headers: &OwnedHeaders::new(),
        tag,
    })
}

fn reports(connection: &Connection, wait: Duration) -> Vec<(u32, Option<i64>)> {
    let mut reports = Vec::new();
    connection.serve(wait, &mut |Report { tag, result }| {
        reports.push((tag, result.ok()))
    });
    reports
}

fn values(world: &World) -> Vec<String> {
    let history = world.history(TABLE, 0).unwrap();
    let value = |value: &Option<Vec<u8>>| String::from_utf8(value.clone().unwrap()).unwrap();
    history.iter().map(|record| value(&record.value)).collect()
}

fn at(offset: i64) -> [Position; 1] {
    [Position {
        log: Log::Source(SourceIx::new(0)),
        partition: 0,
        offset,
        metadata: "m".into(),
    }]
}

#[test]
fn a_partition_moves_when_its_owner_has_given_it_back() {
    let world = world(4);
    let (first, second) = (connect(&world, "first"), connect(&world, "second"));
    assert_eq!(event(&first), "take [0, 1, 2, 3]");
    assert_eq!(event(&second), "nothing", "it joins, and must wait");
    assert_eq!(event(&first), "give back [2, 3]");
    assert_eq!(event(&second), "nothing");
    first.released(&[2, 3]).unwrap();
    assert_eq!(event(&second), "take [2, 3]");
    second.close();
    assert_eq!(event(&first), "take [2, 3]", "who leaves gives all back");
}

#[test]
fn only_the_partitions_move_that_must() {
    let world = world(6);
    let all = ["a", "b", "c"].map(|name| connect(&world, name));
    for _ in 0..4 {
        for member in &all {
            if let Some(list) = event(member).strip_prefix("give back ") {
                let numbers = list.trim_matches(['[', ']']).split(", ");
                let numbers: Vec<i32> = numbers.map(|n| n.parse().unwrap()).collect();
                member.released(&numbers).unwrap();
            }
        }
    }
    all[1].close();
    let taken: Vec<String> = [&all[0], &all[2]].map(event).into();
    let one_each = |line: &String| line.starts_with("take [") && !line.contains(',');
    assert!(taken.iter().all(one_each), "{taken:?}");
}

#[test]
fn a_member_that_is_silent_too_long_is_expelled_and_learns_of_it_later() {
    let world = world(2);
    let (zombie, other) = (connect(&world, "zombie"), connect(&world, "other"));
    assert_eq!(event(&zombie), "take [0, 1]");
    zombie.assign(0, &[0]).unwrap();
    zombie.commit(&at(1)).unwrap();
    world.advance(7 * SECOND);
    assert_eq!(event(&other), "take [0, 1]", "the silent one is not asked");
    let refused = zombie.commit(&at(2));
    assert!(matches!(refused, Err(CommitError::NotMember(_))));
    assert_eq!(event(&zombie), "lost [0, 1]");
    assert_eq!(
        event(&zombie),
        "nothing",
        "it holds them until it says otherwise"
    );
    zombie.released(&[0, 1]).unwrap();
    assert_eq!(event(&zombie), "nothing", "it joins again");
    assert_eq!(event(&other), "give back [1]");
    assert_eq!(world.committed("counts", INPUT, 0).unwrap().offset, 1);
    assert_eq!(world.mishaps().expelled, 1);
}

#[test]
fn records_of_a_dead_producer_may_still_land() {
    let landed = |seed| {
        let chance = Chance::seeded(seed);
        let world = with(
            Settings {
                chance,
                ..Settings::default()
            },
            1,
        );
        let dying = connect(&world, "dying");
        for value in ["1", "2", "3"] {
            send(&dying, "k", value, 0).unwrap();
        }
        drop(dying);
        world.advance(SECOND);
        values(&world)
    };
    let all: Vec<Vec<String>> = (0..20).map(landed).collect();
    for values in &all {
        assert_eq!(
            values[..],
            ["1", "2", "3"][..values.len()],
            "in order, the first ones"
        );
    }
    let mut lengths: Vec<usize> = all.iter().map(Vec::len).collect();
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths, [0, 1, 2, 3]);
}

#[test]
fn a_delivery_is_reported_once_and_in_order() {
    let world = world(1);
    let connection = connect(&world, "a");
    send(&connection, "k", "1", 7).unwrap();
    send(&connection, "k", "2", 8).unwrap();
    assert_eq!(connection.in_flight(), 2);
    assert_eq!(reports(&connection, SECOND), [(7, Some(0)), (8, Some(1))]);
    assert_eq!(connection.in_flight(), 0);
    assert_eq!(reports(&connection, SECOND), []);
    assert_eq!(values(&world), ["1", "2"]);
}

#[test]
fn a_delivery_can_fail_though_the_record_landed() {
    let world = world(1);
    let connection = connect(&world, "a");
    world.fail_deliveries("a", 1, true);
    send(&connection, "k", "1", 0).unwrap();
    assert_eq!(reports(&connection, 10 * SECOND), [(0, None)]);
    assert_eq!(values(&world), ["1"]);
    assert_eq!(world.now().as_secs(), 4, "after the message timeout");
    world.fail_deliveries("a", 1, false);
    send(&connection, "k", "2", 0).unwrap();
    assert_eq!(reports(&connection, 10 * SECOND), [(0, None)]);
    assert_eq!(values(&world), ["1"]);
    assert_eq!(world.mishaps().failed_deliveries, 2);
}

#[test]
fn a_purge_reports_all_as_failed() {
    let world = world(1);
    let connection = connect(&world, "a");
    world.slow_down(SECOND, SECOND);
    send(&connection, "k", "1", 3).unwrap();
    connection.purge();
    assert_eq!(reports(&connection, Duration::ZERO), [(3, None)]);
    world.advance(10 * SECOND);
    assert_eq!(
        values(&world).len(),
        0,
        "without a seed nothing is in the socket"
    );
}

#[test]
fn an_outage_stops_everything_but_time() {
    let world = world(1);
    let connection = connect(&world, "a");
    assert_eq!(event(&connection), "take [0]");
    world.append(INPUT, 0, None, None).unwrap();
    connection.assign(0, &[0]).unwrap();
    send(&connection, "k", "1", 0).unwrap();
    world.outage(5 * SECOND);
    assert_eq!(event(&connection), "nothing");
    assert!(matches!(
        connection.commit(&at(0)),
        Err(CommitError::Again(_))
    ));
    assert!(connection.committed(0).is_err());
    world.advance(5 * SECOND);
    assert_eq!(
        reports(&connection, Duration::ZERO),
        [(0, None)],
        "it timed out meanwhile"
    );
    assert_eq!(event(&connection), "0@0", "its session did not");
}

#[test]
fn back_pressure_and_records_that_are_too_large() {
    let settings = Settings {
        queue_max: 1,
        record_bytes_max: RECORD_OVERHEAD + 5,
        ..Settings::default()
    };
    let connection = connect(&with(settings, 1), "a");
    send(&connection, "k", "1", 0).unwrap();
    assert!(matches!(
        send(&connection, "k", "2", 0),
        Err(SendError::Full)
    ));
    reports(&connection, SECOND);
    let refused = send(&connection, "k", "too large", 0);
    assert!(matches!(refused, Err(SendError::Refused(_))));
    send(&connection, "k", "2", 0).unwrap();
}

#[test]
fn a_reader_reads_to_the_end_and_notices_gaps() {
    let world = world(1);
    for key in ["a", "b", "a"] {
        world.append(TABLE, 0, Some(key.as_bytes()), None).unwrap();
    }
    world.compact(TABLE, 0).unwrap();
    let connection = connect(&world, "a");
    let reader = connection.table().unwrap();
    reader.start(0, 0).unwrap();
    let events = [(); 4].map(|()| table_event(reader));
    assert_eq!(events, ["0@1", "0@2", "end of 0", "nothing"]);
    world.append(TABLE, 0, None, None).unwrap();
    assert_eq!([(); 2].map(|()| table_event(reader)), ["0@3", "end of 0"]);
    world.delete_before(TABLE, 0, 2).unwrap();
    assert_eq!(reader.bounds(0).unwrap(), (2, 4));
    reader.start(0, 1).unwrap();
    assert_eq!(table_event(reader), "0 is out");
}

#[test]
fn offsets_outside_of_the_log_are_reported_once() {
    let world = world(1);
    let connection = connect(&world, "a");
    assert_eq!(event(&connection), "take [0]");
    connection.assign(0, &[1]).unwrap();
    assert_eq!(
        [(); 2].map(|()| event(&connection)),
        ["0/0 is out", "nothing"]
    );
}

#[test]
fn a_static_member_takes_its_place_back_and_fences_its_predecessor() {
    let world = world(2);
    let instance = || ConnectionSpec {
        instance: Some("host-1".to_owned()),
        ..spec("host-1")
    };
    let before = world.connect(instance()).unwrap();
    assert_eq!(event(&before), "take [0, 1]");
    before.close();
    let other = connect(&world, "other");
    assert_eq!(event(&other), "nothing", "the place is kept");
    drop(other);
    let after = world.connect(instance()).unwrap();
    assert_eq!(event(&after), "take [0]", "the other one may have 1");
    let again = world.connect(instance()).unwrap();
    assert!(event(&again).starts_with("take"));
    assert!(event(&after).contains("group.instance.id"));
}

#[test]
fn a_callback_may_use_the_connection() {
    let world = world(1);
    world.append(INPUT, 0, Some(b"k"), Some(b"v")).unwrap();
    let connection = connect(&world, "a");
    connection.poll(Duration::ZERO, &mut |_| {
        connection.assign(0, &[0]).unwrap();
    });
    let handled = connection.poll(Duration::ZERO, &mut |event| {
        let Event::Record { record, .. } = event else {
            panic!("no record");
        };
        assert_eq!(record.value, Some(&b"v"[..]));
        send(&connection, "k", "1", 0).unwrap();
        connection.serve(SECOND, &mut |report| assert_eq!(report.result, Ok(0)));
        connection.commit(&at(1)).unwrap();
    });
    assert!(handled);
}

#[test]
fn a_process_that_dies_at_a_step_has_no_effect_on_its_way_out() {
    let world = world(1);
    let steps = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&steps);
    let on_point = Rc::new(move |point| match point {
        Point::Reached(step) => {
            seen.borrow_mut().push(step);
            Err(Error::Closed("simulation"))
        }
        Point::Asks | Point::Sends => Ok(()),
    });
    let dying = world
        .connect(ConnectionSpec {
            on_point: Some(on_point),
            ..spec("dying")
        })
        .unwrap();
    assert_eq!(event(&dying), "take [0]");
    assert!(dying.reached(Step::Stored).is_err());
    assert!(dying.commit(&at(1)).is_err());
    assert!(send(&dying, "k", "1", 0).is_err());
    let give_up = dying.now() + SECOND;
    dying.serve(SECOND, &mut |_| panic!("nothing was sent"));
    assert!(dying.now() >= give_up, "it would wait for ever");
    dying.close();
    assert_eq!(*steps.borrow(), [Step::Stored]);
    let other = connect(&world, "other");
    assert_eq!(event(&other), "nothing");
    world.advance(7 * SECOND);
    assert_eq!(event(&other), "take [0]", "its session had to time out");
    assert_eq!(world.mishaps().crashed, 1);
}

#[test]
fn records_of_unassigned_partitions_may_come_late_but_not_after_the_next_assign() {
    let mut late = 0;
    for seed in 0..20 {
        let chance = Chance::seeded(seed);
        let world = with(
            Settings {
                chance,
                ..Settings::default()
            },
            1,
        );
        for _ in 0..5 {
            world.append(INPUT, 0, None, None).unwrap();
        }
        let connection = connect(&world, "a");
        assert_eq!(event(&connection), "take [0]");
        connection.assign(0, &[0]).unwrap();
        assert_eq!(event(&connection), "0@0");
        connection.unassign(0).unwrap();
        late += usize::from(event(&connection) == "0@1");
        connection.unassign(0).unwrap();
        connection.assign(0, &[0]).unwrap();
        assert_eq!(event(&connection), "0@0");
    }
    assert!((5..20).contains(&late), "{late} of 20");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let run = |seed| {
        let chance = Chance::seeded(seed);
        let world = with(
            Settings {
                chance,
                ..Settings::default()
            },
            3,
        );
        world.keep_trace();
        let (a, b) = (connect(&world, "a"), connect(&world, "b"));
        for n in 0..20 {
            send(&a, "k", &n.to_string(), 0).unwrap();
            send(&b, "k", &n.to_string(), 0).unwrap();
            event(&a);
            event(&b);
            world.advance(SECOND / 100);
        }
        world.trace()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
