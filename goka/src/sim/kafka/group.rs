//! A consumer group as its coordinator sees it: members, owners of partitions, committed offsets.
//!
//! Partitions move as with `cooperative-sticky`: as few as possible, and in two steps. The coordinator asks the owner
//! to give a partition back, and assigns the partition to the next owner after the answer. A member that sends no
//! heartbeat for the duration of a session is expelled, and its partitions go to other members immediately. The
//! expelled member may be alive (a zombie), and learns of its expulsion later. Must not know records or producers, and
//! no time but the time it is given.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::engine::port::Committed;

/// Id of a member. No id is used twice: a member that comes back gets a new id.
pub(super) type MemberId = u64;

/// What the coordinator asks of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Take(Vec<i32>),
    GiveBack(Vec<i32>),
}

pub(super) struct Group {
    partitions: i32,
    /// How long a member takes to learn of a change.
    takes: Duration,
    members: BTreeMap<MemberId, Member>,
    /// Static members that were replaced by a member with the same instance id.
    fenced: BTreeSet<MemberId>,
    committed: BTreeMap<(String, i32), Committed>,
    /// Increases whenever a partition gets a new owner.
    generation: u64,
}

struct Member {
    /// Instance id of a static member; a new member with this id takes over the partitions.
    instance: Option<String>,
    /// Time of the last heartbeat.
    heard: Duration,
    owned: BTreeSet<i32>,
    /// The partitions in `owned` that the member was asked to give back.
    leaving: BTreeSet<i32>,
    /// Orders that the member has not received yet, each with the earliest time at which the member receives it.
    orders: VecDeque<(Duration, Order)>,
}

