#[goka::table(value = u64)]
struct Clicks;

fn test(tester: &mut goka::Tester) {
    let _ = tester.view::<Clicks>();
}
fn main() {}
