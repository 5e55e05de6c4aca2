//! The filter: delivers messages of users who are not blocked, with translated words.

use crate::topics::{Blocked, Message, Received, Sent, Translation};

// `Blocked` is a join: its table has the keys of the input, so a process needs only the rows of its own partitions.
// `Translation` is a lookup: its keys are words, not users, so each process has a copy of the whole table.
#[goka::processor(
    group = "filter",
    input = Sent,
    output(Received),
    join(Blocked),
    lookup(Translation)
)]
pub(crate) fn deliver(ctx: &mut deliver::Context, mut message: Message) -> goka::Result {
    if ctx.join::<Blocked>()?.is_some() {
        return Ok(());
    }
    message.content = translate(ctx, &message.content)?;
    let to = message.to.clone();
    ctx.emit::<Received>(&to, &message)
}

/// Translates word by word. Words are separated by spaces.
fn translate(ctx: &deliver::Context, content: &str) -> goka::Result<String> {
    let mut words = Vec::new();
    for word in content.split(' ') {
        let translation = ctx.lookup::<Translation>(word)?;
        words.push(translation.unwrap_or_else(|| word.to_owned()));
    }
    Ok(words.join(" "))
}
