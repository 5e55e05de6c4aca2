struct Clicks;

fn test(tester: &mut goka::Tester) {
    tester.emit::<Clicks>("alice", &1);
}
fn main() {}
