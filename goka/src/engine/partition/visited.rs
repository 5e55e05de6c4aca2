//! The progress of a visit in a partition. Must not know who visits.

/// The progress of a visit in a partition. Each commit interval has its own copy of the progress, so that dropping an
/// interval also takes back the progress that was made in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Visited {
    visit: u64,
    last: Option<Vec<u8>>,
    keys: u64,
}

impl Visited {
    /// The progress at the beginning of a visit: no key was visited yet.
    pub(crate) fn begin(visit: u64) -> Self {
        Visited {
            visit,
            ..Visited::default()
        }
    }

    /// Whether this is the progress of the visit with the number `visit`.
    pub(crate) fn is_of(&self, visit: u64) -> bool {
        self.visit == visit
    }

    /// The key that was visited last.
    pub(crate) fn last(&self) -> Option<&Vec<u8>> {
        self.last.as_ref()
    }

    /// How many keys were visited.
    pub(crate) fn keys(&self) -> u64 {
        self.keys
    }

    /// Counts a key that the visit with the number `visit` has visited, unless that visit was given up.
    pub(crate) fn advance(&mut self, visit: u64, key: &[u8]) {
        if self.visit != visit {
            return;
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        self.keys += 1;
    }
}
