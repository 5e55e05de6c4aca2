fn clicks(view: &goka::View<api::ClickCount>) -> goka::Result<Option<String>> {
    view.get("bob")
}
fn main() {}
