//! Offset commits in flight to the coordinator. The coordinator may store the offsets immediately or after a
//! rebalance, and its answer may be lost. Must not know who waits for the answer.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::{group::MemberId, positions::CommitEntry, state::State};
use crate::{
    base::error::Error,
    engine::port::{CommitError, Position},
};

/// Maximum time for which the coordinator holds back an answer: as long as a rebalance with a slow member takes.
const KEPT_MAX_MS: u64 = 1500;

/// The commit in flight of a connection, if there is one.
#[derive(Default)]
pub(super) struct Committing(RefCell<Option<Pending>>);

struct Pending {
    answered_at: Duration,
    what: What,
}

/// A commit, and the id of the member that sends it.
pub(super) struct Sent {
    pub(super) member: Option<MemberId>,
    pub(super) entries: Vec<CommitEntry>,
}

enum What {
    /// The commit has not arrived at the coordinator yet.
    Sent(Sent),
    Answered(Result<(), CommitError>),
}

impl Committing {
    /// Commits, and returns the coordinator's answer. If another commit is in flight, that commit arrives first,
    /// because the requests of a connection are handled in order. The answer to that other commit is discarded.
    pub(super) fn take(
        &self,
        state: &mut State,
        group: &str,
        sent: Sent,
    ) -> Result<(), CommitError> {
        self.arrive(state, group);
        self.0.take();
        state.take_commit(group, sent)
    }

    pub(super) fn begin(&self, state: &mut State, group: &str, sent: Result<Sent, Error>) {
        self.arrive(state, group);
        let kept = match state.chance.one_in(4) {
            true => state.chance.below(KEPT_MAX_MS),
            false => 0,
        };
        let answered_at = state.now + Duration::from_millis(kept);
        let what = match sent {
            Err(error) => What::Answered(Err(CommitError::Again(error))),
            Ok(sent) if state.chance.one_in(2) => What::Sent(sent),
            Ok(sent) => What::Answered(state.take_commit(group, sent)),
        };
        self.0.replace(Some(Pending { answered_at, what }));
    }

    /// Lets a commit that is in flight arrive at the coordinator now.
    pub(super) fn arrive(&self, state: &mut State, group: &str) {
        let mut pending = self.0.borrow_mut();
        if let Some(What::Sent(sent)) = pending.as_mut().map(|pending| &mut pending.what) {
            let (member, entries) = (sent.member, std::mem::take(&mut sent.entries));
            let answer = state.take_commit(group, Sent { member, entries });
            if let Some(pending) = pending.as_mut() {
                pending.what = What::Answered(answer);
            }
        }
    }

    pub(super) fn outcome(
        &self,
        state: &mut State,
        group: &str,
    ) -> Option<Result<(), CommitError>> {
        let is_answered = |pending: &mut Pending| pending.answered_at <= state.now;
        match self.0.borrow_mut().take_if(is_answered)?.what {
            What::Sent(sent) => Some(state.take_commit(group, sent)),
            What::Answered(answer) => Some(answer),
        }
    }
}

impl State {
    /// Handles a commit that arrives at the coordinator.
    pub(super) fn take_commit(&mut self, group: &str, sent: Sent) -> Result<(), CommitError> {
        let (member, mut entries) = (sent.member, sent.entries);
        if let Some(refusal) = self.refuse_commit(group, member) {
            let who = entries.first().map(|entry| Rc::clone(&entry.by));
            self.note(|| format!("{} may not commit: {refusal:?}", who.unwrap_or_default()));
            return Err(refusal);
        }
        self.mark_owned(group, member.unwrap_or(0), &mut entries);
        for entry in entries {
            self.commit(group, entry);
        }
        // The offsets are stored, but the answer is lost.
        if self.chance.one_in(50) {
            self.mishaps.refused_commits += 1;
            return Err(CommitError::Again(Error::kafka(
                "commit offsets",
                "the answer was lost",
            )));
        }
        Ok(())
    }
}

impl CommitEntry {
    pub(super) fn of(position: &Position, topic: &Rc<str>, by: &Rc<str>) -> Self {
        CommitEntry {
            by: Rc::clone(by),
            topic: Rc::clone(topic),
            partition: position.partition,
            offset: position.offset,
            metadata: position.metadata.to_string(),
            moment: 0,
            owned: false,
        }
    }
}
