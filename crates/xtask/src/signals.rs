//! Waiting for Ctrl-C, so that what was started can be stopped in order.
//!
//! Blocks the stop signals and fetches them by hand: no handler, no thread. Must never be used while a
//! foreground program runs that Ctrl-C should reach directly.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

/// What a terminal, a supervisor or a closing window sends.
const STOP_SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// From here on stop signals wait for [`stop_requested`] instead of ending this process.
pub(crate) fn hold_back() -> io::Result<()> {
    mask(libc::SIG_BLOCK)
}

/// Undoes [`hold_back`] in a child before it becomes another program, which would inherit the mask.
pub(crate) fn let_through() -> io::Result<()> {
    mask(libc::SIG_UNBLOCK)
}

/// Waits up to `limit` for a stop signal; whether one came.
pub(crate) fn stop_requested(limit: Duration) -> bool {
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    let set = stop_set();
    #[expect(unsafe_code, reason = "std has no way to wait for a signal")]
    // SAFETY: both pointers are to live values of the right type; a null info pointer is allowed.
    let signal = unsafe { libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const timeout) };
    signal > 0
}

fn mask(how: libc::c_int) -> io::Result<()> {
    let set = stop_set();
    #[expect(unsafe_code, reason = "std has no way to mask a signal")]
    // SAFETY: the set is initialised; the old mask is not asked for.
    let code = unsafe { libc::pthread_sigmask(how, &raw const set, ptr::null_mut()) };
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

fn stop_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    #[expect(unsafe_code, reason = "a signal set is made by libc only")]
    // SAFETY: sigemptyset initialises the set before anything reads it, and cannot fail on a valid pointer.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in STOP_SIGNALS {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}
