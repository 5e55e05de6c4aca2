fn emit(config: &goka::Config) -> goka::Result {
    let counts = goka::Emitter::<api::ClickCount>::new(config)?;
    counts.emit("alice", &1)?;
    Ok(())
}
fn main() {}
