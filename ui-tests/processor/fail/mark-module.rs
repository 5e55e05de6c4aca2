#[goka::processor(group = "status", input = api::Click)]
mod status {}

fn main() {}
