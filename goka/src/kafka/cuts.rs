//! The implementation of [`Cuts`] with rdkafka: the committed offsets of a group, for a client that is no member of the
//! group. Must not know what the metadata beside an offset means.
//!
//! The names of a group's inputs contain topic ids. A process of the group knows these names. Any other program, such
//! as a view, asks for all offsets of the group, and then for the ids of their topics.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rdkafka::{TopicPartitionList, client::Client, error::RDKafkaErrorCode};

use super::{
    client::{connection::SOON, log::ClientLog},
    cluster::Cluster,
    native::{group_offsets::GroupOffsetsRequest, request::TopicIds},
};
use crate::{
    base::error::Error,
    engine::port::{Committed, Cuts, GroupCommits},
};

/// How often the ids of topics are fetched again: a topic that is deleted and created again gets another id.
const IDS_INTERVAL: Duration = Duration::from_secs(60);

/// A client that asks for the committed offsets of one group.
pub(crate) struct GroupCuts {
    // Declared before the client (in `cluster`), which must be dropped last.
    open: RefCell<Open>,
    /// Physical name of the group.
    group: String,
    /// Physical name of the changelog.
    changelog: String,
    partitions: i32,
    /// The names of the inputs, by their physical topics. `None`: every topic of the group is an input.
    inputs: Option<BTreeMap<String, String>>,
    ids: RefCell<Ids>,
    cluster: Cluster,
}

/// The open question.
#[derive(Default)]
enum Open {
    #[default]
    None,
    /// The question could not be sent.
    Failed(RDKafkaErrorCode),
    /// The offsets are not here yet.
    Offsets(GroupOffsetsRequest),
    /// The offsets are here, and the ids of some of their topics are not.
    Ids(TopicIds, Offsets),
}

/// The next step of a question.
enum Step {
    Waits(Open),
    Done(Offsets),
}

/// Committed offsets, by physical topic and partition.
type Offsets = BTreeMap<(String, i32), Committed>;

#[derive(Default)]
struct Ids {
    /// The id of each topic. Empty if the broker gives no id.
    known: BTreeMap<String, String>,
    fetched: Option<Instant>,
}

impl Cluster {
    /// Opens a client that asks for the committed offsets of a group (logical name). `changelog` is the physical name
    /// of the group's changelog; `inputs` has the name of each input by its physical topic. `None`: every topic in
    /// which the group has committed offsets is an input.
    pub(crate) fn cuts(
        &self,
        group: &str,
        changelog: &str,
        partitions: i32,
        inputs: Option<BTreeMap<String, String>>,
    ) -> Result<GroupCuts, Error> {
        Ok(GroupCuts {
            open: RefCell::default(),
            group: self.names().group(group)?,
            changelog: changelog.to_owned(),
            partitions,
            inputs,
            ids: RefCell::default(),
            cluster: self.clone(),
        })
    }
}

