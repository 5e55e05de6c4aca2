//! The streams and tables of the messaging application: all that its programs know of each other.

use goka::{Config, Stream};

/// What one user says to another.
#[goka::message]
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) content: String,
}

/// Messages as they were sent. The key is the sender.
#[goka::stream("messages-sent", value = Message)]
pub(crate) struct Sent;

/// Messages that may be heard, in the words that may be heard. The key is the receiver.
#[goka::stream("messages-received", value = Message)]
pub(crate) struct Received;

/// What each user has heard last, the oldest first.
#[goka::table(group = "collector", value = Vec<Message>)]
pub(crate) struct Feed;

/// Users who are not to be heard from now on, and why. No value: they may be heard again.
#[goka::stream("block-user", value = String)]
pub(crate) struct BlockUser;

/// Users who are not heard, and why.
#[goka::table(group = "blocker", value = String)]
pub(crate) struct Blocked;

/// What a word is replaced by from now on. No value: nothing. The key is the word.
#[goka::stream("translate-word", value = String)]
pub(crate) struct TranslateWord;

/// What words are replaced by. The key is the word.
#[goka::table(group = "translator", value = String)]
pub(crate) struct Translation;

/// Each program creates those that are missing, so that they can be started in any order but that of their tables.
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
