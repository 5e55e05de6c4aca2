//! The tester, as those see it who test their processors with it. Expected values are by hand, or
//! from a plain model.

mod faults;
mod graph;
mod graphs_by_chance;
mod misuse;
mod partitions;
mod policies;
mod policies_by_chance;
mod waiting;
mod works;
