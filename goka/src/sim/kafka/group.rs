//! A consumer group as its coordinator knows it: members, owners of partitions, committed offsets.
//!
//! Partitions move as with `cooperative-sticky`: as few as possible, in two steps. The coordinator asks the owner to
//! give a partition back, and the next owner gets it after the answer. A member that sends no heartbeat for a session
//! is expelled, and its partitions go to other members immediately. The expelled member may be alive (a zombie), and
//! learns of it later. Must not know records or producers, and no time but the time it is given.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::engine::port::Committed;

/// Id of a member, never used twice: a member that comes back gets another id.
pub(super) type MemberId = u64;

/// What the coordinator asks of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Take(Vec<i32>),
    GiveBack(Vec<i32>),
}

pub(super) struct Group {
    partitions: i32,
    /// How long it takes until a member learns of a change.
    takes: Duration,
    members: BTreeMap<MemberId, Member>,
    /// Static members that another member with the same instance id has replaced.
    fenced: BTreeSet<MemberId>,
    committed: BTreeMap<(String, i32), Committed>,
    /// Changes whenever a partition gets a new owner.
    generation: u64,
}

struct Member {
    /// Instance id of a static member: a member that joins with this id takes over its partitions.
    instance: Option<String>,
    /// Time of the last heartbeat.
    heard: Duration,
    owned: BTreeSet<i32>,
    /// The partitions of `owned` that the member was asked to give back.
    leaving: BTreeSet<i32>,
    /// Orders that the member has not got yet, and when it gets them at the earliest.
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

    /// A member leaves. A static member stays until its session times out.
    pub(super) fn leave(&mut self, id: MemberId, now: Duration) {
        let stays = |member: &Member| member.instance.is_some();
        if !self.members.get(&id).is_some_and(stays) && self.members.remove(&id).is_some() {
            self.rebalance(now);
        }
    }

    /// Expels members without a heartbeat for a session, and returns them.
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

    /// The oldest last heartbeat of all members.
    pub(super) fn most_silent(&self) -> Option<Duration> {
        self.members.values().map(|member| member.heard).min()
    }

    /// A heartbeat of a member. Returns `false` if it is not a member (any more).
    pub(super) fn hear(&mut self, id: MemberId, now: Duration) -> bool {
        let member = self.members.get_mut(&id);
        member.map(|member| member.heard = now).is_some()
    }

    /// Counts all members as heard until `now`, because the coordinator was away.
    pub(super) fn hear_all(&mut self, now: Duration) {
        for member in self.members.values_mut() {
            member.heard = member.heard.max(now);
        }
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

    /// When a member will get its next order, after `now`.
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

    /// Whether a member was asked to give partitions back, and has not answered.
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

    /// Gives each member an equal share, and moves as few partitions as possible.
    fn rebalance(&mut self, now: Duration) {
        let mut order: Vec<MemberId> = self.members.keys().copied().collect();
        let Some(at_least) = usize::try_from(self.partitions)
            .unwrap_or(0)
            .checked_div(order.len())
        else {
            return;
        };
        let spare = usize::try_from(self.partitions).unwrap_or(0) % order.len();
        // The member with most partitions keeps most; among equals, the oldest member.
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
