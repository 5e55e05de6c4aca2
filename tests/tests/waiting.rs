//! `async` handlers that wait: each handler blocks only its own partition. All workers share what belongs to the
//! application's runtime, for example an HTTP client.

mod place;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
};

use axum::{Router, extract::Path, routing::get};
use goka::{App, BoxError, Context, Running};
use goka_tests::{DEADLINE, Message, broker, last_values, produce, wait_for_records};
use place::Place;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

async fn end(running: Running) {
    let ended = timeout(DEADLINE, running.shutdown()).await;
    ended
        .expect("the app ends in time")
        .expect("the app ends without an error");
}

#[goka::stream("jobs", value = i64)]
struct Jobs;

#[goka::table(group = "workshop", value = i64)]
struct Done;

struct Workshop {
    permits: Arc<Semaphore>,
}

#[goka::processor(group = "workshop", table = Done)]
impl Workshop {
    #[input(Jobs)]
    async fn job(&self, ctx: &mut Context<'_, Self>, size: i64) -> Result<(), BoxError> {
        if ctx.key() == "stuck" {
            self.permits.acquire().await?.forget();
        }
        let done = ctx.value()?.unwrap_or(0);
        Ok(ctx.set_value(&(done + size))?)
    }
}

#[tokio::test]
async fn a_handler_that_waits_blocks_its_partition_and_no_other_of_its_worker() {
    const BEHIND: usize = 3_000;
    let place = Place::new("waiting");
    broker().create_topic(&place.physical("jobs"), 4);
    let job = |partition: i32, key: String| Message {
        partition: Some(partition),
        ..Message::new(key, "1")
    };
    let stuck = [job(0, "stuck".to_owned())];
    let others = (0..4 * BEHIND).map(|n| {
        let partition = i32::try_from(n % 4).expect("the number is below 4");
        job(partition, format!("key-{partition}-{}", n % 100))
    });
    let jobs: Vec<_> = stuck.into_iter().chain(others).collect();
    produce(broker().address(), &place.physical("jobs"), jobs);
    let permits = Arc::new(Semaphore::new(0));
    let workshop = Workshop {
        permits: permits.clone(),
    };
    let app = App::new(place.config().workers(1)).processor(workshop);
    let running = app.start().await.expect("the app starts");
    let rows = wait_for_records(place.physical("workshop-state"), 3 * BEHIND).await;
    assert!(
        rows.iter().all(|row| row.partition != 0),
        "later records of the partition must wait"
    );
    permits.add_permits(1);
    let rows = wait_for_records(place.physical("workshop-state"), 4 * BEHIND + 1).await;
    end(running).await;
    let of_it: Vec<_> = rows.iter().filter(|row| row.partition == 0).collect();
    assert_eq!(
        of_it[0].key_text(),
        "stuck",
        "the first row must be that of the first record in the partition"
    );
    let mut model = BTreeMap::from([("stuck".to_owned(), 1)]);
    for n in 0..4 * BEHIND {
        *model
            .entry(format!("key-{}-{}", n % 4, n % 100))
            .or_insert(0) += 1;
    }
    let model: BTreeMap<_, _> = model
        .into_iter()
        .map(|(key, done)| (key, done.to_string()))
        .collect();
    assert_eq!(last_values(&rows), model);
}

#[goka::stream("sightings", value = u64)]
struct Sightings;

#[goka::table(group = "birds", value = String)]
struct Birds;

/// A processor that sends an HTTP request to a service for each record.
struct Catalogue {
    client: reqwest::Client,
    url: String,
    /// The threads of the workers that have sent a request.
    threads: Arc<Mutex<HashSet<ThreadId>>>,
}

#[goka::processor(group = "birds", table = Birds)]
impl Catalogue {
    #[input(Sightings)]
    async fn seen(&self, ctx: &mut Context<'_, Self>, bird: u64) -> Result<(), BoxError> {
        let thread = thread::current().id();
        self.threads
            .lock()
            .expect("no thread panicked while it held the lock")
            .insert(thread);
        let answer = self
            .client
            .get(format!("{}/birds/{bird}", self.url))
            .send()
            .await?;
        let name = answer.error_for_status()?.text().await?;
        Ok(ctx.set_value(&name)?)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_http_client_serves_the_handlers_of_two_workers() {
    const SIGHTINGS: u64 = 8_000;
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let bird = move |Path(bird): Path<u64>| async move {
        count.fetch_add(1, Ordering::Relaxed);
        format!("bird {bird}")
    };
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("the service finds a free port");
    let url = format!(
        "http://{}",
        listener.local_addr().expect("the listener has an address")
    );
    let served = axum::serve(listener, Router::new().route("/birds/{bird}", get(bird)));
    let server = tokio::spawn(served.into_future());
    let place = Place::new("birds");
    broker().create_topic(&place.physical("sightings"), 16);
    let compacted = [("cleanup.policy", "compact")];
    broker().create_topic_with(&place.physical("birds-state"), 16, &compacted);
    let sightings =
        (0..SIGHTINGS).map(|n| Message::new(format!("place-{}", n % 1_000), n.to_string()));
    let client = reqwest::Client::new();
    let threads = Arc::default();
    let catalogue = Catalogue {
        client,
        url,
        threads: Arc::clone(&threads),
    };
    let app = App::new(place.config().workers(2)).processor(catalogue);
    let running = app.start().await.expect("the app starts");
    let shared_out = async {
        let has_some = |partitions: &Vec<i32>| !partitions.is_empty();
        while !running.stats().groups[0].workers.iter().all(has_some) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, shared_out)
        .await
        .expect("both workers have partitions");
    produce(broker().address(), &place.physical("sightings"), sightings);
    let rows = wait_for_records(
        place.physical("birds-state"),
        usize::try_from(SIGHTINGS).expect("few"),
    )
    .await;
    end(running).await;
    server.abort();
    assert!(
        asked.load(Ordering::Relaxed) >= SIGHTINGS,
        "each handler must have sent a request"
    );
    let threads = threads
        .lock()
        .expect("no thread panicked while it held the lock")
        .clone();
    assert_eq!(threads.len(), 2, "{threads:?}");
    let last = |n: u64| {
        (
            format!("place-{n}"),
            format!("bird {}", SIGHTINGS - 1_000 + n),
        )
    };
    assert_eq!(last_values(&rows), (0..1_000).map(last).collect());
}
