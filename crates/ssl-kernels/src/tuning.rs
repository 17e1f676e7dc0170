//! Settings of the process that training is faster with.

/// Changes settings of the whole process that training is faster with; call it once, at the start of a program.
///
/// - glibc keeps freed memory for the next step instead of giving it back to the system. A training step allocates and
///   frees the same large tensors every time. By default glibc returns them to the system, which hands them out again page
///   by page, each filled with zeros first: on the machines measured, a tenth of a step on the CPU. The process keeps the
///   size of its largest step, which it would reach again anyway.
/// - libtorch tries out cuDNN's algorithms for every new shape of a convolution and keeps the fastest (feature `tch`):
///   shapes repeat in training.
///
/// [`DeviceSpec::open`](crate::DeviceSpec::open) changes nothing of the kind: the process belongs to the program, not to a
/// library.
pub fn tune_process() {
    keep_freed();
    #[cfg(feature = "tch")]
    tch::Cuda::cudnn_set_benchmark(true);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_freed() {
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
fn keep_freed() {}
