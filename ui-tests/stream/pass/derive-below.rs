//! The user's own derives are kept, whole or in part.
#[goka::stream("user-logins")]
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Login {
    pub at: u64,
}

#[goka::table(group = "logins")]
#[derive(Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastLogin {
    pub last_at: u64,
}
fn main() {}
