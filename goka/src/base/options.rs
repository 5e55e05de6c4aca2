//! Options that a type declares. Each set of options is one value, which is passed unchanged from the type to the
//! engine; each option is a field with a default. Must not know which attribute or program sets an option.

use crate::base::config::Guarantee;

/// Options of a table: how its group keeps it. The key, the value, the codec and the partitioner are not options: every
/// [`Topic`](crate::Topic) has them.
///
/// ```
/// use goka::graph::TableOptions;
///
/// const OPTIONS: TableOptions = TableOptions::DEFAULT.coalesce(true);
/// assert!(OPTIONS.coalesce);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableOptions {
    /// Whether the group writes at most one record per key and commit interval to the changelog: the last value, with
    /// the timestamp of the last record of the interval. If `false`, the group writes a record for every update. If
    /// `true`, readers of the table see fewer values of a key, and see them up to one commit interval later. The option
    /// changes neither the final rows of the table nor which records are processed again after a crash.
    pub coalesce: bool,
}

impl TableOptions {
    /// The default options.
    pub const DEFAULT: Self = TableOptions { coalesce: false };

    /// Sets [`coalesce`](Self::coalesce).
    #[must_use]
    pub const fn coalesce(self, coalesce: bool) -> Self {
        TableOptions { coalesce }
    }
}

impl Default for TableOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Options of a processor, which override the [`Config`](crate::Config) of the app.
///
/// ```
/// use goka::{Guarantee, graph::ProcessorOptions};
///
/// const OPTIONS: ProcessorOptions = ProcessorOptions::DEFAULT.guarantee(Guarantee::ExactlyOnce);
/// assert_eq!(OPTIONS.guarantee, Some(Guarantee::ExactlyOnce));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessorOptions {
    /// The processing guarantee; if `None`, the guarantee of the app applies.
    pub guarantee: Option<Guarantee>,
}

impl ProcessorOptions {
    /// The default options.
    pub const DEFAULT: Self = ProcessorOptions { guarantee: None };

    /// Sets [`guarantee`](Self::guarantee).
    #[must_use]
    pub const fn guarantee(self, guarantee: Guarantee) -> Self {
        ProcessorOptions {
            guarantee: Some(guarantee),
        }
    }
}

impl Default for ProcessorOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}
