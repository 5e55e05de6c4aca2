fn test(tester: &mut goka::Tester) {
    tester.emit::<api::ClickCount>("alice", &1);
}
fn main() {}
