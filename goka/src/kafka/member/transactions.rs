//! Transactions of a worker's producer. A separate thread waits for the brokers, so that the worker can fill the next
//! transaction while the previous transaction is being committed.
//!
//! Every error has one of three consequences. A retriable step is repeated. An abortable transaction is aborted, and
//! the producer continues. If the outcome is unknown, or another producer has taken the transactional id, a new
//! producer replaces the old one, and the initialization of the new producer aborts the transaction that the old one
//! may have left open. Must not know what is in a transaction.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, TryRecvError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{TopicPartitionList, error::RDKafkaErrorCode};

use super::fence::Fence;
use crate::{
    base::error::Error,
    engine::port::{Step, crash},
    kafka::{
        client::{
            connection::Connection,
            settings::{self, Role},
        },
        native::transaction::{self as native, Membership, Problem},
        produce::producer::{Delivered, Producer},
    },
};

/// How long one request may take before it is repeated.
const STEP: Duration = Duration::from_secs(5);
/// Pause between two attempts to open a producer.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the first producer may take to initialize its transactional id.
const BEGIN: Duration = Duration::from_secs(30);
/// How long a worker that leaves waits for an abort that is in flight.
const LEAVE: Duration = Duration::from_secs(2);

/// What is needed to open a producer with this transactional id, at first and again after each failure.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) connection: Connection,
    pub(crate) client: String,
    pub(crate) targets: Vec<String>,
    pub(crate) transactional_id: String,
}

/// The current producer, and the outcomes of its transactions.
pub(crate) struct Transactions {
    producer: RefCell<Arc<Producer>>,
    /// Producers that were replaced, each until all its records are reported.
    retired: RefCell<Vec<Arc<Producer>>>,
    jobs: mpsc::Sender<Job>,
    outcomes: mpsc::Receiver<Outcome>,
    /// Number of jobs whose outcome was not received yet.
    open_jobs: Cell<usize>,
    /// Why the last commit was refused before it was started.
    refused: RefCell<Option<Error>>,
    is_closed: Arc<AtomicBool>,
    maker: Maker,
    /// The thread that fences a previous owner. At most one such thread runs at a time.
    fence: RefCell<Option<JoinHandle<()>>>,
}

enum Job {
    Commit(Arc<Producer>, TopicPartitionList, Membership),
    Abort(Arc<Producer>),
}

/// The outcome of a job. It contains the new producer if the job has replaced the old one.
type Outcome = Result<Option<Arc<Producer>>, Error>;

/// The state of the thread that commits and aborts transactions.
struct Coordinator {
    maker: Maker,
    timeout: Duration,
    /// Whether the outcome of the last transaction is unknown, or the producer of that transaction cannot continue.
    is_broken: bool,
    is_closed: Arc<AtomicBool>,
}

impl Transactions {
    /// Opens the first producer. This aborts any transaction that is still open under the transactional id.
    pub(crate) fn open(maker: Maker) -> Result<Self, Error> {
        let is_closed = Arc::new(AtomicBool::new(false));
        let mut coordinator = Coordinator {
            timeout: settings::transaction_timeout(&maker.connection.config)?,
            maker: maker.clone(),
            is_broken: false,
            is_closed: is_closed.clone(),
        };
        let producer = coordinator.new_producer(Some(Instant::now() + BEGIN))?;
        let (jobs, asked) = mpsc::channel();
        let (told, outcomes) = mpsc::channel();
        thread::Builder::new()
            .name("goka-transaction".to_owned())
            .spawn(move || {
                for job in asked {
                    // `send` fails if the worker is gone.
                    let _ = told.send(coordinator.work(job));
                }
            })
            .map_err(|error| Error::system("start the thread that commits transactions", error))?;
        Ok(Transactions {
            producer: RefCell::new(producer),
            retired: RefCell::default(),
            jobs,
            outcomes,
            open_jobs: Cell::new(0),
            refused: RefCell::default(),
            is_closed,
            maker,
            fence: RefCell::default(),
        })
    }

    pub(crate) fn producer(&self) -> Arc<Producer> {
        self.producer.borrow().clone()
    }