impl Group {
    pub(super) fn new(partitions: i32, takes: Duration) -> Self {
        Group {
            partitions,
            takes,
            members: BTreeMap::new(),
            fenced: BTreeSet::new(),
            committed: BTreeMap::new(),
            generation: 0,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn join(&mut self, id: MemberId, instance: Option<&str>, now: Duration) {
        let before = self.members.iter().find_map(|(id, member)| {
            let same = instance.is_some() && member.instance.as_deref() == instance;
            same.then_some(*id)
        });
        let mut owned = BTreeSet::new();
        if let Some(replaced) = before.and_then(|id| self.members.remove(&id)) {
            owned = &replaced.owned - &replaced.leaving;
        }
        self.fenced.extend(before);
        let mut member = Member {
            instance: instance.map(str::to_owned),
            heard: now,
            owned,
            leaving: BTreeSet::new(),
            orders: VecDeque::new(),
        };
        self.generation += 1;
        if !member.owned.is_empty() {
            let owned = member.owned.iter().copied().collect();
            member
                .orders
                .push_back((now + self.takes, Order::Take(owned)));
        }
        self.members.insert(id, member);
        self.rebalance(now);
    }

    /// Removes a member that leaves. A static member stays until its session times out.
    pub(super) fn leave(&mut self, id: MemberId, now: Duration) {
        let stays = |member: &Member| member.instance.is_some();
        if !self.members.get(&id).is_some_and(stays) && self.members.remove(&id).is_some() {
            self.rebalance(now);
        }
    }

    /// Expels the members that have sent no heartbeat for the duration of a session, and returns their ids.
    pub(super) fn expel(&mut self, session: Duration, now: Duration) -> Vec<MemberId> {
        let silent =
            |(id, member): (&MemberId, &Member)| (member.heard + session <= now).then_some(*id);
        let expelled: Vec<MemberId> = self.members.iter().filter_map(silent).collect();
        for id in &expelled {
            self.members.remove(id);
        }
        if !expelled.is_empty() {
            self.rebalance(now);
        }
        expelled
    }

    /// The time of the last heartbeat of the member that has been silent for longest.
    pub(super) fn most_silent(&self) -> Option<Duration> {
        self.members.values().map(|member| member.heard).min()
    }

    /// Handles a heartbeat. Returns `false` if its sender is not, or no longer, a member.
    pub(super) fn hear(&mut self, id: MemberId, now: Duration) -> bool {
        let member = self.members.get_mut(&id);
        member.map(|member| member.heard = now).is_some()
    }

    /// Treats all members as if they had sent a heartbeat at `now`, because the coordinator was away until then.
    pub(super) fn hear_all(&mut self, now: Duration) {
        for member in self.members.values_mut() {
            member.heard = member.heard.max(now);
        }
    }

    #[cfg(test)]
    pub(super) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    pub(super) fn is_member(&self, id: MemberId) -> bool {
        self.members.contains_key(&id)
    }

    pub(super) fn is_fenced(&self, id: MemberId) -> bool {
        self.fenced.contains(&id)
    }

    pub(super) fn next_order(&mut self, id: MemberId, now: Duration) -> Option<Order> {
        let orders = &mut self.members.get_mut(&id)?.orders;
        let due = orders.pop_front_if(|(at, _)| *at <= now);
        due.map(|(_, order)| order)
    }

    pub(super) fn has_order(&self, id: MemberId, now: Duration) -> bool {
        let order = self
            .members
            .get(&id)
            .and_then(|member| member.orders.front());
        order.is_some_and(|(at, _)| *at <= now)
    }

    /// The next time, after `now`, at which a member receives an order.
    pub(super) fn next_order_at(&self, now: Duration) -> Option<Duration> {
        let fronts = self
            .members
            .values()
            .filter_map(|member| member.orders.front());
        fronts.map(|(at, _)| *at).filter(|at| *at > now).min()
    }

    pub(super) fn released(&mut self, id: MemberId, partitions: &[i32], now: Duration) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        for partition in partitions {
            member.owned.remove(partition);
            member.leaving.remove(partition);
        }
        self.rebalance(now);
    }

    pub(super) fn owns(&self, id: MemberId, partition: i32) -> bool {
        let member = self.members.get(&id);
        member.is_some_and(|member| member.owned.contains(&partition))
    }

    /// Whether a member was asked to give partitions back and has not done so yet.
    pub(super) fn is_rebalancing(&self) -> bool {
        self.members
            .values()
            .any(|member| !member.leaving.is_empty())
    }

    pub(super) fn commit(&mut self, topic: &str, partition: i32, committed: Committed) {
        self.committed
            .insert((topic.to_owned(), partition), committed);
    }

    pub(super) fn committed(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.committed.get(&(topic.to_owned(), partition))
    }

    /// The topics of the committed offsets. A topic comes once for each partition.
    pub(super) fn topics_committed(&self) -> impl Iterator<Item = &str> {
        self.committed.keys().map(|(topic, _)| &**topic)
    }

    /// Gives each member an equal share of the partitions, and moves as few as possible.
    fn rebalance(&mut self, now: Duration) {
        let mut order: Vec<MemberId> = self.members.keys().copied().collect();
        let Some(at_least) = usize::try_from(self.partitions)
            .unwrap_or(0)
            .checked_div(order.len())
        else {
            return;
        };
        let spare = usize::try_from(self.partitions).unwrap_or(0) % order.len();
        // Members with the most partitions come first; among equals, the oldest member. The first members get the
        // larger shares.
        order.sort_by_key(|id| (usize::MAX - self.members[id].owned.len(), *id));

        let owned = |member: &Member| member.owned.clone();
        let owned: BTreeSet<i32> = self.members.values().flat_map(owned).collect();
        let mut free = (0..self.partitions).filter(|partition| !owned.contains(partition));
        for (place, id) in order.iter().enumerate() {
            let share = at_least + usize::from(place < spare);
            let Some(member) = self.members.get_mut(id) else {
                continue;
            };
            let keeps: Vec<i32> = (&member.owned - &member.leaving).into_iter().collect();
            if let Some(surplus) = keeps.get(share..).filter(|surplus| !surplus.is_empty()) {
                member.leaving.extend(surplus);
                let order = Order::GiveBack(surplus.to_vec());
                member.orders.push_back((now + self.takes, order));
            }
            let missing = share.saturating_sub(keeps.len());
            let taken: Vec<i32> = free.by_ref().take(missing).collect();
            if !taken.is_empty() {
                self.generation += 1;
                member.owned.extend(&taken);
                member
                    .orders
                    .push_back((now + self.takes, Order::Take(taken)));
            }
        }
    }
}
