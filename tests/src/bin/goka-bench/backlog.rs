//! Measures the cost of a handler that waits: one partition has a large backlog behind the record of this handler,
//! while the handlers of the other partitions continue.

use std::{sync::Arc, time::Instant};

use anyhow::ensure;
use goka::{App, BoxError, Context};
use goka_tests::{Message, produce};
use tokio::sync::Semaphore;

use crate::{
    What,
    measure::{Measured, Meter},
    place::Place,
    report::Report,
    settings::Settings,
    throughput,
};

#[goka::stream("letters", value = Vec<u8>)]
struct Letters;

#[goka::table(group = "post", value = u64)]
struct Post;

struct Office {
    permits: Arc<Semaphore>,
}

#[goka::processor(group = "post", table = Post)]
impl Office {
    #[input(Letters)]
    async fn letter(&self, ctx: &mut Context<'_, Self>, _letter: Vec<u8>) -> Result<(), BoxError> {
        if ctx.key() == "stuck" {
            self.permits.acquire().await?.forget();
        }
        let letters = ctx.value()?.unwrap_or(0);
        Ok(ctx.set_value(&(letters + 1))?)
    }
}

const LETTER_BYTES: u64 = 10_000;

/// Number of letters behind the letter whose handler waits.
fn behind(megabytes: u64) -> u64 {
    megabytes * 1_000_000 / LETTER_BYTES
}

pub(crate) fn run(place: &Place, settings: &Settings, megabytes: u64) -> anyhow::Result<Report> {
    ensure!(
        settings.partitions > 1,
        "`--partitions` must be at least 2: one partition waits while the others go on"
    );
    let prefix = place.prefix();
    let topic = format!("{prefix}letters");
    place.create(&topic, settings.partitions)?;
    let letter = |key: String, partition: i32, bytes: u64| Message {
        partition: Some(partition),
        ..Message::new(key, vec![b'x'; usize::try_from(bytes).unwrap_or(0)])
    };
    let stuck = std::iter::once(letter("stuck".to_owned(), 0, 1));
    let backlog =
        (0..behind(megabytes)).map(|n| letter(format!("behind-{}", n % 1_000), 0, LETTER_BYTES));
    let others = i64::from(settings.partitions) - 1;
    let others = (0..settings.messages).map(|n| {
        let partition = 1 + n.cast_signed() % others;
        let partition = i32::try_from(partition).unwrap_or(1);
        letter(format!("{partition}-{}", n % settings.users), partition, 20)
    });
    produce(place.address(), &topic, stuck.chain(backlog).chain(others));
    let measured = place.measure(What::Backlog { megabytes }, settings, &prefix)?;
    // The messages were not written to the partitions that the partitioner would choose for their keys, so the table is
    // checked only by the total of its rows.
    let table = format!("{prefix}post-state");
    let mut rows = std::collections::HashMap::new();
    goka_tests::visit_topic(place.address(), &table, |row| {
        let letters: u64 = row.value_text().parse().unwrap_or(0);
        rows.insert((row.partition, row.key), letters);
    });
    let verified = rows.values().sum::<u64>() == settings.messages + behind(megabytes) + 1;
    place.delete(&topic);
    place.delete(&table);
    Ok(Report::new("backlog", settings, measured, verified))
}

pub(crate) async fn measure(
    megabytes: u64,
    settings: &Settings,
    prefix: &str,
) -> anyhow::Result<Measured> {
    let state = tempfile::tempdir()?;
    let config = settings.config(prefix)?.state_dir(state.path());
    let permits = Arc::new(Semaphore::new(0));
    let office = Office {
        permits: permits.clone(),
    };
    let (waiting, all) = (Meter::start(), Meter::start());
    let running = App::new(config).processor(office).start().await?;
    let others = settings.messages;
    let (begun, done) = throughput::handle(&running, others).await?;
    let waiting = waiting.stop(others, begun, done);
    permits.add_permits(1);
    let total = others + behind(megabytes) + 1;
    let (_, done): (Instant, Instant) = throughput::handle(&running, total).await?;
    running.shutdown().await?;
    Ok(all
        .stop(total, begun, done)
        .with("backlog_megabytes", megabytes)
        .with("seconds_of_others", waiting.seconds)
        .with(
            "peak_anonymous_mib_while_waiting",
            waiting.peak_anonymous_mib,
        ))
}
