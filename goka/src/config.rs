//! Settings.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    Earliest,
    Latest,
    Reset,
}
