//! The streams and tables of the messaging application. Its programs know nothing else of each other.

use goka::{Config, Stream};

/// A message from one user to another.
#[goka::message]
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) content: String,
}

/// Messages as sent. The key is the sender.
#[goka::stream("messages-sent", value = Message)]
pub(crate) struct Sent;

/// Messages that passed the filter, with translated words. The key is the receiver.
#[goka::stream("messages-received", value = Message)]
pub(crate) struct Received;

/// The last messages that each user received, oldest first.
#[goka::table(group = "collector", value = Vec<Message>)]
pub(crate) struct Feed;

/// Blocks a user; the value is the reason. A tombstone unblocks the user.
#[goka::stream("block-user", value = String)]
pub(crate) struct BlockUser;

/// Blocked users, with the reason.
#[goka::table(group = "blocker", value = String)]
pub(crate) struct Blocked;

/// Sets the translation of a word, which is the key. A tombstone removes the translation.
#[goka::stream("translate-word", value = String)]
pub(crate) struct TranslateWord;

/// Translations. The key is the word.
#[goka::table(group = "translator", value = String)]
pub(crate) struct Translation;

/// Lets a program create the streams that are missing, so that only the tables restrict the order in which programs
/// start.
pub(crate) fn create_streams(config: Config, partitions: i32) -> Config {
    let streams = [
        Sent::NAME,
        Received::NAME,
        BlockUser::NAME,
        TranslateWord::NAME,
    ];
    let create = |config: Config, stream| config.create_stream(stream, partitions);
    streams.into_iter().fold(config, create)
}
