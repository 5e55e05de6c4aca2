fn test(tester: &mut goka::Tester) {
    assert_eq!(tester.get::<api::ClickCount>("alice"), Some("1"));
}
fn main() {}
