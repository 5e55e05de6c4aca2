//! Kafka in memory and what is tested on it: the seeded simulation, what a record costs, fuzzing. None of it is in a
//! program of users, but the Kafka in memory, with the feature `tester`.

#[cfg(test)]
mod cost;
#[cfg(test)]
pub(crate) mod fuzz;
pub(crate) mod kafka;
#[cfg(test)]
mod simulation;
