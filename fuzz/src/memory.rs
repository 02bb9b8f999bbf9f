//! An allocator that counts, and the promise that it is for: docs/format.md §1 says that a length is checked against the bytes
//! at hand before anything is allocated.
//!
//! Counted is what Rust code allocates on the thread that decodes; what zstd allocates for itself, a fixed few hundred
//! kilobytes, is not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;

/// What may be allocated at one time for so many bytes of input: copies, what is decompressed, and small change.
pub const fn bound(input: usize) -> usize {
    2 * input + (64 << 20)
}

/// More than so many times the bound is refused, which ends the process: the machine is not to suffer from a finding.
const RUNAWAY: usize = 4;

thread_local! {
    static USED: Cell<isize> = const { Cell::new(0) };
    static LIMIT: Cell<isize> = const { Cell::new(isize::MAX) };
    static HIGHEST: Cell<isize> = const { Cell::new(0) };
    static HEAVIEST: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The system's allocator, with sums for each thread.
struct Counting;

#[expect(
    unsafe_code,
    reason = "the only way to see every allocation; each call is handed on to the system's allocator as it came"
)]
// SAFETY: every method calls the system's with the arguments it was given and returns what that returned. The counters are
// plain cells without a destructor: using them allocates nothing, and `try_with` bears the end of a thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size(), 0) {
            return null_mut();
        }
        // SAFETY: the caller keeps the contract of this method, which is that of the one called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size(), 0) {
            return null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !count(size, layout.size()) {
            return null_mut();
        }
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Adds and takes away; whether that is within the limit.
fn count(more: usize, less: usize) -> bool {
    // No layout is longer than isize::MAX.
    let change = more.wrapping_sub(less).cast_signed();
    let counted = USED.try_with(|used| {
        let now = used.get().wrapping_add(change);
        if change > 0 && now > LIMIT.get() {
            return false;
        }
        used.set(now);
        HIGHEST.set(HIGHEST.get().max(now));
        true
    });
    counted.unwrap_or(true)
}

/// What `act` returns, and how many bytes this thread held more at one time than when it began.
pub fn highest<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let (before, outside) = (USED.get(), HIGHEST.get());
    HIGHEST.set(before);
    let done = act();
    let highest = HIGHEST.replace(outside.max(HIGHEST.get()));
    (done, highest.wrapping_sub(before).max(0).cast_unsigned())
}

/// Decodes within the bound.
///
/// # Panics
/// More was allocated.
pub fn bounded<T>(input: &[u8], decode: impl FnOnce(&[u8]) -> T) -> T {
    let most = bound(input.len());
    LIMIT.set(USED.get().saturating_add_unsigned(RUNAWAY * most));
    let (decoded, highest) = highest(|| decode(input));
    LIMIT.set(isize::MAX);
    assert!(highest <= most, "{highest} bytes were allocated for {} bytes of input", input.len());
    HEAVIEST.set(HEAVIEST.get().max(highest.saturating_sub(2 * input.len())));
    decoded
}

/// What was allocated at most beyond twice the input, since this was last asked, on this thread.
pub fn heaviest() -> usize {
    HEAVIEST.take()
}
