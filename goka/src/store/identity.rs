//! What a local copy is a copy of. Must not know where the local copy is.

/// The table partition that a local copy belongs to. If the stored identity differs from the wanted one, the local copy
/// is discarded and the reason is logged. If only the codec differs, opening the copy is an error instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: String,
    /// Physical name of the changelog.
    pub(crate) topic: String,
    /// The broker's id of the topic; a topic that is deleted and created again gets another id. Empty if unknown.
    pub(crate) topic_id: String,
    pub(crate) partition: i32,
    pub(crate) partitions: i32,
    /// Names of the codecs of key and value.
    pub(crate) codec: String,
}
