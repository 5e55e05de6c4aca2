//! Fuzzing of code that reads foreign bytes: an input is random, or a valid input that was damaged. The code may
//! neither panic nor allocate much more than the size of its input.
//!
//! `GOKA_TEST_FUZZ=5000000 cargo test --release -p goka --lib fuzzed` passes five million inputs to each function
//! under test; the default is 20,000. To repeat a failed run, set `GOKA_TEST_SEED` to the seed that the run printed.

mod codecs;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    str::FromStr,
};

/// The default number of inputs for each function under test.
const INPUTS: u64 = 20_000;

/// Maximum number of bytes that may be allocated per byte of input: a single byte can be an empty list, and the
/// list that contains it needs memory for each element.
const BYTES_FOR_A_BYTE: u64 = 128;

/// Bytes with which inputs are damaged: lengths that exceed the input, and first bytes of MessagePack and JSON values.
const TELLING: &[&[u8]] = &[
    &[0xff; 4],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0, 0, 0, 1],
    &[0; 4],
    &[0xdd, 0xff, 0xff, 0xff, 0xff],
    &[0xdf, 0xff, 0xff, 0xff, 0xff],
    &[0xdb, 0xff, 0xff, 0xff, 0xff],
    &[0xc6, 0xff, 0xff, 0xff, 0xff],
    &[0xdc, 0xff, 0xff],
    &[0x91],
    &[0x81, 0xa0],
    &[0xc0],
    &[0xc1],
    &[0xcb],
    &[0xd8],
    b"[",
    b"{\"",
    b"\"\\u",
    b"-0",
    b"1e999",
    b"99999999999999999999999999999999999999999",
    &[0xc3, 0xa4],
    &[0xed, 0xa0, 0x80],
];

/// A sequence of pseudo-random numbers from a seed.
pub(crate) struct Chance(u64);

impl Chance {
    /// The next number, by splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = limit.max(1) as u64;
        usize::try_from(self.next() % limit).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }

    /// Returns random bytes, or one of the valid inputs after some damage.
    fn input(&mut self, valid: &[Vec<u8>]) -> Vec<u8> {
        if valid.is_empty() || self.below(4) == 0 {
            let length = if self.below(50) == 0 { 2000 } else { 24 };
            let length = self.below(length);
            return self.bytes(length);
        }
        let mut input = valid[self.below(valid.len())].clone();
        for _ in 0..self.below(5) {
            self.damage(&mut input, valid);
        }
        input
    }

    fn damage(&mut self, input: &mut Vec<u8>, valid: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let to = (at + 1 + self.below(8)).min(input.len());
        match self.below(8) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.byte(),
            2 => input.truncate(at),
            3 => drop(input.drain(at..to)),
            4 => {
                let bytes = self.below(8);
                let bytes = self.bytes(bytes);
                drop(input.splice(at..at, bytes));
            }
            5 => {
                let telling = TELLING[self.below(TELLING.len())];
                let times = if self.below(10) == 0 { 300 } else { 1 };
                let to = (at + telling.len()).min(input.len());
                drop(input.splice(at..to, telling.repeat(times)));
            }
            6 => {
                let other = &valid[self.below(valid.len())];
                let from = self.below(other.len() + 1);
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            _ => {
                let again = input[at..to].to_vec();
                drop(input.splice(at..at, again));
            }
        }
    }
}

fn number<T: FromStr>(variable: &str) -> Option<T> {
    let set = env::var(variable).ok()?;
    let number = set.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is `{set}`, which is not a number")))
}

/// Calls `read` with many inputs, some of which are derived from the inputs in `valid`. A call may allocate `constant`
/// bytes plus an amount in proportion to the size of its input.
pub(crate) fn fuzz(what: &str, valid: &[Vec<u8>], constant: u64, read: impl Fn(&[u8])) {
    let inputs = number("GOKA_TEST_FUZZ").unwrap_or(INPUTS);
    let seed = number("GOKA_TEST_SEED")
        .unwrap_or_else(|| getrandom::u64().expect("the system provides a random seed"));
    println!("{what}: {inputs} inputs, GOKA_TEST_SEED={seed}");
    let mut chance = Chance(seed);
    for count in 0..inputs {
        let input = match usize::try_from(count).ok().and_then(|nth| valid.get(nth)) {
            Some(valid) => valid.clone(),
            None => chance.input(valid),
        };
        let mut outcome = Ok(());
        let allocated = allocation_counter::measure(|| {
            outcome = catch_unwind(AssertUnwindSafe(|| read(&input)));
        });
        let where_ = || format!("{what}, GOKA_TEST_SEED={seed}, input {count}: {input:02x?}");
        assert!(
            outcome.is_ok(),
            "the code under test panicked: {}",
            where_()
        );
        let most = BYTES_FOR_A_BYTE * input.len() as u64 + constant;
        assert!(
            allocated.bytes_total <= most,
            "the code under test allocated {} bytes, but at most {most} are allowed: {}",
            allocated.bytes_total,
            where_()
        );
    }
}
