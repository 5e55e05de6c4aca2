//! Opens the replicas of this process. Joins, lookups and views that read the same table share one replica. Must not
//! know which partitions the readers want.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crate::{
    app::home::Home,
    base::{error::Error, partitioner::Partitioner},
    engine::{
        port::Cuts,
        replica::{Replica, Spec},
    },
    kafka::Cluster,
    store::Identity,
    typed::{
        codec::Codec,
        topic::{SharedTable, Topic},
    },
};

/// The replicas that this process has open, by [`Home::replica_key`].
static REPLICAS: Mutex<BTreeMap<PathBuf, Weak<Replica>>> = Mutex::new(BTreeMap::new());

/// A table that is to be read.
pub(crate) struct TableSource<'a> {
    /// Logical name of the table's topic.
    pub(crate) topic: &'a str,
    pub(crate) partitioner: Partitioner,
    /// The name of the codec of the table's rows.
    pub(crate) codec: &'a str,
    /// The name of the reader in errors, for example "the view of `...`".
    pub(crate) reader: String,
    /// The group that writes the table, if the reader sees only rows that the group has committed. `None`: the reader
    /// sees rows as they are written.
    pub(crate) committed_by: Option<&'a str>,
}

/// Which rows a view shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Every row, as soon as it is written.
    Written,
    /// Rows that the group has committed.
    Committed,
}

impl TableSource<'static> {
    /// The table `T`, for a view.
    pub(crate) fn of<T: SharedTable>(reads: Reads) -> Self {
        let group = T::HOME.map(|home| home.group);
        TableSource {
            topic: <T as SharedTable>::NAME,
            partitioner: <T as Topic>::PARTITIONER,
            codec: <T::Codec as Codec<T::Value>>::name(),
            reader: format!("the view of `{}`", <T as SharedTable>::NAME),
            committed_by: group.filter(|_| reads == Reads::Committed),
        }
    }
}

/// The replica of a table: the replica that this process already has, or a new one. A replica reads nothing until a
/// partition is wanted.
///
/// # Errors
/// If the changelog does not exist, if the local copies cannot be stored, or if another part of this process reads the
/// topic as a table with another codec or partitioner.
pub(crate) fn open(
    cluster: &Cluster,
    home: &Home,
    table: &TableSource<'_>,
) -> Result<Arc<Replica>, Error> {
    let spec = spec(cluster, home, table)?;
    let key = home.replica_key(&spec.dir);
    // The lock is held while a replica is opened, so that there are never two replicas of one directory.
    let mut replicas = REPLICAS.lock().unwrap_or_else(PoisonError::into_inner);
    replicas.retain(|_, replica| replica.strong_count() > 0);
    if let Some(replica) = replicas.get(&key).and_then(Weak::upgrade) {
        agree(replica.spec(), &spec, table)?;
        return match replica.failure() {
            Some(failure) => Err(Error::Stale {
                topic: spec.identity.topic,
                reason: format!(
                    "{failure}. {} would use the same local copy: drop all views and processors of this process that read the table, then open them again",
                    table.reader
                ),
            }),
            None => Ok(replica),
        };
    }
    let reader = cluster.reader(table.topic)?;
    let cuts = table.committed_by.map(|group| cuts(cluster, group, &spec));
    let replica = Arc::new(Replica::open(spec, reader, cuts.transpose()?)?);
    replicas.insert(key, Arc::downgrade(&replica));
    Ok(replica)
}

/// The committed offsets of a group. Checks that this program may read them.
fn cuts(cluster: &Cluster, group: &str, spec: &Spec) -> Result<Box<dyn Cuts + Send>, Error> {
    let table = &spec.identity;
    let cuts = cluster.cuts(group, &table.topic, table.partitions, None)?;
    cuts.check()?;
    Ok(Box::new(cuts))
}

fn spec(cluster: &Cluster, home: &Home, table: &TableSource<'_>) -> Result<Spec, Error> {
    let physical = cluster.names().topic(table.topic)?;
    let topic = cluster.topics(&[table.topic])?;
    let topic = topic.into_iter().next().flatten().ok_or_else(|| {
        Error::Topic(format!(
            "{} needs the table topic `{physical}`, which does not exist. The processor that owns the table creates the \
             topic: start that processor first, or check the name and the prefix",
            table.reader
        ))
    })?;
    Ok(Spec {
        _lock: home.state(),
        dir: match table.committed_by {
            Some(_) => home.committed_replica(&physical),
            None => home.replica(&physical),
        },
        identity: Identity {
            cluster: cluster.cluster_id().to_owned(),
            topic: physical,
            topic_id: topic.id,
            partition: 0,
            partitions: topic.partitions,
            codec: table.codec.to_owned(),
        },
        options: home.options(),
        partitioner: table.partitioner,
        age_max_ms: topic.delete_retention_ms,
        forgets_rows: cluster.is_embedded(),
        metadata_interval: cluster.metadata_interval(),
    })
}

/// Checks that two readers may share a replica: rows must decode with the same codec, and keys must be looked up in the
/// same partitions.
fn agree(shared: &Spec, wanted: &Spec, table: &TableSource<'_>) -> Result<(), Error> {
    let (reader, topic) = (&table.reader, &wanted.identity.topic);
    let differs = |what: &str, theirs: &str, ours: &str| {
        Err(Error::Topic(format!(
            "{reader} reads `{topic}` with the {what} `{ours}`, but another part of this program reads it with `{theirs}`. \
             Declare the table once, and share its type"
        )))
    };
    if shared.identity.codec != wanted.identity.codec {
        return differs("codec", &shared.identity.codec, &wanted.identity.codec);
    }
    if shared.partitioner != wanted.partitioner {
        let (theirs, ours) = (shared.partitioner, wanted.partitioner);
        return differs("partitioner", &theirs.to_string(), &ours.to_string());
    }
    let (theirs, ours) = (&shared.identity.topic_id, &wanted.identity.topic_id);
    if !theirs.is_empty() && !ours.is_empty() && theirs != ours {
        return Err(Error::Topic(format!(
            "`{topic}` was deleted and created again since this program started to read it. Restart the program"
        )));
    }
    if shared.identity.partitions != wanted.identity.partitions {
        return Err(Error::Topic(format!(
            "`{topic}` has {} partitions, but had {} when this program started to read it. Restart the program",
            wanted.identity.partitions, shared.identity.partitions
        )));
    }
    Ok(())
}
