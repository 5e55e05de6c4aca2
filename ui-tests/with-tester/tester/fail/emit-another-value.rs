fn test(tester: &mut goka::Tester) {
    tester.emit::<api::Warnings>("alice", &42);
}
fn main() {}
