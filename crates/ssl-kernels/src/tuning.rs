//! Process-wide settings that speed up training.

/// Changes process-wide settings to speed up training. Call it once, at the start of a program.
///
/// - glibc keeps freed memory for the next step instead of returning it to the system. A training step allocates and
///   frees the same large tensors every time. By default glibc returns them to the system, which then hands out zeroed
///   pages one by one: on the machines measured, a tenth of a step on the CPU. The process keeps the memory of its
///   largest step, which it would need again anyway.
/// - libtorch benchmarks cuDNN's algorithms for every new convolution shape and keeps the fastest (feature `tch`),
///   which pays off because shapes repeat in training.
///
/// [`DeviceSpec::open`](crate::DeviceSpec::open) does none of this: the process belongs to the program, not to a
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
    // SAFETY: `mallopt` takes the allocator's own lock and changes two of its settings.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, NEVER);
        libc::mallopt(libc::M_MMAP_MAX, 0);
    }
}

/// Other C libraries have no such setting.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed() {}
