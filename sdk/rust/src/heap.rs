//! A component's memory, from an allocator that takes a kilobyte of each component
//! where that of `std` takes nine.
//!
//! Blocks have one of [`CLASSES`] sizes, at most a quarter larger than what was asked
//! for. A freed block waits in the list of its size; blocks are never joined, and the
//! last one gives its room back. What is aligned to more than [`GRAIN`] bytes is
//! never used again when it is freed.

#![allow(unsafe_code)]

use std::alloc::Layout;
use std::ptr;

/// Every block begins at a multiple of it, in bytes.
const GRAIN: usize = 16;
/// Up to this size, classes are one grain apart; above it, a quarter of a doubling.
const FINE_MAX: usize = 128;
/// How many there are below.
const FINE: usize = FINE_MAX / GRAIN;
/// Sizes of blocks, up to 2 GiB.
const CLASSES: usize = FINE + 4 * 24;

/// Where more memory comes from.
pub trait Source {
    /// At least `bytes` more, the address they begin at and that they end before.
    /// What begins where the memory given before ends is joined to it.
    fn more(&mut self, bytes: usize) -> Option<(usize, usize)>;
}

/// Blocks of memory that a [`Source`] gave.
pub struct Heap<S> {
    source: S,
    /// What nobody was given yet.
    top: usize,
    end: usize,
    /// The first free block of each class; each holds the address of the next.
    free: [*mut Free; CLASSES],
}

struct Free {
    next: *mut Free,
}

impl<S: Source> Heap<S> {
    /// No memory yet.
    pub const fn new(source: S) -> Self {
        Self { source, top: 0, end: 0, free: [ptr::null_mut(); CLASSES] }
    }

