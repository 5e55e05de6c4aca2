fn test(tester: &mut goka::Tester) {
    tester.crash::<api::ClickCount>();
}
fn main() {}
