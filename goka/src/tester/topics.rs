//! The topics of a tester: only those that its processors and views name, so that a misspelt name is detected. Must
//! not know records.

use std::{any::TypeId, collections::BTreeMap};

use crate::{
    base::{kind::Kind, partitioner::Partitioner},
    typed::{
        codec::{Codec, Raw},
        graph::Edge,
        processor::Processor,
        program::dead_letters,
        topic::Topic,
    },
};

/// A topic, as the graphs of the processors and views declare it.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) partitioner: Partitioner,
    codec: &'static str,
    is_table: bool,
    /// Whether the topic was named only for dead letters so far: its values may be bytes of any codec.
    is_open: bool,
    /// The first processor or view that named the topic, for error messages.
    by: String,
    /// For a table, the group that writes it, if that group is in the tester; otherwise `None`.
    pub(super) writer: Option<&'static str>,
    /// The types that declare the topic.
    types: Vec<TypeId>,
}

#[derive(Default)]
pub(super) struct Topics {
    pub(super) declared: BTreeMap<&'static str, Declared>,
}

impl Topics {
    pub(super) fn add_graph<P: Processor>(&mut self) {
        for edge in P::GRAPH {
            let Edge { kind, topic, .. } = edge;
            let declared = Declared {
                partitioner: topic.partitioner,
                codec: (topic.codec)(),
                is_table: matches!(kind, Kind::Table | Kind::Join | Kind::Lookup),
                by: format!("group `{}`", P::GROUP),
                writer: (*kind == Kind::Table).then_some(P::GROUP),
                is_open: false,
                types: vec![(topic.typing.topic)()],
            };
            self.add(topic.name, declared);
        }
        for topic in dead_letters::<P>() {
            let declared = Declared {
                partitioner: Partitioner::default(),
                codec: <Raw as Codec<Vec<u8>>>::name(),
                is_table: false,
                is_open: true,
                by: format!("group `{}`", P::GROUP),
                writer: None,
                types: Vec::new(),
            };
            self.add(topic, declared);
        }
    }

    pub(super) fn add_table<T: Topic>(&mut self, name: &'static str) {
        let declared = Declared {
            is_table: true,
            ..declared::<T>(format!("the view of `{name}`"))
        };
        self.add(name, declared);
    }

    /// # Panics
    /// If the topic has already been declared differently.
    #[track_caller]
    fn add(&mut self, name: &'static str, new: Declared) {
        let Some(known) = self.declared.get_mut(name) else {
            self.declared.insert(name, new);
            return;
        };
        known.agree(name, &new);
        if known.is_open {
            *known = new;
            return;
        }
        known.writer = known.writer.or(new.writer);
        known.types.extend(new.types);
    }

    /// The topic of a stream, found by its name.
    ///
    /// # Panics
    /// If no processor or view names the topic, or if one declares it differently.
    #[track_caller]
    pub(super) fn stream<S: Topic>(&self, name: &'static str) -> &Declared {
        let Some(known) = self.declared.get(name) else {
            panic!("{}", self.unknown(name));
        };
        known.agree(name, &declared::<S>("this test".to_owned()));
        known
    }

    /// The topic of a table, found by its name, or else by its type: a bare table gets its name from its processor.
    ///
    /// # Panics
    /// If no processor or view names the topic, or if one declares it differently.
    #[track_caller]
    pub(super) fn table<T: Topic>(&self, name: Option<&'static str>) -> (&'static str, &Declared) {
        let known = self.declared.iter().find(|(known, declared)| match name {
            Some(name) => **known == name,
            None => declared.types.contains(&TypeId::of::<T>()),
        });
        let Some((name, known)) = known else {
            panic!(
                "{}",
                self.unknown(name.unwrap_or(std::any::type_name::<T>()))
            );
        };
        let table = Declared {
            is_table: true,
            ..declared::<T>("this test".to_owned())
        };
        known.agree(name, &table);
        (name, known)
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<_> = self.declared.keys().copied().collect();
        format!(
            "no processor or view in this tester uses `{name}`. Add its processor with `Tester::processor`, or open a view \
             of the table with `Tester::view`. The topics of this tester are: `{}`",
            known.join("`, `")
        )
    }
}

fn declared<T: Topic>(by: String) -> Declared {
    Declared {
        partitioner: T::PARTITIONER,
        codec: <T::Codec as Codec<T::Value>>::name(),
        is_table: false,
        is_open: false,
        by,
        writer: None,
        types: vec![TypeId::of::<T>()],
    }
}

impl Declared {
    /// # Panics
    /// If the declarations differ.
    #[track_caller]
    fn agree(&self, name: &str, other: &Declared) {
        let what = |table| if table { "table" } else { "stream" };
        let differs = |of: &str, ours: &str, theirs: &str| {
            panic!(
                "`{name}` has the {of} `{ours}` in {}, but `{theirs}` in {}. Declare the topic once, and share its type",
                self.by, other.by
            )
        };
        if self.is_table != other.is_table {
            differs("kind", what(self.is_table), what(other.is_table));
        }
        if self.is_open || other.is_open {
            return;
        }
        if self.codec != other.codec {
            differs("codec", self.codec, other.codec);
        }
        if self.partitioner != other.partitioner {
            let (ours, theirs) = (self.partitioner.to_string(), other.partitioner.to_string());
            differs("partitioner", &ours, &theirs);
        }
    }
}
