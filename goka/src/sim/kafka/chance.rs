//! Random decisions from a seed: one seed gives one run, on every machine.
//!
//! Without a seed there is no chance: everything arrives in order and without delay. Must not know what is decided.

/// A sequence of random decisions (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Chance(Option<u64>);

impl Chance {
    /// A sequence without chance: every decision is 0 or `false`.
    pub(crate) fn none() -> Self {
        Chance(None)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Chance(Some(seed))
    }

    /// A number from 0 up to, but not including, `end`; 0 if `end` is 0 or if there is no seed.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let Some(state) = &mut self.0 else { return 0 };
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).checked_rem(end).unwrap_or(0)
    }

    /// An index into a list of `len` entries; 0 without a seed.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        let below = self.below(u64::try_from(len).unwrap_or(u64::MAX));
        usize::try_from(below).unwrap_or(0)
    }

    /// Returns `true` in one of `times` calls on average, and never without a seed.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.0.is_some() && self.below(times) == 0
    }
}
