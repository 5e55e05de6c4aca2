//! Checks topics against the graph, at the start and while a group runs, and creates the topics that belong to the
//! group. Must not know how records are processed.

use tracing::warn;

use crate::{
    base::{error::Error, kind::Kind},
    engine::program::{EdgeInfo, Program},
    kafka::{COMPACTION_LAG_MS, Cluster, TopicInfo},
};

/// The topics of one group, as the broker reported them at the start.
#[derive(Clone)]
pub(crate) struct Topology {
    group: String,
    edges: Vec<EdgeInfo>,
    /// The topics, by the index of their edge.
    pub(crate) topics: Vec<TopicInfo>,
    /// Names on the broker, by the index of their edge.
    pub(crate) names: Vec<String>,
    /// The number of partitions of the group.
    pub(crate) partitions: i32,
}

impl Topology {
    /// Creates the topics of streams that the settings ask for
    /// ([`Config::create_stream`](crate::Config::create_stream)).
    pub(crate) fn create_streams(
        cluster: &Cluster,
        streams: &[(String, i32)],
    ) -> Result<(), Error> {
        for (name, partitions) in streams {
            let found = cluster.topics(&[name])?.into_iter().next().flatten();
            match found {
                None => cluster.create_topic(name, *partitions, false)?,
                Some(topic) if topic.partitions == *partitions => {}
                Some(topic) => {
                    let (physical, there) = (cluster.names().topic(name)?, topic.partitions);
                    return Err(Error::Topic(format!(
                        "`create_stream` asks for {partitions} partitions of topic `{physical}`, but the topic exists \
                         with {there} partitions. Ask for {there} partitions, or delete the topic"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Creates the topics that belong to the group if they are missing, and checks all topics.
    pub(crate) fn prepare(cluster: &Cluster, program: &dyn Program) -> Result<Self, Error> {
        let (group, edges) = (program.group().to_owned(), program.edges());
        let names = edges.iter().map(|edge| cluster.names().topic(edge.topic));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let logical: Vec<&str> = edges.iter().map(|edge| edge.topic).collect();
        let mut found = cluster.topics(&logical)?;
        let partitions = inputs_agree(&group, &edges, &names, &found)?;
        for (i, edge) in edges.iter().enumerate() {
            let is_own = matches!(edge.kind, Kind::Table | Kind::Loop | Kind::DeadLetter);
            if is_own && found[i].is_none() {
                cluster.create_topic(edge.topic, partitions, edge.kind == Kind::Table)?;
                found[i] = cluster.topics(&[edge.topic])?.into_iter().next().flatten();
            }
        }
        let mut topics = Vec::new();
        for ((edge, name), topic) in edges.iter().zip(&names).zip(found) {
            let topic = topic.ok_or_else(|| missing(&group, edge.kind, name))?;
            check(&group, edge.kind, name, &topic, partitions)?;
            topics.push(topic);
        }
        Ok(Topology {
            group,
            edges,
            topics,
            names,
            partitions,
        })
    }

    /// Checks only the numbers of partitions, for topics that exist in memory only.
    #[cfg(any(test, feature = "tester"))]
    pub(crate) fn check_partitions(
        program: &dyn Program,
        partitions_of: impl Fn(&str) -> i32,
    ) -> Result<(), Error> {
        let (group, edges) = (program.group(), program.edges());
        let topic = |edge: &EdgeInfo| TopicInfo {
            partitions: partitions_of(edge.topic),
            ..TopicInfo::default()
        };
        let names: Vec<_> = edges.iter().map(|edge| edge.topic.to_owned()).collect();
        let found: Vec<_> = edges.iter().map(|edge| Some(topic(edge))).collect();
        let partitions = inputs_agree(group, &edges, &names, &found)?;
        edges
            .iter()
            .try_for_each(|edge| check(group, edge.kind, edge.topic, &topic(edge), partitions))
    }

    /// Compares the topics on the broker with the topics found at the start, and returns a mismatch; `None` if they
    /// match. A mismatch is a topic that is missing, was created again, or has another number of partitions. If
    /// partitions were added to an input, the group would never read them, and keys would move to other partitions.
    /// Outputs may get more partitions.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub(crate) fn mismatch(&self, cluster: &Cluster) -> Result<Option<Error>, Error> {
        let logical: Vec<&str> = self.edges.iter().map(|edge| edge.topic).collect();
        let now = cluster.topics(&logical)?;
        Ok(self.compare(now).err())
    }

    fn compare(&self, now: Vec<Option<TopicInfo>>) -> Result<(), Error> {
        for (i, (edge, topic)) in self.edges.iter().zip(now).enumerate() {
            let (name, before) = (&self.names[i], &self.topics[i]);
            let topic = topic.ok_or_else(|| missing(&self.group, edge.kind, name))?;
            if edge.kind == Kind::Lookup && topic.partitions != before.partitions {
                let (group, had, has) = (&self.group, before.partitions, topic.partitions);
                return Err(Error::Topic(format!(
                    "table topic `{name}`, which group `{group}` looks up, had {had} partitions and has {has} now, so \
                     that keys moved to other partitions. Restart the processor, which then restores the table again"
                )));
            }
            if !matches!(edge.kind, Kind::Output | Kind::DeadLetter) {
                check(&self.group, edge.kind, name, &topic, self.partitions)?;
            }
            if !topic.id.is_empty() && !before.id.is_empty() && topic.id != before.id {
                let group = &self.group;
                return Err(Error::Topic(format!(
                    "topic `{name}` of group `{group}` was deleted and created again while the group was running, so \
                     that the offsets of the group in this topic are no longer valid. Restart the processor, which \
                     then rebuilds its local copies of the topic. If the topic is an input, also reset the offsets of \
                     the group in this topic"
                )));
            }
        }
        Ok(())
    }

    /// Logs a warning if compaction may remove rows of the changelog too early. After a crash under at-least-once, the
    /// group undoes rows behind its last commit with the rows before them. If compaction has removed these rows, the
    /// group keeps the rows behind the commit, and the records of the last interval count twice.
    pub(crate) fn warn_of_compaction(&self) {
        let Some((edge, topic)) = self.table() else {
            return;
        };
        if let Some(lag_ms) = topic.compaction_lag_ms.filter(|ms| *ms < COMPACTION_LAG_MS) {
            let name = &self.names[edge];
            warn!(
                topic = name,
                lag_ms,
                "compaction of the changelog may remove rows that the group needs after a crash; raise \
                 min.compaction.lag.ms: kafka-configs --alter --entity-type topics --entity-name {name} --add-config \
                 min.compaction.lag.ms={COMPACTION_LAG_MS}"
            );
        }
    }

    /// The group table, if there is one: the index of its edge, and its topic.
    pub(crate) fn table(&self) -> Option<(usize, &TopicInfo)> {
        let edge = self
            .edges
            .iter()
            .position(|edge| edge.kind == Kind::Table)?;
        Some((edge, &self.topics[edge]))
    }
}

/// The number of partitions that all inputs have; an error if the inputs differ.
fn inputs_agree(
    group: &str,
    edges: &[EdgeInfo],
    names: &[String],
    found: &[Option<TopicInfo>],
) -> Result<i32, Error> {
    let inputs = edges
        .iter()
        .zip(names)
        .zip(found)
        .filter(|((edge, _), _)| edge.kind == Kind::Input);
    let mut first: Option<(&str, i32)> = None;
    for ((edge, name), topic) in inputs {
        let topic = topic
            .as_ref()
            .ok_or_else(|| missing(group, edge.kind, name))?;
        match first {
            None => first = Some((name, topic.partitions)),
            Some((other, count)) if count != topic.partitions => {
                let has = topic.partitions;
                return Err(Error::Topic(format!(
                    "the inputs of group `{group}` have different numbers of partitions: `{other}` has {count}, \
                     `{name}` has {has}. Records of one key must have the same partition number in all inputs: create \
                     the inputs with the same number of partitions"
                )));
            }
            Some(_) => {}
        }
    }
    let none = || {
        Error::Topic(format!(
            "group `{group}` has no input: a processor reads at least one stream"
        ))
    };
    first.map(|(_, count)| count).ok_or_else(none)
}

fn missing(group: &str, kind: Kind, name: &str) -> Error {
    let what = match kind {
        Kind::Input => "input",
        Kind::Output => "output",
        Kind::Loop => "loop",
        Kind::Table => "table",
        Kind::DeadLetter => "dead-letter",
        Kind::Join | Kind::Lookup => {
            let reads = if kind == Kind::Join {
                "joins"
            } else {
                "looks up"
            };
            return Error::Topic(format!(
                "the table topic `{name}`, which group `{group}` {reads}, does not exist. The processor that owns the \
                 table creates the topic: start that processor first, or check the name and the prefix"
            ));
        }
    };
    Error::Topic(format!(
        "the {what} topic `{name}` of group `{group}` does not exist. Create it with kafka-topics or \
         `Config::create_stream`, or check its name and the prefix"
    ))
}

fn check(
    group: &str,
    kind: Kind,
    name: &str,
    topic: &TopicInfo,
    partitions: i32,
) -> Result<(), Error> {
    let has = topic.partitions;
    if !matches!(kind, Kind::Output | Kind::Lookup | Kind::DeadLetter) && has != partitions {
        let cure = match kind {
            Kind::Join => format!(
                "a join requires that both numbers are equal. Declare `lookup(...)` instead of `join(...)`, or create \
                 the table again with {partitions} partitions"
            ),
            Kind::Input => format!(
                "the number of partitions of a group cannot change, because keys would move to other partitions. Use \
                 an input with {partitions} partitions, or a new group"
            ),
            _ => "this topic must have as many partitions as the inputs. Delete the topic if its records are no longer \
                  needed, or choose a new group name"
                .to_owned(),
        };
        return Err(Error::Topic(format!(
            "topic `{name}` of group `{group}` has {has} partitions, but the group has {partitions}: {cure}"
        )));
    }
    let policy = topic.cleanup_policy.as_deref();
    if matches!(kind, Kind::Table | Kind::Join | Kind::Lookup)
        && policy.is_some_and(|policy| !policy.split(',').any(|p| p.trim() == "compact"))
    {
        let policy = policy.unwrap_or_default();
        return Err(Error::Topic(format!(
            "the table topic `{name}`, which group `{group}` uses, is not compacted (cleanup.policy={policy}), so that \
             Kafka would delete old rows. Set cleanup.policy=compact: kafka-configs --alter --entity-type topics \
             --entity-name {name} --add-config cleanup.policy=compact"
        )));
    }
    Ok(())
}
