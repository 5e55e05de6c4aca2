//! Records in flight from a producer to their partitions.
//!
//! The records of a partition land (are written) in the order in which they were sent. A record lands before its
//! delivery report arrives: in between, the record is in the topic and its sender does not know that. A record without
//! a report within the message timeout is reported as failed, although it may have landed. Must not know groups, and
//! no time but the time it is given.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use super::{chance::Chance, log::Written};
use crate::engine::port::{Report, Undelivered};

/// A topic and a partition.
pub(super) type Place = (Rc<str>, i32);

/// A record in flight.
pub(super) struct Flight {
    pub(super) record: Written,
    pub(super) tag: u32,
    /// Number of the producer's transaction that contains the record; `None` without transactions.
    pub(super) transaction: Option<u64>,
    pub(super) lands_at: Duration,
    /// Time from the landing of the record to the arrival of its report.
    pub(super) report_takes: Duration,
    pub(super) times_out_at: Duration,
    /// Whether the record is lost and never lands.
    pub(super) lost: bool,
    /// Whether nobody waits for the report: the record was already reported as failed, or its sender is gone.
    pub(super) forgotten: bool,
}

/// An event in a producer that is due.
pub(super) enum Due {
    /// A record lands. The caller appends it to its partition, and then calls [`Producer::landed`].
    Land(Place, Box<Flight>),
    /// A record was lost or timed out.
    TimedOut,
}

#[derive(Default)]
pub(super) struct Producer {
    pub(super) transactional_id: Option<Rc<str>>,
    lanes: BTreeMap<Place, VecDeque<Flight>>,
    /// For each partition, the reports in flight, in order.
    reports_due: BTreeMap<Place, VecDeque<(Duration, Report)>>,
    reports: VecDeque<Report>,
    in_flight: usize,
}

impl Producer {
    pub(super) fn send(&mut self, place: Place, flight: Flight) {
        self.in_flight += 1;
        self.lanes.entry(place).or_default().push_back(flight);
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn take_reports(&mut self) -> Vec<Report> {
        self.in_flight -= self.reports.len();
        self.reports.drain(..).collect()
    }

    /// The time of the next event in this producer.
    pub(super) fn next_at(&self, broker_is_back_at: Duration) -> Option<Duration> {
        let lands = |flight: &Flight| flight.lands_at.max(broker_is_back_at);
        let front = |lane: &VecDeque<Flight>| lane.front().map(|f| lands(f).min(f.times_out_at));
        let flights = self.lanes.values().filter_map(front);
        let report = |lane: &VecDeque<(Duration, Report)>| lane.front().map(|(at, _)| *at);
        let reports = self.reports_due.values().filter_map(report);
        flights.chain(reports).min()
    }

    /// Takes one record that is due to land or has timed out, and returns what happens to it.
    pub(super) fn next(&mut self, now: Duration, broker_is_back_at: Duration) -> Option<Due> {
        let due = |flight: &Flight| {
            flight.times_out_at <= now || flight.lands_at.max(broker_is_back_at) <= now
        };
        let (place, lane) = self
            .lanes
            .iter_mut()
            .find(|(_, lane)| lane.front().is_some_and(due))?;
        let (place, flight) = (place.clone(), lane.pop_front()?);
        if lane.is_empty() {
            self.lanes.remove(&place);
        }
        if flight.lost || flight.times_out_at <= now {
            if !flight.forgotten {
                let why = "the record was not acknowledged within the message timeout";
                self.reports.push_back(failed(flight.tag, why));
            }
            return Some(Due::TimedOut);
        }
        Some(Due::Land(place, Box::new(flight)))
    }

    /// Schedules the delivery report of a record that [`Producer::next`] returned and that was written at `offset`.
    pub(super) fn landed(&mut self, place: Place, flight: &Flight, offset: i64, now: Duration) {
        if flight.forgotten {
            return;
        }
        let reports = self.reports_due.entry(place).or_default();
        let after_last = reports.back().map_or(now, |(at, _)| *at);
        let arrives_at = after_last.max(now + flight.report_takes);
        let report = if arrives_at < flight.times_out_at {
            Report {
                tag: flight.tag,
                result: Ok(offset),
            }
        } else {
            failed(
                flight.tag,
                "the acknowledgement came after the message timeout",
            )
        };
        reports.push_back((arrives_at.min(flight.times_out_at), report));
    }

    /// Delivers the reports that are due at `now`.
    pub(super) fn deliver_reports(&mut self, now: Duration) {
        for lane in self.reports_due.values_mut() {
            while lane.front().is_some_and(|(at, _)| *at <= now) {
                self.reports
                    .extend(lane.pop_front().map(|(_, report)| report));
            }
        }
        self.reports_due.retain(|_, lane| !lane.is_empty());
    }

    /// Returns a record that cannot land yet to the front of its queue.
    pub(super) fn put_back(&mut self, place: Place, flight: Flight) {
        self.lanes.entry(place).or_default().push_front(flight);
    }

    /// Reports a record as failed because the brokers reject it.
    pub(super) fn refused(&mut self, flight: &Flight, why: &str) {
        if !flight.forgotten {
            self.reports.push_back(failed(flight.tag, why));
        }
    }

    /// Reports every record that has no report yet as failed, and returns the number of these records. Records that
    /// the network has already taken still land: any number of the first records of each partition, by `until` at the
    /// latest.
    pub(super) fn purge(&mut self, chance: &mut Chance, until: Duration) -> u32 {
        let before = self.reports.len();
        for lane in self.reports_due.values_mut() {
            let purge = |(_, report): (_, Report)| failed(report.tag, "the queue was purged");
            self.reports.extend(lane.drain(..).map(purge));
        }
        for lane in self.lanes.values_mut() {
            for flight in lane.iter_mut().filter(|flight| !flight.forgotten) {
                flight.forgotten = true;
                let why = "the queue was purged";
                self.reports.push_back(failed(flight.tag, why));
            }
            lane.truncate(chance.index(lane.len() + 1));
            for flight in lane {
                flight.lands_at = flight.lands_at.min(until);
            }
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
        self.reports_due.clear();
        u32::try_from(self.reports.len() - before).unwrap_or(u32::MAX)
    }

    /// Whether no record and no report is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.lanes.is_empty() && self.reports_due.is_empty()
    }
}

pub(super) fn failed(tag: u32, why: &str) -> Report {
    let failure = Undelivered {
        reason: why.into(),
        may_pass: true,
    };
    Report {
        tag,
        result: Err(failure),
    }
}
