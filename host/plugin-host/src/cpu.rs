//! CPU time of the calling thread.
#![allow(unsafe_code)]

use std::time::Duration;

/// CPU time that this thread has used. Budgets count it and not the wall clock: a
/// plugin is not to blame for a busy machine.
pub fn used_by_this_thread() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live, writable timespec of this frame, and the
    // call writes nothing else.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0;
    assert!(!failed, "Linux has a CPU clock for each thread");
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
