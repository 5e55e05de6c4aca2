//! scratch
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::time::{Duration, Instant};
#[goka::stream("user-clicks", value = String)]
pub struct UserClicks;
#[goka::table(group = "my-group", value = i64)]
pub struct Clicks;
#[goka::processor(group = "my-group", input = UserClicks, table = Clicks)]
fn count(ctx: &mut count::Context, _at: String) -> goka::Result {
    let n = ctx.value()?.unwrap_or(0);
    ctx.set_value(&(n + 1))
}
#[tokio::main]
async fn main() -> goka::Result {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let n: i64 = std::env::args()
        .nth(1)
        .map_or(100_000, |n| n.parse().unwrap());
    let brokers = std::env::args().nth(2).unwrap_or("embedded".into());
    let produce = std::env::args().nth(3).is_none_or(|x| x != "no");
    let workers = 2;
    let broker = (brokers == "embedded").then(|| goka::EmbeddedBroker::start().unwrap());
    let address = broker
        .as_ref()
        .map_or(brokers.clone(), |b| b.address().to_owned());
    if let Some(b) = &broker {
        b.create_topic("user-clicks", 4)?;
    }
    let config = goka::Config::new()
        .brokers(address.clone())
        .state_dir("/tmp/scratch-state")
        .workers(workers)
        .create_stream("user-clicks", 4);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &address)
        .set("linger.ms", "5")
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap();
    let t = Instant::now();
    let running = goka::App::new(config.clone())
        .processor(count::Processor)
        .start()
        .await?;
    println!("started {:?}", t.elapsed());
    running.recovered().await?;
    println!("recovered {:?} {:?}", t.elapsed(), running.stats());
    let t = Instant::now();
    if produce {
        std::thread::spawn(move || {
            for i in 0..n {
                let key = format!("user-{}", i % 1000);
                while let Err((_, _)) =
                    producer.send(BaseRecord::to("user-clicks").key(&key).payload("now"))
                {
                    producer.poll(Duration::from_millis(1));
                }
                if i % 1000 == 0 {
                    producer.poll(Duration::ZERO);
                }
            }
            producer.flush(Duration::from_secs(20)).unwrap();
            println!("produced");
        });
    }
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let h = running.stats().groups[0].handled as i64;
        if h != last {
            println!("{h} {:?}", t.elapsed());
        }
        last = h;
        if h >= n {
            break;
        }
    }
    let view = goka::View::<Clicks>::open(&config).await?;
    view.recovered().await?;
    let sum: i64 = view.iter().map(|r| r.unwrap().1).sum();
    println!("sum {sum} {:?}", view.state());
    println!("get {:?}", view.get("user-7")?);
    let t = Instant::now();
    running.shutdown().await?;
    println!("shutdown {:?}", t.elapsed());
    Ok(())
}
