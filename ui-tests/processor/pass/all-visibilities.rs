//! The module of a processor is as visible as its function.
mod inner {
    #[goka::processor(group = "one", input = api::Click)]
    pub(super) fn one(_ctx: &mut one::Context) {}

    pub mod deeper {
        #[goka::processor(group = "two", input = api::Click)]
        pub(in crate::inner) fn two(_ctx: &mut two::Context) {}

        #[goka::processor(group = "three", input = api::Click)]
        pub(crate) fn three(_ctx: &mut three::Context) {}
    }
    pub fn two() -> deeper::two::Processor {
        deeper::two::Processor
    }
}
fn main() {
    let _ = (inner::one::Processor, inner::two(), inner::deeper::three::Processor);
}
