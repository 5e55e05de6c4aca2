//! The mapping from logical names (in the graph) to physical names (on the broker): prefix and renames. Must not know
//! brokers.

use std::collections::BTreeMap;

use crate::base::{config::Config, error::Error};

/// Kafka's limit for the length of a topic name.
const NAME_BYTES_MAX: usize = 249;

/// The mapping of names that one configuration defines.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: String,
    topics: BTreeMap<String, String>,
}

impl Names {
    /// # Errors
    /// [`Error::Config`] if Kafka does not allow a name, or if two topics have the same physical name.
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        if !config.prefix.is_empty() {
            check("prefix", &config.prefix)?;
        }
        let mut seen = BTreeMap::new();
        for (logical, physical) in &config.topics {
            check("topic", logical)?;
            check("topic", physical)?;
            if let Some(other) = seen.insert(physical, logical) {
                return Err(Error::Config(format!(
                    "topics `{other}` and `{logical}` are both renamed to `{physical}`: give each its own topic"
                )));
            }
        }
        for (stream, _) in &config.streams {
            check("topic", stream)?;
        }
        Ok(Names {
            prefix: config.prefix.clone(),
            topics: config.topics.clone(),
        })
    }

    /// The physical name of a topic.
    pub(crate) fn topic(&self, logical: &str) -> Result<String, Error> {
        match self.topics.get(logical) {
            Some(physical) => Ok(physical.clone()),
            None => self.prefixed("topic", logical),
        }
    }

    /// The logical name of a topic: the inverse of [`topic`](Self::topic). A topic that this configuration cannot name
    /// keeps its physical name.
    pub(crate) fn logical<'n>(&'n self, physical: &'n str) -> &'n str {
        let renamed = self.topics.iter().find(|(_, to)| *to == physical);
        renamed.map_or_else(
            || physical.strip_prefix(&*self.prefix).unwrap_or(physical),
            |(logical, _)| logical,
        )
    }

    /// The physical name of a group.
    pub(crate) fn group(&self, logical: &str) -> Result<String, Error> {
        self.prefixed("group", logical)
    }

    /// The transactional id of a worker. A worker has the same id after a restart, so that the broker aborts the
    /// transaction that the worker had left open.
    pub(crate) fn transactional_id(
        &self,
        group: &str,
        instance: &str,
        worker: usize,
    ) -> Result<String, Error> {
        Ok(format!("{}-{instance}-{worker}", self.group(group)?))
    }

    fn prefixed(&self, what: &str, logical: &str) -> Result<String, Error> {
        check(what, logical)?;
        let physical = format!("{}{logical}", self.prefix);
        check(what, &physical)?;
        Ok(physical)
    }
}

/// Checks a name against Kafka's rules for topic names. Names of groups must follow these rules because a changelog is
/// named after its group. Names of instances must follow them because an instance's name becomes part of file names.
pub(crate) fn check(what: &str, name: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let problem = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > NAME_BYTES_MAX {
        format!("is longer than {NAME_BYTES_MAX} bytes")
    } else if name == "." || name == ".." {
        "is `.` or `..`, which Kafka does not allow".to_owned()
    } else if !name.bytes().all(allowed) {
        "contains characters other than letters, digits, `.`, `_` and `-`".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::Config(format!(
        "the {what} name `{name}` {problem}: choose another name"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_and_renames() {
        let config = Config::new()
            .prefix("staging-")
            .topic("user-clicks", "eu.clicks.v2");
        let names = Names::new(&config).unwrap();
        assert_eq!(names.topic("user-clicks").unwrap(), "eu.clicks.v2");
        assert_eq!(names.topic("counts").unwrap(), "staging-counts");
        for (physical, logical) in [
            ("eu.clicks.v2", "user-clicks"),
            ("staging-counts", "counts"),
            ("others", "others"),
        ] {
            assert_eq!(names.logical(physical), logical);
        }
        assert_eq!(names.group("my-group").unwrap(), "staging-my-group");
        let id = names.transactional_id("my-group", "host", 1).unwrap();
        assert_eq!(id, "staging-my-group-host-1");
    }

    #[test]
    fn names_that_kafka_refuses() {
        let names = Names::new(&Config::new().prefix("p-")).unwrap();
        for name in ["", "a b", "a/b", "é", &"x".repeat(249)] {
            assert!(names.topic(name).is_err(), "{name}");
        }
        assert!(check("topic", "..").is_err());
        assert!(Names::new(&Config::new().prefix("a b")).is_err());
        let twice = Config::new().topic("a", "x").topic("b", "x");
        assert!(Names::new(&twice).is_err());
    }
}
