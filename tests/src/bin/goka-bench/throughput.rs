//! Measures throughput: a processor counts the clicks in a topic that was filled beforehand.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use goka::{App, Processor, Running};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use tokio::time::interval;

use crate::{
    What,
    clicks::{self, Model},
    measure::{Measured, Meter},
    place::Place,
    report::Report,
    settings::Settings,
    table::{count, remember},
};

/// The longest time without progress before the run fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(place: &Place, settings: &Settings) -> anyhow::Result<Report> {
    clicks::fill(place, settings)?;
    let model = Model::of_clicks(place, settings);
    run_with(place, settings, &model)
}

/// Counts the clicks of a topic that was filled beforehand, and checks the table with the model.
pub(crate) fn run_with(
    place: &Place,
    settings: &Settings,
    model: &Model,
) -> anyhow::Result<Report> {
    let prefix = place.prefix();
    let table = format!("{prefix}{}-state", group(settings));
    let what = What::Throughput { compare: None };
    let measured = place.measure_together(settings.processes, what, settings, &prefix)?;
    let verified = model.is_counted(place, settings, &table);
    place.delete(&table);
    Ok(Report::new("throughput", settings, measured, verified))
}

fn group(settings: &Settings) -> &'static str {
    match settings.value_bytes {
        None => count::Processor::GROUP,
        Some(_) => remember::Processor::GROUP,
    }
}

pub(crate) async fn measure(settings: &Settings, prefix: &str) -> anyhow::Result<Measured> {
    let positions = Positions::open(settings, &format!("{prefix}{}", group(settings)))?;
    let state = tempfile::tempdir()?;
    let config = settings.config(prefix)?;
    let config = config.topic("clicks", clicks::topic(settings));
    let app = App::new(config.state_dir(state.path()));
    let app = match settings.value_bytes {
        None => app.processor(count::Processor),
        Some(_) => app.processor(remember::Processor),
    };
    let meter = Meter::start();
    let running = app.start().await?;
    // If there are several processes, none of them knows in advance how many messages it will process.
    let alone = settings.processes == 1;
    let (begun, handled) = handle(&running, if alone { settings.messages } else { 1 }).await?;
    let mut ticks = interval(Duration::from_millis(if alone { 2 } else { 20 }));
    let (mut committed, mut moved) = (0, handled);
    while committed < settings.messages {
        ticks.tick().await;
        let now = positions.committed()?;
        if now > committed {
            (committed, moved) = (now, Instant::now());
        }
        if moved.elapsed() > PATIENCE {
            bail!("the group did not commit its positions");
        }
    }
    let measured = meter.stop(settings.messages, begun, Instant::now());
    running.shutdown().await?;
    if !alone {
        return Ok(measured);
    }
    let seconds = handled.duration_since(begun).as_secs_f64();
    Ok(measured.with("seconds_until_handled", seconds))
}

/// Waits until `messages` messages are processed. Returns the times at which the first and the last of these messages
/// were processed.
pub(crate) async fn handle(running: &Running, messages: u64) -> anyhow::Result<(Instant, Instant)> {
    let mut ticks = interval(Duration::from_millis(1));
    let (mut begun, mut moved, mut handled) = (None, Instant::now(), 0);
    while handled < messages {
        ticks.tick().await;
        let now = running.stats().groups[0].handled;
        if now > handled {
            (handled, moved) = (now, Instant::now());
            begun.get_or_insert(moved);
        }
        if moved.elapsed() > PATIENCE {
            bail!("no progress after {handled} of {messages} messages");
        }
    }
    Ok((begun.context("the input has no messages")?, moved))
}

/// Reads the committed offsets of the group with a plain client.
struct Positions {
    consumer: BaseConsumer,
    asked: TopicPartitionList,
}

impl Positions {
    fn open(settings: &Settings, group: &str) -> anyhow::Result<Positions> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", &settings.brokers)
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .create()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&clicks::topic(settings), 0, settings.partitions - 1);
        Ok(Positions { consumer, asked })
    }

    /// Number of messages before the committed offsets, in all partitions. Each partition begins at offset 0, and each
    /// of its offsets holds a message.
    fn committed(&self) -> anyhow::Result<u64> {
        let committed = self
            .consumer
            .committed_offsets(self.asked.clone(), PATIENCE)?;
        let offsets = committed.elements().into_iter().map(|partition| {
            let offset = match partition.offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            };
            offset.cast_unsigned()
        });
        Ok(offsets.sum())
    }
}
