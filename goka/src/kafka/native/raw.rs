//! Texts, bytes and numbers in librdkafka's representation. Must not know what these values mean.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    slice,
    time::Duration,
};

use rdkafka::bindings::*;

pub(super) fn milliseconds(wait: Duration) -> c_int {
    c_int::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX)
}

/// # Safety
/// `list` is null, or points to a list that lives as long as `'a`.
pub(super) unsafe fn elements<'a>(
    list: *const rd_kafka_topic_partition_list_t,
) -> &'a [rd_kafka_topic_partition_t] {
    // SAFETY: by the caller. A list has `cnt` elements at `elems`, which may be null only if `cnt` is 0.
    unsafe {
        match list.as_ref() {
            Some(list) if list.cnt > 0 => slice::from_raw_parts(list.elems, list.cnt as usize),
            _ => &[],
        }
    }
}

/// # Safety
/// `start` is null, or points to a zero-terminated text that lives as long as `'a`.
pub(super) unsafe fn text<'a>(start: *const c_char) -> &'a str {
    if start.is_null() {
        return "";
    }
    // SAFETY: by the caller.
    unsafe { CStr::from_ptr(start) }.to_str().unwrap_or("")
}

/// # Safety
/// `start` is null, or points to `len` bytes that live as long as `'a`.
pub(super) unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by the caller.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), len) })
}
