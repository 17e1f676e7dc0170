//! What becomes of freed memory on the CPU.

/// Tells glibc to keep freed memory for the next step instead of giving it back to the system.
///
/// A training step allocates and frees the same large tensors every time. By default glibc returns them to the system,
/// which hands them out again page by page, each filled with zeros first: on the machines measured, a tenth of a step.
/// The process keeps the size of its largest step, which it would reach again anyway.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn keep_freed() {
    const NEVER: libc::c_int = -1;
    #[allow(unsafe_code)] // a function of the C library
    // SAFETY: `mallopt` takes the allocator's own lock and changes two of its numbers.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, NEVER);
        libc::mallopt(libc::M_MMAP_MAX, 0);
    }
}

/// Other C libraries have no such setting.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn keep_freed() {}
