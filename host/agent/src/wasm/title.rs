//! What `ps` and `pkill -f` see of a task that was forked and never executed: its own
//! folder, in the place of the arguments of the process that it was forked from.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Room for it among the arguments, in bytes; a longer path is cut.
const TITLE_MAX: usize = 1024;
/// Fields of `/proc/self/stat` before the one where the arguments begin, from the
/// process's state on.
const FIELDS_BEFORE: usize = 45;

/// An argument without a meaning, which keeps room for titles.
pub(super) fn room() -> String {
    " ".repeat(TITLE_MAX)
}

/// This process's arguments are from now on `exe wasm-task FOLDER`. Only for a process
/// that reads its arguments no more. Where the kernel does not say where they are, they
/// stay.
pub(super) fn show(folder: &Path) {
    if let Some(place) = arguments() {
        let exe = std::env::args_os().next().unwrap_or_default();
        write(place, &title(&exe, folder));
    }
}

fn title(exe: &OsStr, folder: &Path) -> Vec<u8> {
    [exe.as_bytes(), b"wasm-task", folder.as_os_str().as_bytes()].join(&0)
}

/// Where the kernel looks for this process's arguments.
fn arguments() -> Option<Range<usize>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace().skip(FIELDS_BEFORE);
    let mut next = || fields.next()?.parse().ok();
    let place = next()?..next()?;
    (place.start != 0 && place.start < place.end).then_some(place)
}

#[allow(unsafe_code)]
fn write(place: Range<usize>, title: &[u8]) {
    let length = place.len();
    // SAFETY: the kernel put this process's arguments there before it began; they lie on
    // the stack's end, which is writable and stays. Nobody holds a reference to them:
    // `std` hands out copies, and this process, which has one thread, is done with them.
    let there = unsafe {
        std::slice::from_raw_parts_mut(
            std::ptr::with_exposed_provenance_mut::<u8>(place.start),
            length,
        )
    };
    // The last byte stays 0: the kernel would read on behind another one.
    let kept = title.len().min(length - 1);
    there.fill(0);
    there[..kept].copy_from_slice(&title[..kept]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_where_the_kernel_says() {
        let place = arguments().expect("this process has arguments");
        let shown = std::fs::read("/proc/self/cmdline").expect("readable");
        assert_eq!(place.len(), shown.len());
    }

    #[test]
    fn a_title_has_the_folder_as_a_word_of_its_own() {
        let title = title(OsStr::new("/bin/swarmw"), Path::new("/var/lib/swarmw/agent/t"));
        assert_eq!(title, b"/bin/swarmw\0wasm-task\0/var/lib/swarmw/agent/t");
    }
}
