//! A worker's view of its own membership, which lags behind the coordinator's. Must not know what is fetched.

use std::{collections::BTreeSet, time::Duration};

use super::group::{Group, MemberId, Order};

/// What a worker learns from its group.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Assigned(Vec<i32>),
    Revoked { partitions: Vec<i32>, lost: bool },
    Fenced,
}

#[derive(Default)]
pub(super) struct Membership {
    /// The member id that the worker believes to have.
    pub(super) member: Option<MemberId>,
    /// Partitions that were assigned to the worker and that it has not given back.
    held: BTreeSet<i32>,
    /// Whether the member was expelled and the worker has not been told yet.
    expelled: bool,
    fenced: bool,
}

impl Membership {
    /// Sends a heartbeat. A worker that is not a member joins with the id `new`, after it has given back all
    /// partitions of an earlier membership. Returns `true` if this call has joined the group.
    pub(super) fn heartbeat(
        &mut self,
        group: &mut Group,
        instance: Option<&str>,
        new: MemberId,
        now: Duration,
    ) -> bool {
        if let Some(id) = self.member
            && !group.hear(id, now)
        {
            self.member = None;
            self.fenced = group.is_fenced(id);
            self.expelled = !self.held.is_empty();
        }
        let joins = self.member.is_none() && self.held.is_empty() && !self.fenced;
        if joins {
            group.join(new, instance, now);
            self.member = Some(new);
        }
        joins
    }

    /// Whether [`Membership::listen`] would return a message.
    pub(super) fn has_news(&self, group: &Group, now: Duration) -> bool {
        self.fenced || self.expelled || self.member.is_some_and(|id| group.has_order(id, now))
    }

    /// The next message of the group to this worker.
    pub(super) fn listen(&mut self, group: &mut Group, now: Duration) -> Option<Told> {
        if self.fenced {
            return Some(Told::Fenced);
        }
        if std::mem::take(&mut self.expelled) {
            let partitions = self.held.iter().copied().collect();
            let lost = true;
            return Some(Told::Revoked { partitions, lost });
        }
        match group.next_order(self.member?, now)? {
            Order::Take(partitions) => {
                self.held.extend(&partitions);
                Some(Told::Assigned(partitions))
            }
            Order::GiveBack(partitions) => {
                let lost = false;
                Some(Told::Revoked { partitions, lost })
            }
        }
    }

    pub(super) fn released(&mut self, group: &mut Group, partitions: &[i32], now: Duration) {
        for partition in partitions {
            self.held.remove(partition);
        }
        if let Some(id) = self.member {
            group.released(id, partitions, now);
        }
    }
}
