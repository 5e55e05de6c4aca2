fn open(config: &goka::Config) {
    let _ = goka::View::<api::Click>::open(config);
}
fn main() {}
