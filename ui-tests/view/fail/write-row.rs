fn reset(view: &goka::View<api::ClickCount>) -> goka::Result {
    view.set_value("bob", &0)
}
fn main() {}
