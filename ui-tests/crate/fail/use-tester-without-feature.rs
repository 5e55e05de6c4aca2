fn main() {
    let _tester = goka::Tester::new();
}
