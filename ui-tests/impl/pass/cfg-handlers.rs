//! A handler that is left out leaves out its edge; the others are counted as they are.
#[goka::stream("go-clicks", value = String, partitioner = fnv1a)]
struct GoClicks;

struct Status;

#[goka::processor(group = "status", table = Seen, output = api::Warnings)]
impl Status {
    #[cfg(any())]
    #[input(GoClicks)]
    fn left_out(&self, _ctx: &mut goka::Context<'_, Self>, _click: Missing) {}
    #[input(api::Click)]
    fn clicked(&self, _ctx: &mut goka::Context<'_, Self>) {}
    #[cfg(all())]
    #[cfg(not(any()))]
    #[input("ever")]
    fn ever(&self, _ctx: &mut goka::Context<'_, Self>, _click: String) {}
    #[cfg(any())]
    #[loopback]
    fn never(&self, _ctx: &mut goka::Context<'_, Self>, _click: Missing) {}
    #[cfg(not(any()))]
    #[loopback]
    fn again(&self, _ctx: &mut goka::Context<'_, Self>, _click: u64) {}
}
#[goka::table(value = u64)]
struct Seen;

fn main() {
    use goka::Processor;
    assert_eq!(Status::GRAPH.len(), 5);
}
