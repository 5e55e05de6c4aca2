//! Offset commits in flight to the coordinator. The coordinator may store the offsets immediately or after a
//! rebalance, and its answer may be lost. A commit that its sender has given up may be applied later, also after later
//! commits of the sender, as long as the group has the same generation. The coordinator may also refuse single offsets
//! of a commit, and store the others. Must not know who waits for the answer.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::{
    positions::{CommitEntry, Late, Sent},
    state::State,
};
use crate::{
    base::error::Error,
    engine::port::{CommitError, Position},
};

/// Maximum time for which the coordinator holds back an answer: as long as a rebalance with a slow member takes.
const KEPT_MAX_MS: u64 = 1500;
/// How much later a commit that was given up may arrive, in milliseconds.
const LATE_MS: [u64; 6] = [10, 50, 150, 500, 2000, 8000];

/// The commit in flight of a connection, if there is one.
#[derive(Default)]
pub(super) struct Committing(RefCell<Option<Pending>>);

struct Pending {
    answered_at: Duration,
    what: What,
}

enum What {
    /// The commit has not arrived at the coordinator yet.
    Sent(Sent),
    Answered(Result<(), CommitError>),
}

impl Committing {
    /// Commits, and returns the coordinator's answer. The answer to a commit in flight is discarded; see
    /// [`give_up`](Self::give_up).
    pub(super) fn take(
        &self,
        state: &mut State,
        group: &str,
        sent: Sent,
    ) -> Result<(), CommitError> {
        self.give_up(state, group);
        state.take_commit(group, sent)
    }

    pub(super) fn begin(&self, state: &mut State, group: &str, sent: Result<Sent, Error>) {
        self.give_up(state, group);
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

    /// Discards the answer to a commit in flight. The commit arrives now, because the requests of a connection are
    /// handled in order, or later, if the connection was replaced.
    fn give_up(&self, state: &mut State, group: &str) {
        if state.settings.late_commits && state.chance.one_in(2) {
            self.forget(state, group);
        } else {
            self.arrive(state, group);
        }
        self.0.take();
    }

    /// Discards the state of a connection whose process is gone. A commit in flight may still arrive.
    pub(super) fn die(&self, state: &mut State, group: &str) {
        if state.settings.late_commits && state.chance.one_in(2) {
            self.forget(state, group);
        }
        self.0.take();
    }

    /// Forgets a commit in flight, which arrives later.
    fn forget(&self, state: &mut State, group: &str) {
        let pending = self.0.take();
        if let Some(What::Sent(sent)) = pending.map(|pending| pending.what) {
            state.delay_commit(group, sent);
        }
    }

    /// Lets a commit that is in flight arrive at the coordinator now.
    pub(super) fn arrive(&self, state: &mut State, group: &str) {
        let mut pending = self.0.borrow_mut();
        if let Some(What::Sent(sent)) = pending.as_mut().map(|pending| &mut pending.what) {
            let arrived = Sent {
                entries: std::mem::take(&mut sent.entries),
                ..*sent
            };
            let answer = state.take_commit(group, arrived);
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
        if let Some(refusal) = self.refuse_commit(group, sent.member) {
            let who = sent.entries.first().map(|entry| Rc::clone(&entry.by));
            self.note(|| format!("{} may not commit: {refusal:?}", who.unwrap_or_default()));
            return Err(refusal);
        }
        if self.settings.torn_commits && sent.entries.len() > 1 && self.chance.one_in(12) {
            return self.tear_commit(group, sent);
        }
        // The answer is lost. The offsets are stored already, or the request is still on its way.
        let lost_in = if self.settings.late_commits { 12 } else { 50 };
        if self.chance.one_in(lost_in) {
            self.mishaps.refused_commits += 1;
            match self.settings.late_commits && self.chance.one_in(2) {
                true => self.delay_commit(group, sent),
                false => self.store_commit(group, sent),
            }
            let why = "the answer was lost";
            return Err(CommitError::Again(Error::kafka("commit offsets", why)));
        }
        self.store_commit(group, sent);
        Ok(())
    }

    fn store_commit(&mut self, group: &str, mut sent: Sent) {
        self.mark_owned(group, sent.member.unwrap_or(0), &mut sent.entries);
        self.commit_all(group, sent.entries);
    }

    /// Stores some of the offsets of a commit, at least one, and refuses the others, at least one.
    fn tear_commit(&mut self, group: &str, mut sent: Sent) -> Result<(), CommitError> {
        self.mishaps.refused_commits += 1;
        let first = self.chance.index(sent.entries.len());
        sent.entries.rotate_left(first);
        let stored = 1 + self.chance.index(sent.entries.len() - 1);
        for refused in sent.entries.drain(stored..).collect::<Vec<_>>() {
            let CommitEntry {
                by,
                topic,
                partition,
                offset,
                ..
            } = refused;
            self.note(|| format!("{by} is refused {topic}/{partition} @ {offset}"));
        }
        for entry in &mut sent.entries {
            entry.is_torn = true;
        }
        let tears = sent.tears;
        self.store_commit(group, sent);
        match tears {
            true => Ok(()),
            false => Err(CommitError::Again(Error::kafka(
                "commit offsets",
                "the coordinator refused some of the offsets",
            ))),
        }
    }

    /// Lets a commit arrive later, without an answer.
    fn delay_commit(&mut self, group: &str, sent: Sent) {
        let late = LATE_MS[self.chance.index(LATE_MS.len())];
        self.late.push(Late {
            at: self.now + Duration::from_millis(self.chance.below(late)),
            group: group.to_owned(),
            sent,
        });
    }

    /// Applies the late commits that are due. The coordinator refuses a commit of a former member or of a former
    /// generation.
    pub(super) fn apply_late(&mut self) {
        if self.is_broker_away() {
            return;
        }
        let now = self.now;
        let due: Vec<Late> = self.late.extract_if(.., |late| late.at <= now).collect();
        for Late { group, sent, .. } in due {
            let is_member = |id| self.groups.get(&group).is_some_and(|g| g.is_member(id));
            let is_valid =
                sent.member.is_some_and(is_member) && self.generation(&group) == sent.generation;
            if is_valid {
                let late = sent.entries.into_iter().map(|entry| CommitEntry {
                    is_late: true,
                    ..entry
                });
                let entries = late.collect();
                self.store_commit(&group, Sent { entries, ..sent });
            }
        }
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
            request: 0,
            is_late: false,
            is_torn: false,
        }
    }
}
