use goka::Guarantee;

#[goka::processor(group = "click-count", input = api::Click, guarantee = Guarantee::ExactlyOnce)]
fn count(_ctx: &mut count::Context, _click: api::Click) {}
fn main() {
    println!("{:?}", Guarantee::ExactlyOnce);
}
