#[goka::table(group = "go-users", value = String, partitioner = fnv1a)]
struct GoUsers;

#[goka::processor(group = "status", input = api::Click, join(GoUsers))]
fn status(ctx: &mut status::Context) -> goka::Result {
    let _user = ctx.join::<GoUsers>()?;
    Ok(())
}
fn main() {}
