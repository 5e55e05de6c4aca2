//! What a codec knows of a topic before a program reads or writes the topic. Must not know when a codec is prepared.

use crate::base::{
    config::Config,
    error::{BoxError, Error},
    kind::Kind,
};

/// What [`Codec::prepare`](crate::Codec::prepare) gets: the topic, what the program does with it, and the settings.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Prepare<'a> {
    /// The name of the topic on the broker, with the prefix of the [`Config`].
    pub topic: &'a str,
    /// What the program does with the topic.
    pub role: Role,
    /// The settings of the program.
    pub config: &'a Config,
}

impl<'a> Prepare<'a> {
    pub(crate) fn new(topic: &'a str, role: Role, config: &'a Config) -> Self {
        Prepare {
            topic,
            role,
            config,
        }
    }

    /// Calls [`Codec::prepare`](crate::Codec::prepare) of a topic.
    pub(crate) fn by(&self, codec: fn(&Prepare<'_>) -> Result<(), BoxError>) -> Result<(), Error> {
        codec(self).map_err(|source| Error::Prepare {
            topic: self.topic.to_owned(),
            source,
        })
    }
}

/// What a program does with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A processor has this edge to the topic.
    Edge(Kind),
    /// An [`Emitter`](crate::Emitter) writes to the topic.
    Emitter,
    /// A [`View`](crate::View) reads the table.
    View,
}

impl Role {
    /// Whether the program encodes values of the topic.
    pub const fn encodes(self) -> bool {
        match self {
            Role::Edge(kind) => matches!(kind, Kind::Loop | Kind::Output | Kind::Table),
            Role::Emitter => true,
            Role::View => false,
        }
    }

    /// Whether the program decodes values of the topic.
    pub const fn decodes(self) -> bool {
        match self {
            Role::Edge(kind) => {
                matches!(
                    kind,
                    Kind::Input | Kind::Loop | Kind::Table | Kind::Join | Kind::Lookup
                )
            }
            Role::Emitter => false,
            Role::View => true,
        }
    }
}
