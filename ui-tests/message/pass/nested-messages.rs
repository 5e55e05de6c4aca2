//! Messages of literal inputs, and fields of others.
#[goka::message]
struct Login {
    at: Option<At>,
}
#[goka::message]
#[derive(Clone, Debug)]
enum At {
    Desk(u64),
    Phone,
}
#[goka::message]
struct Page<T> {
    items: Vec<T>,
}

#[goka::processor(group = "logins", input = "user-logins")]
fn login(_ctx: &mut login::Context, _page: Page<Login>) {}
fn main() {}