impl GroupCuts {
    /// Waits for one answer, so that missing rights are an error before anything is opened.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.ask();
        loop {
            if let Some(answer) = self.answered(Duration::from_millis(100)) {
                return answer.map(drop);
            }
        }
    }

    fn client(&self) -> &Client<ClientLog> {
        self.cluster.admin().client().inner()
    }

    /// Sends the request for the offsets.
    fn begin(&self) -> Result<GroupOffsetsRequest, RDKafkaErrorCode> {
        let topics = match &self.inputs {
            Some(inputs) => Some(inputs.keys().cloned().collect()),
            // The embedded broker answers only questions for named topics.
            None if self.cluster.is_embedded() => Some(self.all_topics()?),
            None => None,
        };
        let list = topics.map(|mut topics: BTreeSet<String>| {
            topics.insert(self.changelog.clone());
            let mut list = TopicPartitionList::new();
            for topic in &topics {
                list.add_partition_range(topic, 0, self.partitions - 1);
            }
            list
        });
        // SAFETY: the client is in a field that is dropped after the field that keeps the request.
        unsafe { GroupOffsetsRequest::begin(self.client(), &self.group, list.as_ref(), SOON) }
    }

    fn all_topics(&self) -> Result<BTreeSet<String>, RDKafkaErrorCode> {
        let metadata = self.client().fetch_metadata(None, SOON);
        let metadata = metadata.map_err(|error| {
            let code = error.rdkafka_error_code();
            code.unwrap_or(RDKafkaErrorCode::OperationTimedOut)
        })?;
        let topics = metadata.topics().iter();
        Ok(topics.map(|topic| topic.name().to_owned()).collect())
    }

    /// Waits up to `wait` for the next step of the open question. Returns the answer once.
    fn answered(&self, wait: Duration) -> Option<Result<GroupCommits, Error>> {
        let step = self.step(self.open.take(), wait);
        match step {
            Ok(Step::Waits(open)) => {
                self.open.replace(open);
                None
            }
            Ok(Step::Done(offsets)) => Some(Ok(self.commits(offsets))),
            Err(code) => Some(Err(self.failed(code))),
        }
    }

    fn step(&self, open: Open, wait: Duration) -> Result<Step, RDKafkaErrorCode> {
        match open {
            Open::None => Ok(Step::Waits(Open::None)),
            Open::Failed(code) => Err(code),
            Open::Offsets(request) => match self.offsets(&request, wait) {
                None => Ok(Step::Waits(Open::Offsets(request))),
                Some(offsets) => {
                    let offsets = offsets?;
                    if self.lacks_inputs(&offsets) {
                        return Err(RDKafkaErrorCode::TopicAuthorizationFailed);
                    }
                    Ok(match self.unknown(&offsets)? {
                        Some(request) => Step::Waits(Open::Ids(request, offsets)),
                        None => Step::Done(offsets),
                    })
                }
            },
            Open::Ids(request, offsets) => match request.answer(wait) {
                None => Ok(Step::Waits(Open::Ids(request, offsets))),
                Some(ids) => {
                    self.remember(ids?);
                    Ok(Step::Done(offsets))
                }
            },
        }
    }

    fn offsets(
        &self,
        request: &GroupOffsetsRequest,
        wait: Duration,
    ) -> Option<Result<Offsets, RDKafkaErrorCode>> {
        let (mut offsets, mut problem) = (Offsets::new(), None);
        let answer = request.answer(wait, |listed| match (listed.error, listed.offset) {
            // A topic that does not exist has no committed offsets.
            (Some(RDKafkaErrorCode::UnknownTopicOrPartition), _) => {}
            (Some(code), _) => problem = Some(code),
            (None, Some(offset)) => {
                let metadata = listed.metadata.into_owned();
                let committed = Committed { offset, metadata };
                offsets.insert((listed.topic.to_owned(), listed.partition), committed);
            }
            (None, None) => {}
        })?;
        Some(answer.and(problem.map_or(Ok(offsets), Err)))
    }

    /// Whether the broker has left the inputs of the group out of its answer. A broker leaves out the topics that the
    /// client may not describe, but a group that commits an offset of its changelog also commits offsets of inputs.
    fn lacks_inputs(&self, offsets: &Offsets) -> bool {
        self.inputs.is_none() && !offsets.is_empty() && self.topics(offsets).is_empty()
    }

    /// Asks for the ids of topics that are not known, or not known any more. `None`: all are known.
    fn unknown(&self, offsets: &Offsets) -> Result<Option<TopicIds>, RDKafkaErrorCode> {
        if self.inputs.is_some() || self.cluster.is_embedded() {
            return Ok(None);
        }
        let ids = self.ids.borrow();
        let is_old = ids.fetched.is_none_or(|at| at.elapsed() > IDS_INTERVAL);
        let topics = self.topics(offsets);
        let is_known = topics.iter().all(|topic| ids.known.contains_key(*topic));
        if topics.is_empty() || is_known && !is_old {
            return Ok(None);
        }
        let topics: Vec<_> = topics.into_iter().collect();
        // SAFETY: the client is in a field that is dropped after the field that keeps the request.
        unsafe { TopicIds::begin(self.client(), &topics, SOON) }.map(Some)
    }

    fn remember(&self, ids: Vec<(String, Result<String, RDKafkaErrorCode>)>) {
        let mut known = self.ids.borrow_mut();
        for (topic, id) in ids {
            known.known.insert(topic, id.unwrap_or_default());
        }
        known.fetched = Some(Instant::now());
    }

    /// The topics in which the group has committed offsets, without the changelog.
    fn topics<'o>(&self, offsets: &'o Offsets) -> BTreeSet<&'o str> {
        let topics = offsets.keys().map(|(topic, _)| &**topic);
        topics.filter(|topic| *topic != self.changelog).collect()
    }

    fn commits(&self, mut offsets: Offsets) -> GroupCommits {
        let topics: Vec<String> = match &self.inputs {
            Some(inputs) => inputs.keys().cloned().collect(),
            None => self
                .topics(&offsets)
                .into_iter()
                .map(str::to_owned)
                .collect(),
        };
        let inputs = topics.iter().map(|topic| self.name(topic)).collect();
        GroupCommits::of(inputs, self.partitions, |input, partition| {
            let topic = input.map_or(&self.changelog, |input| &topics[input]);
            offsets.remove(&(topic.clone(), partition))
        })
    }

    /// The name of an input as the group's members know it.
    fn name(&self, physical: &str) -> String {
        if let Some(inputs) = &self.inputs {
            return inputs.get(physical).cloned().unwrap_or_default();
        }
        let logical = self.cluster.names().logical(physical);
        let ids = self.ids.borrow();
        match ids.known.get(physical).filter(|id| !id.is_empty()) {
            Some(id) => format!("{logical}#{id}"),
            None => logical.to_owned(),
        }
    }

    fn failed(&self, code: RDKafkaErrorCode) -> Error {
        self.cluster.drain();
        let group = &self.group;
        let doing = format!("fetch the committed offsets of group `{group}`");
        match code {
            RDKafkaErrorCode::GroupAuthorizationFailed => {
                let cure = format!(
                    "the broker denies access; grant the ACL `Describe` on group `{group}`"
                );
                Error::kafka(doing, cure)
            }
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                let cure =
                    "the broker denies access; grant the ACL `Describe` on each input of the group";
                Error::kafka(doing, cure)
            }
            code => Error::kafka(doing, code),
        }
    }
}

impl Cuts for GroupCuts {
    fn ask(&self) {
        let mut open = self.open.borrow_mut();
        if matches!(*open, Open::None) {
            *open = match self.begin() {
                Ok(request) => Open::Offsets(request),
                Err(code) => Open::Failed(code),
            };
        }
    }

    fn answer(&self) -> Option<Result<GroupCommits, Error>> {
        self.answered(Duration::ZERO)
    }
}
