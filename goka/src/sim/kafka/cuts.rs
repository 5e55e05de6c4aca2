//! [`Cuts`] in memory: the committed offsets of a group, for a client that is no member. Must not know members.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
};

use super::{group::Group, state::State, world::World};
use crate::{
    base::error::Error,
    engine::port::{Cuts, GroupCommits},
};

/// A client that asks for the committed offsets of one group.
struct MemoryCuts {
    state: Rc<RefCell<State>>,
    group: String,
    changelog: String,
    partitions: i32,
    /// The offsets as they were when the group was asked: an answer is never newer than that.
    answer: Cell<Option<Result<GroupCommits, Error>>>,
}

impl World {
    /// The committed offsets of a group whose changelog is `changelog`, with as many partitions as the changelog.
    #[cfg_attr(not(test), allow(dead_code, reason = "simulations ask"))]
    pub(crate) fn cuts(&self, group: &str, changelog: &str) -> Box<dyn Cuts> {
        Box::new(MemoryCuts {
            state: Rc::clone(&self.0),
            group: group.to_owned(),
            changelog: changelog.to_owned(),
            partitions: self.partitions(changelog),
            answer: Cell::default(),
        })
    }
}

impl MemoryCuts {
    fn commits(&self) -> Result<GroupCommits, Error> {
        let state = self.state.borrow();
        if state.is_broker_away() {
            let doing = "fetch the committed offsets of a group";
            return Err(Error::kafka(doing, "the brokers do not answer"));
        }
        let group = state.groups.get(&self.group);
        let topics: BTreeSet<&str> = group
            .into_iter()
            .flat_map(Group::topics_committed)
            .filter(|topic| *topic != self.changelog)
            .collect();
        let inputs: Vec<String> = topics.iter().map(|&topic| topic.to_owned()).collect();
        let topics = inputs.clone();
        let of = |input: Option<usize>, partition| {
            let topic = input.map_or(&self.changelog, |input| &topics[input]);
            group?.committed(topic, partition).cloned()
        };
        Ok(GroupCommits::of(inputs, self.partitions, of))
    }
}

impl Cuts for MemoryCuts {
    fn ask(&self) {
        let open = self.answer.take();
        self.answer
            .set(Some(open.unwrap_or_else(|| self.commits())));
    }

    fn answer(&self) -> Option<Result<GroupCommits, Error>> {
        self.answer.take()
    }
}
