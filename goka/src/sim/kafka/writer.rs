//! The producer of a connection: a plain one, or a transactional one, which is replaced when it fails. Must not know
//! groups or topics.

use super::{log::Written, producer::Place, state::State, transacting::Transacting};
use crate::engine::port::Report;

pub(super) enum Writer {
    Plain(u64),
    Transacting(Box<Transacting>),
}

impl Writer {
    /// The id of the current producer.
    pub(super) fn producer(&self) -> u64 {
        match self {
            Writer::Plain(producer) => *producer,
            Writer::Transacting(transacting) => transacting.producer(),
        }
    }

    pub(super) fn transacting(&self) -> Option<&Transacting> {
        match self {
            Writer::Plain(_) => None,
            Writer::Transacting(transacting) => Some(transacting),
        }
    }

    pub(super) fn send(&self, state: &mut State, place: Place, record: Written, tag: u32) {
        match self {
            Writer::Plain(producer) => state.send((*producer, None), place, record, tag),
            Writer::Transacting(transacting) => transacting.send(state, place, record, tag),
        }
    }

    pub(super) fn take_reports(&self, state: &mut State) -> Vec<Report> {
        match self {
            Writer::Plain(producer) => state.take_reports(*producer),
            Writer::Transacting(transacting) => transacting.take_reports(state),
        }
    }

    pub(super) fn in_flight(&self, state: &State) -> usize {
        match self {
            Writer::Plain(producer) => state.in_flight(*producer),
            Writer::Transacting(transacting) => transacting.in_flight(state),
        }
    }

    /// Discards the state of this connection, whose process is gone.
    pub(super) fn die(&self, state: &mut State) {
        match self {
            Writer::Plain(producer) => state.purge(*producer, true),
            Writer::Transacting(transacting) => transacting.die(state),
        }
    }
}
