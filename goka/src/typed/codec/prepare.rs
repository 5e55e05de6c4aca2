//! What a codec knows of a topic before a program reads or writes the topic. Must not know when a codec is prepared.

use crate::base::{
    config::Config,
    error::{BoxError, Error},
    kind::Kind,
};

/// What [`Codec::prepare`](crate::Codec::prepare) gets: the topic, what the program does with the topic, and the
/// settings.
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
    /// Makes a `Prepare`, for tests of a codec. Outside of tests, goka makes it.
    pub fn new(topic: &'a str, role: Role, config: &'a Config) -> Self {
        Prepare {
            topic,
            role,
            config,
        }
    }

    /// Calls `codec`, which is [`Codec::prepare`](crate::Codec::prepare) of the topic's codec.
    pub(crate) fn by(&self, codec: fn(&Prepare<'_>) -> Result<(), BoxError>) -> Result<(), Error> {
        codec(self).map_err(|source| Error::Prepare {
            topic: self.topic.to_owned(),
            source,
        })
    }
}

/// What a program does with a topic.
//
// No variant has the name of a type, because rustc would then print the whole path of that type in its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A processor has an edge of this kind to the topic.
    Processing(Kind),
    /// An [`Emitter`](crate::Emitter) writes to the topic.
    Emitting,
    /// A [`View`](crate::View) reads the table.
    Viewing,
}

impl Role {
    /// Whether the program encodes values of the topic.
    pub const fn encodes(self) -> bool {
        match self {
            Role::Processing(kind) => matches!(kind, Kind::Loop | Kind::Output | Kind::Table),
            Role::Emitting => true,
            Role::Viewing => false,
        }
    }

    /// Whether the program decodes values of the topic.
    pub const fn decodes(self) -> bool {
        match self {
            Role::Processing(kind) => {
                matches!(
                    kind,
                    Kind::Input | Kind::Loop | Kind::Table | Kind::Join | Kind::Lookup
                )
            }
            Role::Emitting => false,
            Role::Viewing => true,
        }
    }
}
