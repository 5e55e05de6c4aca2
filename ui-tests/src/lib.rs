//! Topics that the test cases share, in a crate of their own, as two deployed programs would have them.
//! This crate has no serde in its dependencies.

/// Clicks of users. The key is the user.
#[goka::stream("user-clicks")]
#[derive(Debug, Clone, PartialEq)]
pub struct Click {
    /// The page that was clicked.
    pub page: String,
}

/// Number of clicks of each user, in the table of the group `click-count`.
#[goka::table(group = "click-count", value = i64)]
#[derive(Debug)]
pub struct ClickCount;

/// Warnings that are sent to users.
#[goka::stream("user-warnings", value = String)]
#[derive(Debug)]
pub struct Warnings;

/// Reasons why users may not click. The key is a number.
#[goka::stream("bans", key = u64, value = String)]
#[derive(Debug)]
pub struct Ban;
