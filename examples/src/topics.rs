//! Streams and tables of the applications click-count and user-status. Their programs know nothing else of each other.

/// A user clicked, at this time (RFC 3339). The key is the user's id.
#[goka::stream("user-clicks", value = String)]
pub struct UserClicks;

/// How often each user clicked.
#[goka::table(group = "click-count", value = u64)]
pub struct ClickCount;

/// A user set a new status. The key is the user's id.
#[goka::stream("user-status-updates")]
pub struct StatusUpdate {
    /// Status that others see, for example "away".
    pub status: String,
}

/// The last status of each user.
#[goka::table(group = "user-status")]
pub struct UserStatus {
    /// Status that others see.
    pub status: String,
    /// Time of the last change, in RFC 3339.
    pub since: String,
}
