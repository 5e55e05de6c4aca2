fn get(view: goka::View<api::ClickCount>) -> goka::Result<Option<i64>> {
    view.get(&7)
}
fn main() {}
