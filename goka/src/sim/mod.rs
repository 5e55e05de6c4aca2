//! Kafka in memory, and the tests that run on it: the seeded simulation, the allocations of a record, fuzzing. With
//! the feature `tester`, users' programs contain the Kafka in memory and [`parts`].

#[cfg(test)]
mod cost;
#[cfg(test)]
pub(crate) mod fuzz;
pub(crate) mod kafka;
pub(crate) mod parts;
#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod simulation;
