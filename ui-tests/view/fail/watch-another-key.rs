fn watch(view: &goka::View<api::ClickCount>) {
    let _watch = view.watch(&7);
}
fn main() {}
