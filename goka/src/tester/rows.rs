//! Tables in a test: reads and writes rows, and opens views. Must not know how processors run.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    base::{config::Config, kind::Kind, policy::OnError},
    engine::program::EdgeInfo,
    store::StateDir,
    tester::{cluster::Tester, instance::Follower, records::bytes_of},
    typed::{
        codec::{Codec, Prepare, Role},
        context::{KeyOf, ValueOf},
        key::Key,
        topic::{SharedTable, Table, Topic},
    },
    view::View,
};

impl Tester {
    /// Reads a row of a table, which belongs to a processor of this tester or to another group; `None` if there is no
    /// row. Runs everything first.
    ///
    /// # Panics
    /// If no processor or view of this tester uses the table; if one declares the table with another codec or
    /// partitioner; if a handler failed; or if the row does not decode.
    #[track_caller]
    pub fn get<T: Table>(&mut self, key: &KeyOf<T>) -> Option<T::Value> {
        let key = bytes_of::<T::Key>(key).unwrap_or_default();
        let (topic, partition) = self.place::<T>(&key);
        self.run_well();
        let row = self.table(topic, partition).remove(&key);
        self.compare_copy(topic, partition, &key, row.as_deref());
        Some(decode::<T>(topic, &key, &row?))
    }

    /// Reads all rows of a table. Runs everything first.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn rows<T: Table>(&mut self) -> BTreeMap<T::Key, T::Value> {
        let (topic, _) = self.topics.table::<T>(home::<T>());
        self.run_well();
        let mut all = BTreeMap::new();
        for partition in 0..self.world.partitions(topic) {
            for (key, row) in self.table(topic, partition) {
                self.compare_copy(topic, partition, &key, Some(&row));
                let value = decode::<T>(topic, &key, &row);
                match T::Key::decode(&key) {
                    Ok(key) => all.insert(key, value),
                    Err(error) => panic!("a key of `{topic}` does not decode: {error}"),
                };
            }
        }
        all
    }

    /// Writes a row of a table. A row of another group's table is written as that group would write it. For a table
    /// that a processor of this tester writes, the tester stops the processor, writes the row, and starts the
    /// processor again.
    ///
    /// # Panics
    /// If no processor or view of this tester uses the table; if one declares the table with another codec or
    /// partitioner; if a handler failed; or if the value cannot be encoded.
    #[track_caller]
    pub fn set<T: Table>(&mut self, key: &KeyOf<T>, value: &ValueOf<T>) {
        let mut bytes = Vec::new();
        if let Err(error) = T::Codec::encode(value, &mut bytes) {
            let (topic, _) = self.topics.table::<T>(home::<T>());
            panic!("cannot encode a value of `{topic}`: {error}");
        }
        self.write_row::<T>(key, Some(&bytes));
    }

    /// Deletes a row of a table, in the same way as [`set`](Self::set) writes a row.
    ///
    /// # Panics
    /// As [`set`](Self::set).
    #[track_caller]
    pub fn delete<T: Table>(&mut self, key: &KeyOf<T>) {
        self.write_row::<T>(key, None);
    }

    /// Opens a view of a table, for services under test. After each query of the tester, the view is up to date.
    ///
    /// # Panics
    /// If the topic was added with another codec, partitioner or kind.
    #[track_caller]
    pub fn view<T: SharedTable>(&mut self) -> View<T> {
        let topic = <T as SharedTable>::NAME;
        self.topics.add_table::<T>(topic);
        self.create_topics();
        let disk = match &self.disk {
            Some(disk) => disk.clone(),
            None => self.expect(StateDir::in_memory().map(Arc::new)),
        };
        self.disk = Some(disk.clone());
        let known = self.views.iter().find(|view| view.topic == topic);
        let replica = match known {
            Some(view) => view.replica.clone(),
            None => {
                let edge = EdgeInfo {
                    kind: Kind::Lookup,
                    topic,
                    partitioner: T::PARTITIONER,
                    codec: <T::Codec as Codec<T::Value>>::name(),
                    options: T::OPTIONS,
                    waits: false,
                    handler: "",
                    on_error: OnError::FAIL,
                };
                let follower = Follower::new(&self.world, &disk, &edge);
                let replica = follower.replica.clone();
                self.views.push(follower);
                replica
            }
        };
        let config = Config::new();
        let prepare = Prepare::new(topic, Role::Viewing, &config);
        self.expect(prepare.by(<T::Codec as Codec<T::Value>>::prepare));
        let view = View::of(replica, None);
        self.run_well();
        view
    }

    #[track_caller]
    fn place<T: Table>(&self, key: &[u8]) -> (&'static str, i32) {
        let (topic, declared) = self.topics.table::<T>(home::<T>());
        let partitions = self.world.partitions(topic);
        (topic, declared.partitioner.partition(key, partitions))
    }

    #[track_caller]
    fn write_row<T: Table>(&mut self, key: &KeyOf<T>, value: Option<&[u8]>) {
        let key = bytes_of::<T::Key>(key).unwrap_or_default();
        let (topic, partition) = self.place::<T>(&key);
        let (_, declared) = self.topics.table::<T>(home::<T>());
        if let Some(writer) = declared.writer {
            self.run_well();
            // Only the group itself may write to its table while it runs.
            let group = self.groups.iter_mut().find(|group| group.name == writer);
            let stopped = group.map_or(Ok(()), |group| group.stop());
            self.expect(stopped);
        }
        let written = self.world.append(topic, partition, Some(&key), value);
        self.expect(written);
    }

    /// The rows of a partition, as the changelog defines them.
    #[track_caller]
    fn table(&self, topic: &str, partition: i32) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = BTreeMap::new();
        for record in self.expect(self.world.history(topic, partition)) {
            let key = record.key.clone().unwrap_or_default();
            match record.value.clone() {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        rows
    }

    /// Checks that a local copy agrees with the changelog: the copy of the instance that has the partition. This check
    /// tests goka itself.
    #[track_caller]
    fn compare_copy(&self, topic: &str, partition: i32, key: &[u8], row: Option<&[u8]>) {
        let writer = self.topics.declared[topic].writer;
        let groups = self
            .groups
            .iter()
            .filter(|group| Some(group.name) == writer);
        let processes = groups.flat_map(|group| &group.instances);
        for process in processes.filter_map(|instance| instance.process.as_ref()) {
            if process.holds_back(partition) {
                continue;
            }
            let snapshot = self.expect(process.status.snapshot(partition));
            let Some(snapshot) = snapshot else { continue };
            let copy = self.expect(snapshot.get(key).map(|row| row.map(<[u8]>::to_vec)));
            assert!(
                copy.as_deref() == row,
                "the local copy of `{topic}`, partition {partition}, differs from the changelog at key `{}`, which is a bug \
                 in goka ({}): {copy:?} in the local copy, {row:?} in the changelog",
                String::from_utf8_lossy(key),
                self.origin()
            );
        }
    }
}

fn home<T: Table>() -> Option<&'static str> {
    T::HOME.map(|home| home.topic)
}

#[track_caller]
fn decode<T: Topic>(topic: &str, key: &[u8], row: &[u8]) -> T::Value {
    T::Codec::decode(row).unwrap_or_else(|error| {
        let key = String::from_utf8_lossy(key);
        panic!("the row `{key}` of `{topic}` does not decode: {error}")
    })
}
