//! The vector instructions of a CPU.

use super::DeviceSpec;

impl DeviceSpec {
    /// The vector instructions that this device uses on this processor, as text, starting with those of this crate's
    /// loops; `None` for a GPU, or if the backend is not part of this build.
    ///
    /// ```
    /// # use ssl_kernels::DeviceSpec;
    /// println!("{:?}", DeviceSpec::Flex.vectors()); // "AVX2, Burn's operations AVX2"
    /// assert_eq!(DeviceSpec::Wgpu(None).vectors(), None);
    /// ```
    pub fn vectors(&self) -> Option<String> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => Some(format!("{}, Burn's operations {}", crate::ops::instructions(), burn())),
            #[cfg(feature = "tch")]
            Self::Tch => Some(format!("{}, others as libtorch chooses", crate::ops::instructions())),
            _ => None,
        }
    }
}

/// The widest vectors used by flex's matrix products (`gemm` with the feature `x86-v4`) and element-wise loops
/// (`macerator`).
#[cfg(feature = "flex")]
fn burn() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        return "AVX-512";
    }
    crate::ops::instructions()
}
