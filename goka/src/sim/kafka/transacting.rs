//! A connection's side of its transactions: the records that wait for the next transaction, and the requests in
//! flight. Must not know what is in a transaction.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    time::Duration,
};

use super::{
    coordinator::{Job, Wish},
    log::Written,
    positions::Positions,
    producer::{Place, failed},
    state::State,
};
use crate::{
    base::error::Error,
    engine::port::{Committed, Report},
};

pub(super) struct Transacting {
    pub(super) id: Rc<str>,
    /// Identifies the connection to the coordinator, for its answers.
    connection: u64,
    producer: Cell<u64>,
    /// Former producers of this connection, which were replaced.
    retired: RefCell<Vec<u64>>,
    /// Number of the current producer's transaction to which records are added.
    number: Cell<u64>,
    /// Whether the transaction has ended: records that are sent now wait for the next transaction.
    has_ended: Cell<bool>,
    waiting: RefCell<Vec<(Place, Written, u32)>>,
    given_up: RefCell<Vec<Report>>,
    refused: RefCell<Option<Error>>,
    open_jobs: Cell<u32>,
}

impl Transacting {
    pub(super) fn begin(state: &mut State, id: Rc<str>) -> Self {
        let producer = state.init_transactions(&id);
        Transacting {
            id,
            connection: producer,
            producer: Cell::new(producer),
            retired: RefCell::default(),
            number: Cell::new(1),
            has_ended: Cell::new(false),
            waiting: RefCell::default(),
            given_up: RefCell::default(),
            refused: RefCell::default(),
            open_jobs: Cell::new(0),
        }
    }

    pub(super) fn producer(&self) -> u64 {
        self.producer.get()
    }

    pub(super) fn send(&self, state: &mut State, place: Place, record: Written, tag: u32) {
        if self.has_ended.get() {
            self.waiting.borrow_mut().push((place, record, tag));
        } else {
            let of = (self.producer.get(), Some(self.number.get()));
            state.send(of, place, record, tag);
        }
    }

    pub(super) fn end(&self) {
        self.has_ended.set(true);
    }

    pub(super) fn commit(&self, state: &mut State, positions: Positions) {
        self.ask(state, Wish::Commit(positions));
    }

    pub(super) fn refuse(&self, why: Error) {
        *self.refused.borrow_mut() = Some(why);
    }

    pub(super) fn abort(&self, state: &mut State) {
        *self.refused.borrow_mut() = None;
        self.has_ended.set(true);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        let given_up = waiting
            .into_iter()
            .map(|(_, _, tag)| failed(tag, "the record was given up"));
        self.given_up.borrow_mut().extend(given_up);
        state.purge(self.producer.get(), false);
        self.ask(state, Wish::Abort);
    }

    fn ask(&self, state: &mut State, wish: Wish) {
        self.open_jobs.set(self.open_jobs.get() + 1);
        let takes = state.delay();
        state.coordinator.ask(Job {
            at: state.now + takes,
            connection: self.connection,
            id: Rc::clone(&self.id),
            producer: self.producer.get(),
            number: self.number.get(),
            wish,
        });
    }

    /// The outcome of the last request. Each outcome is returned once.
    pub(super) fn outcome(&self, state: &mut State) -> Option<Result<(), Error>> {
        if let Some(why) = self.refused.borrow_mut().take() {
            return Some(Err(why));
        }
        loop {
            let answer = state.coordinator.take_answer(self.connection, state.now)?;
            self.open_jobs.set(self.open_jobs.get() - 1);
            match &answer {
                Ok(None) => self.number.set(self.number.get() + 1),
                Ok(Some(new)) => {
                    self.retired.borrow_mut().push(self.producer.replace(*new));
                    self.number.set(1);
                }
                Err(_) => {}
            }
            if self.open_jobs.get() > 0 {
                continue;
            }
            if answer.is_ok() {
                self.has_ended.set(false);
                let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
                for (place, record, tag) in waiting {
                    self.send(state, place, record, tag);
                }
            }
            return Some(answer.map(|_| ()));
        }
    }

    pub(super) fn take_reports(&self, state: &mut State) -> Vec<Report> {
        let mut reports = state.take_reports(self.producer.get());
        for producer in &*self.retired.borrow() {
            reports.extend(state.take_reports(*producer));
        }
        reports.append(&mut self.given_up.borrow_mut());
        reports
    }

    pub(super) fn in_flight(&self, state: &State) -> usize {
        let retired = self.retired.borrow();
        let producers = retired.iter().copied().chain([self.producer.get()]);
        let sent: usize = producers.map(|producer| state.in_flight(producer)).sum();
        sent + self.waiting.borrow().len() + self.given_up.borrow().len()
    }

    /// Discards the state of this connection, whose process is gone.
    pub(super) fn die(&self, state: &mut State) {
        state.purge(self.producer.get(), true);
        let is_lost = state.chance.one_in(2);
        state.coordinator.forget(self.connection, is_lost);
    }

    /// Starts to abort the open transactions of other workers: those that made the last commits of this partition.
    pub(super) fn fence(
        &self,
        state: &mut State,
        group: &str,
        sources: &[Rc<str>],
        partition: i32,
        before: &BTreeSet<String>,
    ) {
        let group = state.groups.get(group);
        let committed = sources.iter();
        let committed = committed.filter_map(|topic| group?.committed(topic, partition));
        let owners = committed.flat_map(|c| Committed::committers(&c.metadata));
        let before = before.iter().map(String::as_str);
        let owners: BTreeSet<Rc<str>> = owners.chain(before).map(Rc::from).collect();
        for owner in owners.into_iter().filter(|owner| *owner != self.id) {
            let takes = state.delay() + Duration::from_millis(1);
            state.coordinator.ask(Job {
                at: state.now + takes,
                connection: 0,
                id: owner,
                producer: 0,
                number: 0,
                wish: Wish::Fence,
            });
        }
    }
}
