//! What only the C library tells: the terminal's width, the user's id, the zone of
//! the clock on the wall.
#![allow(unsafe_code)]

/// Width assumed where there is no terminal, as Docker's.
const UNKNOWN_COLUMNS: u16 = 200;

/// Width of the terminal on standard output.
pub(crate) fn columns() -> u16 {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize` to the pointer, which points to a
    // live one; a descriptor that is no terminal is answered with an error.
    let answer = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    if answer == 0 && size.ws_col > 0 { size.ws_col } else { UNKNOWN_COLUMNS }
}

/// While it lives, the terminal on standard input does not show what is typed.
pub(crate) struct Unseen(Option<libc::termios>);

// === impl Unseen ===

impl Unseen {
    /// Where there is no terminal this changes nothing.
    pub(crate) fn begin() -> Self {
        // SAFETY: `termios` is plain numbers; all zeros are one.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer points to a live `termios`; a descriptor that is no terminal
        // is answered with an error.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, &raw mut before) } != 0 {
            return Self(None);
        }
        let mut unseen = before;
        unseen.c_lflag &= !libc::ECHO;
        // SAFETY: as above, and `unseen` is what the terminal has but for one flag.
        let set = unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw const unseen) };
        Self((set == 0).then_some(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // SAFETY: what is set is what the terminal had before.
            unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, before) };
        }
    }
}

/// Whether the effective user is root.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// How far local time is ahead of UTC at a moment, in seconds.
pub(crate) fn utc_offset(unix_seconds: i64) -> i64 {
    // SAFETY: `tm` is plain numbers and a pointer that may be null; all zeros are one.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers point to live values of their types for the call.
    let answer = unsafe { libc::localtime_r(&raw const unix_seconds, &raw mut local) };
    if answer.is_null() { 0 } else { local.tm_gmtoff }
}
