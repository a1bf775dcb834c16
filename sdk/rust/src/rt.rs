//! What the generated bindings need at run time.
//!
//! The one place of the SDK with `unsafe` of its own: the canonical ABI hands
//! memory over by address.

#![allow(unsafe_code, missing_docs)]

use std::alloc::{self, Layout};
use std::ptr::{self, NonNull};

/// Memory that a lowered value lies in; freed when dropped, unless forgotten.
pub struct Cleanup {
    memory: NonNull<u8>,
    layout: Layout,
}

impl Cleanup {
    /// Memory of this layout and its owner; null and none for an empty one.
    pub fn new(layout: Layout) -> (*mut u8, Option<Self>) {
        if layout.size() == 0 {
            return (ptr::null_mut(), None);
        }
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc::alloc(layout) };
        match NonNull::new(memory) {
            Some(memory) => (memory.as_ptr(), Some(Self { memory, layout })),
            None => alloc::handle_alloc_error(layout),
        }
    }

    /// Leaves the memory to whoever was given its address.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and owned since.
        unsafe { alloc::dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// Runs static constructors before the first export, and has panics say in the log what
/// they are; later calls do nothing.
#[cfg(target_arch = "wasm32")]
pub fn run_ctors_once() {
    use std::sync::atomic::{AtomicBool, Ordering};

    unsafe extern "C" {
        /// Made by the linker.
        fn __wasm_call_ctors();
    }
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.swap(true, Ordering::Relaxed) {
        // SAFETY: takes and gives nothing, and runs once.
        unsafe { __wasm_call_ctors() }
        std::panic::set_hook(Box::new(|panic| {
            crate::log(crate::Level::Error, &panic.to_string());
        }));
    }
}

/// Keeps `cabi_realloc` in the module.
pub fn maybe_link_cabi_realloc() {
    #[cfg(target_arch = "wasm32")]
    {
        #[used]
        static KEPT: unsafe extern "C" fn(*mut u8, usize, usize, usize) -> *mut u8 = cabi_realloc;
    }
}

/// The canonical ABI's `realloc`: where the host puts strings and lists.
///
/// # Safety
/// `old` is null with `old_size` 0, or memory of that size and alignment that this
/// function gave.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_size: usize,
    align: usize,
    new_size: usize,
) -> *mut u8 {
    if new_size == 0 {
        // Never read: an aligned address that is not null.
        return ptr::without_provenance_mut(align);
    }
    // SAFETY: the host passes a power of two and a size that fits the memory; what
    // it gives back came from here, by this function's contract.
    let memory = unsafe {
        match old_size {
            0 => alloc::alloc(Layout::from_size_align_unchecked(new_size, align)),
            _ => {
                let layout = Layout::from_size_align_unchecked(old_size, align);
                alloc::realloc(old, layout, new_size)
            }
        }
    };
    if memory.is_null() {
        core::arch::wasm32::unreachable();
    }
    memory
}
