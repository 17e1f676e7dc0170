//! Hides AVX-512 and AMX from a program: `cargo xtask bench --cap avx2` preloads this library into both sides.
//!
//! Libraries ask the processor for its features with the instruction `cpuid`. Linux can make that instruction fault
//! (`arch_prctl(ARCH_SET_CPUID, 0)`: Intel since 2012, virtual machines under KVM), and a handler for the fault answers
//! in place of the processor, without those bits. So every library of the process is capped, whether or not
//! it has a setting for it: Rust's feature detection, `gemm`, oneDNN, ATen, numpy, OpenCV. glibc asks before any
//! library is loaded; it has its own setting, which `bench` uses.
//!
//! Where the system cannot do this, the program ends with an error and exit status 2.

#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
#[allow(unsafe_code)] // a signal handler
mod fault {
    use std::arch::x86_64::{__cpuid_count, CpuidResult};
    use std::mem::zeroed;
    use std::ptr::null_mut;

    const ARCH_SET_CPUID: libc::c_long = 0x1012;
    /// The encoding of the instruction.
    const CPUID: [u8; 2] = [0x0f, 0xa2];

    /// What is hidden in the answers to (leaf, subleaf), as bits of ebx, ecx, edx and eax (Intel's manual, volume 2A).
    const HIDDEN: [((u32, u32), [u32; 4]); 2] = [
        // AVX-512 F, DQ, IFMA, PF, ER, CD, BW, VL; VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ; 4VNNIW, 4FMAPS, VP2INTERSECT,
        // AMX BF16, FP16 of AVX-512, AMX TILE, AMX INT8.
        ((7, 0), [0xdc23_0000, 0x0000_5842, 0x03c0_010c, 0]),
        // BF16 of AVX-512, AMX FP16; AVX10.
        ((7, 1), [0, 0, 0x0008_0000, 0x0020_0020]),
    ];

    #[used]
    #[unsafe(link_section = ".init_array")]
    static START: extern "C" fn() = start;

    extern "C" fn start() {
        // GCC's compiler proper has its own handler. Its driver, which is capped, tells it what to compile for.
        if std::fs::read("/proc/self/comm").is_ok_and(|name| name.starts_with(b"cc1")) {
            return;
        }
        // SAFETY: the handler touches nothing but the context of its fault.
        let result = unsafe {
            let mut action: libc::sigaction = zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigaction(libc::SIGSEGV, &action, null_mut());
            answer_ourselves(true)
        };
        if result != 0 {
            eprintln!(
                "error: this system cannot hide AVX-512 from a program, expected Linux with CPUID faulting"
            );
            std::process::exit(2);
        }
    }

    /// Applies to this thread and those it starts; a program that it starts loads this library again.
    unsafe fn answer_ourselves(ourselves: bool) -> libc::c_long {
        // SAFETY: a system call without pointers.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_CPUID, libc::c_long::from(!ourselves)) }
    }

    unsafe extern "C" fn on_fault(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel passes the context of the fault, whose instruction can be read.
        unsafe {
            let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
            let at = registers[libc::REG_RIP as usize];
            if *(at as *const [u8; 2]) != CPUID {
                // A real fault: it happens again, without this handler.
                libc::signal(libc::SIGSEGV, libc::SIG_DFL);
                return;
            }
            let question = [libc::REG_RAX, libc::REG_RCX].map(|register| registers[register as usize] as u32);
            answer_ourselves(false);
            let answer = capped(question, __cpuid_count(question[0], question[1]));
            answer_ourselves(true);
            for (register, value) in [
                (libc::REG_RAX, answer.eax),
                (libc::REG_RBX, answer.ebx),
                (libc::REG_RCX, answer.ecx),
                (libc::REG_RDX, answer.edx),
            ] {
                registers[register as usize] = i64::from(value);
            }
            registers[libc::REG_RIP as usize] = at + CPUID.len() as i64;
        }
    }

    fn capped([leaf, subleaf]: [u32; 2], mut answer: CpuidResult) -> CpuidResult {
        for (_, [ebx, ecx, edx, eax]) in HIDDEN.iter().filter(|(of, _)| *of == (leaf, subleaf)) {
            answer.ebx &= !ebx;
            answer.ecx &= !ecx;
            answer.edx &= !edx;
            answer.eax &= !eax;
        }
        answer
    }
}