    /// A block for the layout, or null when the source has no more.
    pub fn alloc(&mut self, layout: Layout) -> *mut u8 {
        let Some(class) = Class::of(layout) else {
            return ptr::null_mut();
        };
        let first = self.free[class.index];
        if first.is_null() || layout.align() > GRAIN {
            return self.carve(class.size, layout.align().max(GRAIN));
        }
        // SAFETY: blocks in the lists were given back, so they are ours, and each was
        // written by `dealloc`.
        self.free[class.index] = unsafe { (*first).next };
        first.cast()
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// It came from here for this layout, and nobody uses it any more.
    pub unsafe fn dealloc(&mut self, block: *mut u8, layout: Layout) {
        let Some(class) = Class::of(layout) else {
            return;
        };
        if block.addr() + class.size == self.top {
            self.top = block.addr();
        } else if layout.align() <= GRAIN {
            let free = block.cast::<Free>();
            // SAFETY: a block has at least a grain of room, is aligned to a grain, and
            // is ours again.
            unsafe { free.write(Free { next: self.free[class.index] }) };
            self.free[class.index] = free;
        }
    }

    /// Makes a block larger or smaller, in place where it can.
    ///
    /// # Safety
    /// As [`Heap::dealloc`]; the caller uses the new block alone.
    pub unsafe fn realloc(&mut self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
            return ptr::null_mut();
        };
        let (Some(old), Some(new)) = (Class::of(layout), Class::of(wanted)) else {
            return ptr::null_mut();
        };
        if old.index == new.index {
            return block;
        }
        let is_last = block.addr() + old.size == self.top;
        if is_last && self.reaches(block.addr() + new.size) {
            self.top = block.addr() + new.size;
            return block;
        }
        let moved = self.alloc(wanted);
        if !moved.is_null() {
            // SAFETY: both blocks are at least so long, and the new one is nobody's.
            unsafe {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }

    /// A block nobody had before.
    fn carve(&mut self, size: usize, align: usize) -> *mut u8 {
        let fits = |top: usize| top.checked_next_multiple_of(align)?.checked_add(size);
        let enough = fits(self.top).is_some_and(|end| end <= self.end);
        if (self.top == 0 || !enough) && !self.grow(size.saturating_add(align)) {
            return ptr::null_mut();
        }
        let block = self.top.next_multiple_of(align);
        self.top = block + size;
        ptr::with_exposed_provenance_mut(block)
    }

    fn reaches(&mut self, end: usize) -> bool {
        end <= self.end || {
            let had = self.top;
            // What does not join what was there leaves the block where it is.
            self.grow(end - self.end) && self.top == had
        }
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let Some((start, end)) = self.source.more(bytes) else {
            return false;
        };
        if start != self.end || self.top == 0 {
            self.top = start;
        }
        self.end = end;
        true
    }
}

struct Class {
    index: usize,
    size: usize,
}

impl Class {
    /// The smallest whose blocks have room for the layout; none above 2 GiB.
    fn of(layout: Layout) -> Option<Self> {
        let size = layout.size().max(1);
        if size <= FINE_MAX {
            let grains = size.div_ceil(GRAIN);
            return Some(Self { index: grains - 1, size: grains * GRAIN });
        }
        // The step is a quarter of the power of two below.
        let log = usize::BITS - 1 - (size - 1).leading_zeros();
        let step = 1 << (log - 2);
        let steps = size.div_ceil(step);
        let octave = (log - FINE_MAX.ilog2()) as usize;
        let index = FINE + 4 * octave + (steps - 5);
        (index < CLASSES).then_some(Self { index, size: steps * step })
    }
}

/// The allocator of components.
#[cfg(target_family = "wasm")]
mod global {
    use std::alloc::{GlobalAlloc, Layout};
    use std::arch::wasm32::{memory_grow, memory_size};
    use std::cell::UnsafeCell;

    use super::{Heap, Source};

    /// Bytes of a page of memory.
    const PAGE: usize = 64 << 10;

    struct Pages;

    impl Source for Pages {
        fn more(&mut self, bytes: usize) -> Option<(usize, usize)> {
            let pages = bytes.div_ceil(PAGE);
            let before = memory_grow::<0>(pages);
            // The last page ends where an address would be too large.
            (before != usize::MAX).then(|| (before * PAGE, memory_size::<0>().saturating_mul(PAGE)))
        }
    }

    struct Global(UnsafeCell<Heap<Pages>>);

    // SAFETY: a component has one thread.
    unsafe impl Sync for Global {}

    // SAFETY: blocks of `Heap` do not overlap, are as long and aligned as asked for,
    // and stay until they are given back.
    unsafe impl GlobalAlloc for Global {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: one thread, and no call of the heap makes another.
            unsafe { &mut *self.0.get() }.alloc(layout)
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: as above; the block is what the caller says.
            unsafe { (*self.0.get()).dealloc(block, layout) }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // SAFETY: as above; the block is what the caller says.
            unsafe { (*self.0.get()).realloc(block, layout, size) }
        }
    }

    #[global_allocator]
    static HEAP: Global = Global(UnsafeCell::new(Heap::new(Pages)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A piece of this process's memory, given out in steps.
    struct Arena {
        memory: Vec<u8>,
        given: usize,
        step: usize,
    }

    impl Arena {
        fn heap(bytes: usize, step: usize) -> Heap<Self> {
            Heap::new(Self { memory: vec![0; bytes], given: 0, step })
        }
    }

    impl Source for Arena {
        fn more(&mut self, bytes: usize) -> Option<(usize, usize)> {
            let start = self.memory.as_ptr().expose_provenance() + self.given;
            self.given += bytes.next_multiple_of(self.step);
            (self.given <= self.memory.len())
                .then(|| (start, start + bytes.next_multiple_of(self.step)))
        }
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a layout")
    }

    #[test]
    fn classes_have_room_and_waste_at_most_a_quarter() {
        let mut last = 0;
        for size in 1..100_000 {
            let class = Class::of(layout(size, 1)).expect("a class");
            assert!(class.size >= size, "{size} in {}", class.size);
            assert!(
                class.size <= (size + size / 4).max(size + GRAIN - 1),
                "{size} in {}",
                class.size
            );
            assert!(class.size.is_multiple_of(GRAIN), "{size} in {}", class.size);
            assert!(class.index == last || class.index == last + 1, "{size}: {}", class.index);
            last = class.index;
        }
        assert!(Class::of(layout(1 << 31, 1)).is_some());
        assert!(Class::of(layout((1 << 31) + 1, 1)).is_none());
    }

    #[test]
    fn blocks_do_not_overlap_and_keep_what_was_written() {
        let mut heap = Arena::heap(1 << 20, 4096);
        let mut blocks: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let mut random = 7_u32;
        for turn in 0..20_000_u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pick = (random >> 8) as usize;
            let fill = turn as u8;
            // SAFETY: each block is used as long as it was asked for, and given back once.
            unsafe {
                match pick % 3 {
                    0 if blocks.len() < 60 => {
                        let wanted = layout(1 + pick % 3_000, 1 << (pick % 8));
                        let block = heap.alloc(wanted);
                        assert!(!block.is_null());
                        assert!(block.addr().is_multiple_of(wanted.align()));
                        block.write_bytes(fill, wanted.size());
                        // What is aligned to more is never used again: keep it.
                        if wanted.align() <= GRAIN {
                            blocks.push((block, wanted, fill));
                        } else {
                            heap.dealloc(block, wanted);
                        }
                    }
                    1 if !blocks.is_empty() => {
                        let (block, had, value) = blocks.swap_remove(pick % blocks.len());
                        let size = 1 + pick % 3_000;
                        let moved = heap.realloc(block, had, size);
                        check(moved, had.size().min(size), value);
                        moved.write_bytes(fill, size);
                        blocks.push((moved, layout(size, had.align()), fill));
                    }
                    _ if !blocks.is_empty() => {
                        let (block, had, value) = blocks.swap_remove(pick % blocks.len());
                        check(block, had.size(), value);
                        heap.dealloc(block, had);
                    }
                    _ => {}
                }
            }
        }
    }

    unsafe fn check(block: *mut u8, size: usize, value: u8) {
        assert!(!block.is_null());
        // SAFETY: the caller's block has so many bytes, all written.
        let bytes = unsafe { std::slice::from_raw_parts(block, size) };
        assert!(bytes.iter().all(|byte| *byte == value));
    }

    #[test]
    fn a_list_that_grows_stays_where_it_is_and_leaves_nothing_behind() {
        let mut heap = Arena::heap(1 << 20, 4096);
        let mut block = heap.alloc(layout(16, 8));
        let (first, mut size) = (block, 16);
        // SAFETY: the one block of this heap.
        unsafe {
            while size < 512 << 10 {
                block = heap.realloc(block, layout(size, 8), size * 2);
                size *= 2;
            }
            assert_eq!(block, first);
            heap.dealloc(block, layout(size, 8));
        }
        assert_eq!(heap.alloc(layout(16, 8)), first);
    }

    #[test]
    fn freed_blocks_are_used_again_and_too_much_is_refused() {
        let mut heap = Arena::heap(64 << 10, 4096);
        for _ in 0..10_000 {
            let pair = [heap.alloc(layout(5_000, 1)), heap.alloc(layout(100, 1))];
            assert!(pair.iter().all(|block| !block.is_null()));
            // SAFETY: just given, in this order, so that the first is not the last block.
            unsafe {
                heap.dealloc(pair[0], layout(5_000, 1));
                heap.dealloc(pair[1], layout(100, 1));
            }
        }
        assert!(heap.alloc(layout(1 << 20, 1)).is_null());
        assert!(heap.alloc(layout(usize::MAX >> 1, 1)).is_null());
        assert!(!heap.alloc(layout(16, 1)).is_null());
    }
}
