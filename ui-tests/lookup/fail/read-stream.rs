use api::{Click, Warnings};

#[goka::processor(group = "status", input = Click, lookup(Warnings))]
fn status(_ctx: &mut status::Context) {}
fn main() {}
