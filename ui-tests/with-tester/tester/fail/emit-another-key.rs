fn test(tester: &mut goka::Tester) {
    tester.emit::<api::Ban>("alice", &"spam".to_owned());
}
fn main() {}
