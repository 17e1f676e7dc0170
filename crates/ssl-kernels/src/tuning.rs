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

/// Restricts this process to its part of the machine's cores: the `rank`-th of `of` processes that share them. Call it once, at
/// the start of a program: everything that counts cores later, such as thread pools, then counts those.
///
/// Does nothing if the launcher has restricted the process already, if there are fewer cores than processes, or outside of Linux.
pub fn share_cores(rank: usize, of: usize) {
    if of < 2 || rank >= of {
        return;
    }
    #[cfg(target_os = "linux")]
    restrict(rank, of);
    #[cfg(feature = "tch")]
    tch::set_num_threads(std::thread::available_parallelism().map_or(1, |cores| cores.get() as i32));
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // functions of the C library
fn restrict(rank: usize, of: usize) {
    // SAFETY: a set of cores is plain bits, for which zeros are a value; the system fills it and reads it, within its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return;
        }
        let usable: Vec<usize> =
            (0..libc::CPU_SETSIZE as usize).filter(|&core| libc::CPU_ISSET(core, &set)).collect();
        let online = libc::sysconf(libc::_SC_NPROCESSORS_ONLN);
        if usable.len() as libc::c_long != online || usable.len() < of {
            return;
        }
        let mut own: libc::cpu_set_t = std::mem::zeroed();
        let part = usable.len() * rank / of..usable.len() * (rank + 1) / of;
        usable[part].iter().for_each(|&core| libc::CPU_SET(core, &mut own));
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const own);
    }
}
