fn test(tester: &mut goka::Tester) {
    let _ = tester.emitted::<api::ClickCount>();
}
fn main() {}
