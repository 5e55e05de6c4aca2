fn test(tester: &mut goka::Tester) {
    tester.set::<api::ClickCount>("alice", &"many".to_owned());
}
fn main() {}