    /// Calls `use_it` with the current producer.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&Producer) -> R) -> R {
        use_it(&self.producer.borrow())
    }

    pub(crate) fn end(&self) {
        self.producer.borrow().hold();
    }

    pub(crate) fn commit(&self, offsets: TopicPartitionList, membership: Membership) {
        self.ask(Job::Commit(self.producer(), offsets, membership));
    }

    /// Makes this error the next outcome, and starts no commit.
    pub(crate) fn refuse(&self, why: Error) {
        *self.refused.borrow_mut() = Some(why);
    }

    pub(crate) fn abort(&self) {
        *self.refused.borrow_mut() = None;
        let producer = self.producer.borrow();
        producer.hold();
        producer.give_up_waiting();
        self.ask(Job::Abort(producer.clone()));
    }

    fn ask(&self, job: Job) {
        self.open_jobs.set(self.open_jobs.get() + 1);
        // If `send` fails because the thread is gone, `outcome` returns an error.
        let _ = self.jobs.send(job);
    }

    /// The outcome of the last job, which is returned only once; `None` until the job is done.
    pub(crate) fn outcome(&self) -> Option<Result<(), Error>> {
        if let Some(why) = self.refused.borrow_mut().take() {
            return Some(Err(why));
        }
        loop {
            let outcome = match self.outcomes.try_recv() {
                Ok(outcome) => outcome,
                Err(TryRecvError::Empty) => return None,
                // The thread panicked, which is a bug.
                Err(TryRecvError::Disconnected) => {
                    return Some(Err(Error::Closed("the thread that commits transactions")));
                }
            };
            self.open_jobs.set(self.open_jobs.get() - 1);
            let outcome = outcome.map(|new| {
                if let Some(new) = new {
                    let old = self.producer.replace(new);
                    old.purge();
                    self.retired.borrow_mut().push(old);
                }
            });
            if self.open_jobs.get() > 0 {
                // This is the outcome of a commit after which the worker has already asked for an abort. The outcome
                // of the abort will follow.
                continue;
            }
            if outcome.is_ok() {
                self.producer.borrow().release();
            }
            return Some(outcome);
        }
    }

    pub(crate) fn serve(&self, wait: Duration, on: &mut dyn FnMut(Delivered)) {
        self.producer.borrow().serve(wait, on);
        let mut retired = self.retired.borrow_mut();
        for producer in &*retired {
            producer.serve(Duration::ZERO, on);
        }
        retired.retain(|producer| producer.in_flight() > 0);
    }

    pub(crate) fn in_flight(&self) -> usize {
        let retired = self.retired.borrow();
        let retired: usize = retired.iter().map(|producer| producer.in_flight()).sum();
        retired + self.producer.borrow().in_flight()
    }

    /// Starts a thread that aborts the open transactions of the workers that last committed offsets of these
    /// partitions, unless such a thread is still running.
    pub(crate) fn fence(&self, group: &str, offsets: TopicPartitionList, before: BTreeSet<String>) {
        let mut running = self.fence.borrow_mut();
        if running.as_ref().is_some_and(|fence| !fence.is_finished()) {
            return;
        }
        let fence = Fence {
            connection: self.maker.connection.clone(),
            group: group.to_owned(),
            own: self.maker.transactional_id.clone(),
            offsets,
            before,
        };
        let thread = thread::Builder::new().name("goka-fence".to_owned());
        match thread.spawn(move || fence.raise()) {
            Ok(thread) => *running = Some(thread),
            Err(error) => tracing::warn!(
                target: "goka::kafka", group, %error,
                "cannot start the thread that aborts transactions of previous owners"
            ),
        }
    }

    /// Waits up to [`LEAVE`] for an abort that is in flight, because the next owner of the partitions has to wait for
    /// the abort.
    pub(crate) fn close(&self) {
        let give_up = Instant::now() + LEAVE;
        let is_closed = self.is_closed.load(Ordering::Relaxed);
        while !is_closed && self.open_jobs.get() > 0 && Instant::now() < give_up {
            self.serve(Duration::from_millis(5), &mut |_| {});
            self.outcome();
        }
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

impl Coordinator {
    fn work(&mut self, job: Job) -> Outcome {
        match job {
            Job::Commit(producer, offsets, membership) => {
                let committed = self.commit(&producer, &offsets, &membership);
                committed
                    .map(|()| None)
                    .map_err(|problem| self.failed("commit", &problem))
            }
            Job::Abort(producer) => {
                if !self.is_broken {
                    match self.abort(&producer) {
                        Ok(()) => return Ok(None),
                        Err(problem) => {
                            self.log(
                                "cannot abort a transaction; replacing its producer",
                                &problem,
                            );
                        }
                    }
                }
                drop(producer);
                self.new_producer(None).map(Some)
            }
        }
    }

    fn commit(
        &mut self,
        producer: &Producer,
        offsets: &TopicPartitionList,
        membership: &Membership,
    ) -> Result<(), Problem> {
        let client = producer.client();
        self.retried(|wait| native::send_offsets(client, offsets, membership, wait))?;
        crash::pass(Step::OffsetsSent);
        self.retried(|wait| native::commit_transaction(client, wait))?;
        self.retried(|_| native::begin_transaction(client))
    }

    fn abort(&mut self, producer: &Producer) -> Result<(), Problem> {
        let client = producer.client();
        self.retried(|wait| native::abort_transaction(client, wait))?;
        self.retried(|_| native::begin_transaction(client))
    }

    /// Takes a step, and repeats it while its error is retriable, but not for longer than the transaction timeout.
    fn retried(&mut self, step: impl Fn(Duration) -> Result<(), Problem>) -> Result<(), Problem> {
        let give_up = Instant::now() + self.timeout;
        loop {
            let Err(problem) = step(STEP) else {
                return Ok(());
            };
            let again = problem.is_retriable && Instant::now() < give_up;
            if !again || self.is_closed.load(Ordering::Relaxed) {
                self.is_broken |= !problem.is_abortable;
                return Err(problem);
            }
            self.log("a step of a transaction failed; trying again", &problem);
        }
    }

    /// Opens a producer and begins its first transaction. This fences earlier producers of the transactional id. Tries
    /// again until `give_up`; if `give_up` is `None`, for as long as the brokers cannot be reached.
    fn new_producer(&mut self, give_up: Option<Instant>) -> Result<Arc<Producer>, Error> {
        loop {
            let problem = match self.try_new_producer() {
                Ok(producer) => {
                    self.is_broken = false;
                    return Ok(Arc::new(producer));
                }
                Err(problem) => problem,
            };
            use RDKafkaErrorCode::*;
            let is_hopeless = matches!(
                problem.code,
                TransactionalIdAuthorizationFailed
                    | ClusterAuthorizationFailed
                    | InvalidTransactionTimeout
                    | UnsupportedFeature
            );
            let is_late = give_up.is_some_and(|give_up| Instant::now() > give_up);
            if is_hopeless || is_late || self.is_closed.load(Ordering::Relaxed) {
                return Err(self.failed("begin", &problem));
            }
            self.log(
                "cannot initialize a transactional producer; trying again",
                &problem,
            );
            // The brokers refused the request or were away, and send no event when they would accept it. Only the
            // thread of the transactions waits here.
            thread::sleep(PAUSE);
        }
    }

    fn try_new_producer(&self) -> Result<Producer, Problem> {
        let maker = &self.maker;
        let id = Some(&*maker.transactional_id);
        let (client, targets) = (maker.client.clone(), &maker.targets);
        let producer = Producer::open(&maker.connection, Role::Worker, client, targets, id);
        let producer = producer.map_err(|error| Problem {
            code: RDKafkaErrorCode::AllBrokersDown,
            reason: error.to_string(),
            is_retriable: true,
            is_abortable: false,
        })?;
        native::init_transactions(producer.client(), STEP)?;
        native::begin_transaction(producer.client())?;
        Ok(producer)
    }

    fn log(&self, event: &str, problem: &Problem) {
        let id = &self.maker.transactional_id;
        tracing::warn!(
            target: "goka::kafka",
            transactional_id = id, error = problem.reason,
            "{event}"
        );
    }

    fn failed(&self, doing: &str, problem: &Problem) -> Error {
        use RDKafkaErrorCode::*;
        let id = &self.maker.transactional_id;
        let cure = match problem.code {
            TransactionalIdAuthorizationFailed => {
                "; grant the ACLs `Write` and `Describe` on the transactional id"
            }
            ClusterAuthorizationFailed => "; grant the ACL `IdempotentWrite` on the cluster",
            GroupAuthorizationFailed => "; grant the ACL `Read` on the group",
            TopicAuthorizationFailed => {
                "; grant the ACL `Write` on each topic that the group writes, and `Read` on each input of the group, its \
                 loop and its changelog"
            }
            InvalidTransactionTimeout => {
                "; lower `transaction.timeout.ms`, or raise the broker's `transaction.max.timeout.ms`"
            }
            OperationTimedOut | BrokerTransportFailure => {
                "; check that the brokers respond, and that they can store transactions: \
                 `transaction.state.log.replication.factor` must not exceed the number of brokers"
            }
            _ => "",
        };
        let why = format!("{}: {}{cure}", problem.code, problem.reason);
        Error::kafka(
            format!("{doing} a transaction of transactional id `{id}`"),
            why,
        )
    }
}
