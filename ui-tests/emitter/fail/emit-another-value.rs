fn emit(warnings: goka::Emitter<api::Warnings>) -> goka::Result {
    warnings.emit("alice", &42)?;
    Ok(())
}
fn main() {}
