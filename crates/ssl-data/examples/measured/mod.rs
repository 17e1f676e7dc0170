//! What the programs that measure share: SimCLR's views, and the vector instructions that make them.

use ssl_data::ops::Interpolation;
use ssl_data::{OpConfig, ViewConfig};

/// The views of SimCLR, two of each image: from 64 pixels on ImageNet's, below CIFAR's, which the paper does not blur.
pub(crate) fn simclr_views(size: usize, antialias: bool) -> ViewConfig {
    let strength = if size >= 64 { 0.8 } else { 0.4 };
    let (brightness, contrast, saturation, hue) = (strength, strength, strength, strength / 4.0);
    let interpolation = if antialias { Interpolation::Bilinear } else { Interpolation::BilinearAliased };
    let mut ops = vec![
        OpConfig::RandomResizedCrop { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0], interpolation },
        OpConfig::HorizontalFlip { p: 0.5 },
        OpConfig::ColorJitter { p: 0.8, brightness, contrast, saturation, hue },
        OpConfig::Grayscale { p: 0.2 },
    ];
    if size >= 64 {
        ops.push(OpConfig::GaussianBlur { p: 0.5, sigma: [0.1, 2.0], kernel_size: None });
    }
    ViewConfig { count: 2, size, ops }
}

/// The vector instructions in use: of this crate's loops, and of the libraries that decode and resize.
pub(crate) fn vectors() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (has_avx512, is_x86_feature_detected!("avx2")) {
            (true, _) => return "AVX-512, JPEG and resize AVX2",
            (false, true) => return "AVX2",
            (false, false) => {}
        }
    }
    "as the compiler chooses"
}
