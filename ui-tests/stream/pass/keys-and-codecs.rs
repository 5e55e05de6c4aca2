//! What has a default codec, and what may be a key.
use std::collections::HashMap;

#[goka::stream("text", value = String)]
struct Text;
#[goka::stream("number", key = i64, value = f64)]
struct Number;
#[goka::stream("raw", key = Vec<u8>, value = Vec<u8>)]
struct Raw;
#[goka::stream("list", value = Vec<(String, Option<bool>)>)]
struct List;
#[goka::table(value = HashMap<String, u64>, key = u32)]
struct Table;
#[goka::stream("address", value = std::net::IpAddr, codec = goka::codec::Text)]
struct Address;
#[goka::stream("either", codec = Json)]
enum Either {
    One(u64),
    Two { page: String },
    Three,
}

#[goka::processor(group = "raw", input = Raw, key = Vec<u8>, output(Number, Text))]
fn raw(ctx: &mut raw::Context, value: Vec<u8>) -> goka::Result {
    ctx.emit::<Number>(&-1, &0.5)?;
    ctx.emit::<Text>("key", &format!("{:?} {value:?}", ctx.key()))
}
fn main() {}
