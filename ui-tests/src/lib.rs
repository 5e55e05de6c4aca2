//! Topics that the cases share, in a crate of their own as two deployed programs would have them.
//! No serde in its dependencies.

/// Clicks of a user, keyed by user.
#[goka::stream("user-clicks")]
#[derive(Debug, Clone, PartialEq)]
pub struct Click {
    /// The page that was clicked.
    pub page: String,
}

/// Number of clicks per user: the table of the group `click-count`.
#[goka::table(group = "click-count", value = i64)]
#[derive(Debug)]
pub struct ClickCount;

/// Warnings sent to users.
#[goka::stream("user-warnings", value = String)]
#[derive(Debug)]
pub struct Warnings;

/// Reasons why users may not click, keyed by a number.
#[goka::stream("bans", key = u64, value = String)]
#[derive(Debug)]
pub struct Ban;
