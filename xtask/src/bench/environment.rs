//! The environment variables of measured programs.

use std::collections::BTreeMap;
use std::thread::available_parallelism;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use super::Common;
use super::program::{build, target_folder};

/// Names and values.
pub(super) type Variables = Vec<(&'static str, String)>;

/// The widest vector instructions that either side may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cap {
    /// Neither AVX-512 nor AMX.
    Avx2,
}

impl Cap {
    /// Its name on the command line and in the names of archived files.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Avx2 => "avx2",
        }
    }

    /// PyTorch's, oneDNN's and MKL's own settings. Whatever has no setting, nearly everything on our side, sees a
    /// processor without AVX-512, through `xtask/cap` and glibc's own setting.
    fn variables(self) -> Result<Variables> {
        let library = build(&["-p", "xtask-cap"], "avx2_cap", &[])?;
        Ok(vec![
            ("ATEN_CPU_CAPABILITY", "avx2".into()),
            ("ONEDNN_MAX_CPU_ISA", "AVX2".into()),
            ("MKL_ENABLE_INSTRUCTIONS", "AVX2".into()),
            ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD".into()),
            ("LD_PRELOAD", library.display().to_string()),
            // Otherwise `torch.compile` would find what it cached for wider vectors.
            ("TORCHINDUCTOR_CACHE_DIR", target_folder().join("bench/inductor-avx2").display().to_string()),
        ])
    }
}

/// The variables of both sides.
pub(super) fn of_both(common: &Common) -> Result<Variables> {
    let Some(cap) = common.cap else { return Ok(Vec::new()) };
    ensure!(common.pack.is_none(), "--cap builds a library, expected a source tree and no --pack");
    cap.variables()
}

/// The variables that a variant of PyTorch needs; the scripts check that they are set.
pub(super) fn of_variant(variant: &str) -> Variables {
    let mut all = Variables::new();
    for word in variant.split('+') {
        match word {
            // What `ssl_kernels::tune_process` tells the C library.
            "malloc" => all.extend([
                ("MALLOC_MMAP_MAX_", "0".to_owned()),
                ("MALLOC_TRIM_THRESHOLD_", u64::MAX.to_string()),
            ]),
            // One thread of OpenMP on each core.
            "pin" => all.push(("GOMP_CPU_AFFINITY", format!("0-{}", cores() - 1))),
            _ => {}
        }
    }
    all
}

/// The inherited variables that figures may depend on.
pub(super) fn inherited() -> BTreeMap<String, String> {
    const PREFIXES: [&str; 13] = [
        "OMP_",
        "GOMP_",
        "KMP_",
        "MKL_",
        "ONEDNN_",
        "DNNL_",
        "ATEN_",
        "TORCH",
        "MALLOC_",
        "GLIBC_",
        "RAYON_",
        "LD_",
        "RUSTFLAGS",
    ];
    std::env::vars().filter(|(name, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix))).collect()
}

fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::of_variant;

    #[test]
    fn a_variant_with_malloc_keeps_freed_memory_as_our_side_does() {
        let names = |variant: &str| of_variant(variant).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names("channels_last+malloc"), ["MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"]);
        assert!(names("channels_last+compile").is_empty());
    }
}
