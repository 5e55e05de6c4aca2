fn test(tester: &mut goka::Tester) {
    let _ = tester.get::<api::Click>("alice");
}
fn main() {}
