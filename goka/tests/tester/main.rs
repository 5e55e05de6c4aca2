//! Tests of the tester's public API. Expected values are written by hand, or come from a plain model.

mod exact_by_chance;
mod faults;
mod graph;
mod graphs_by_chance;
mod misuse;
mod partitions;
mod policies;
mod policies_by_chance;
mod waiting;
mod works;
