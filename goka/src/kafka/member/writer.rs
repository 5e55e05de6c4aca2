//! The writer of a worker: a plain producer, or a transactional producer that is replaced when it fails. Must not know
//! what is written.

use std::time::Duration;

use super::{
    spec::MemberSpec,
    transactions::{Maker, Transactions},
};
use crate::{
    base::{config::Guarantee, error::Error},
    kafka::{
        client::{connection::Connection, settings::Role},
        produce::producer::{Delivered, Producer},
    },
};

pub(crate) enum Writer {
    Plain(Box<Producer>),
    Transactions(Box<Transactions>),
}

impl Writer {
    pub(crate) fn open(
        connection: &Connection,
        spec: &MemberSpec,
        client: String,
    ) -> Result<Self, Error> {
        let targets = &spec.targets;
        if connection.config.guarantee == Guarantee::AtLeastOnce {
            let producer = Producer::open(connection, Role::Worker, client, targets, None)?;
            return Ok(Writer::Plain(Box::new(producer)));
        }
        let (group, instance, worker) = (&spec.group, &spec.instance, spec.worker);
        Transactions::open(Maker {
            transactional_id: connection.names.transactional_id(group, instance, worker)?,
            connection: connection.clone(),
            client,
            targets: targets.clone(),
        })
        .map(|transactions| Writer::Transactions(Box::new(transactions)))
    }

    /// Calls `use_it` with the current producer.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&Producer) -> R) -> R {
        match self {
            Writer::Plain(producer) => use_it(producer),
            Writer::Transactions(transactions) => transactions.with(use_it),
        }
    }

    pub(crate) fn transactions(&self) -> Option<&Transactions> {
        match self {
            Writer::Plain(_) => None,
            Writer::Transactions(transactions) => Some(transactions),
        }
    }

    pub(crate) fn serve(&self, wait: Duration, on: &mut dyn FnMut(Delivered)) {
        match self {
            Writer::Plain(producer) => producer.serve(wait, on),
            Writer::Transactions(transactions) => transactions.serve(wait, on),
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        match self {
            Writer::Plain(producer) => producer.in_flight(),
            Writer::Transactions(transactions) => transactions.in_flight(),
        }
    }
}
