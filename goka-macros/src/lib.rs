//! Macros of goka.
