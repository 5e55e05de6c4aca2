fn test(tester: &mut goka::Tester) {
    assert_eq!(tester.get::<api::ClickCount>(&7), Some(1));
}
fn main() {}
