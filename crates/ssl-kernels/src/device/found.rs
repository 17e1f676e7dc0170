//! The devices of this machine.

use std::fmt;

use burn::tensor::Device;

use super::DeviceSpec;

/// A device on this machine.
#[derive(Clone, Debug)]
pub struct FoundDevice {
    /// The text to write after `--device`.
    pub spec: DeviceSpec,
    pub(super) device: Device,
}

impl FoundDevice {
    /// The driver's name for the device. Opens the device.
    pub fn name(&self) -> String {
        match self.spec {
            DeviceSpec::Flex | DeviceSpec::Tch => "CPU".to_owned(),
            DeviceSpec::TchCuda(_) => "NVIDIA GPU".to_owned(),
            DeviceSpec::TchMps => "Apple GPU".to_owned(),
            _ => self.identity().unwrap_or_else(|| "unnamed".to_owned()),
        }
    }

    #[cfg(any(feature = "wgpu-plain", feature = "cuda-plain", feature = "rocm-plain"))]
    fn identity(&self) -> Option<String> {
        self.device.identity().map(|identity| identity.name)
    }

    #[cfg(not(any(feature = "wgpu-plain", feature = "cuda-plain", feature = "rocm-plain")))]
    fn identity(&self) -> Option<String> {
        None
    }
}

impl fmt::Display for FoundDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.spec, self.name())
    }
}

/// The devices of a kind, ignoring the index in `spec`; `None` if the backend is not part of this build.
#[allow(unreachable_patterns)] // with every backend compiled in, nothing is left for the last arm
pub(super) fn devices(spec: DeviceSpec) -> Option<Vec<FoundDevice>> {
    match spec {
        #[cfg(feature = "flex")]
        DeviceSpec::Flex => Some(vec![FoundDevice { spec, device: Device::flex() }]),
        #[cfg(feature = "tch")]
        DeviceSpec::Tch | DeviceSpec::TchCuda(_) | DeviceSpec::TchMps => Some(libtorch(spec)),
        #[cfg(feature = "wgpu-plain")]
        DeviceSpec::Wgpu(_) => Some(cube(burn::tensor::DeviceType::Wgpu, |n| DeviceSpec::Wgpu(Some(n)))),
        #[cfg(feature = "vulkan")]
        DeviceSpec::Vulkan(_) => {
            Some(cube(burn::tensor::DeviceType::Vulkan, |n| DeviceSpec::Vulkan(Some(n))))
        }
        #[cfg(feature = "metal")]
        DeviceSpec::Metal(_) => Some(cube(burn::tensor::DeviceType::Metal, |n| DeviceSpec::Metal(Some(n)))),
        #[cfg(feature = "cuda-plain")]
        DeviceSpec::Cuda(_) => Some(cube(burn::tensor::DeviceType::Cuda, DeviceSpec::Cuda)),
        #[cfg(feature = "rocm-plain")]
        DeviceSpec::Rocm(_) => Some(cube(burn::tensor::DeviceType::Rocm, DeviceSpec::Rocm)),
        _ => None,
    }
}

#[cfg(feature = "tch")]
#[allow(deprecated)] // Burn deprecates its libtorch backend, which is the reason for pinning this version of Burn
fn libtorch(spec: DeviceSpec) -> Vec<FoundDevice> {
    match spec {
        DeviceSpec::TchCuda(_) => {
            let count = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
            let gpu = |n| FoundDevice { spec: DeviceSpec::TchCuda(n), device: Device::libtorch_cuda(n) };
            (0..count).map(gpu).collect()
        }
        DeviceSpec::TchMps if tch::utils::has_mps() => {
            vec![FoundDevice { spec, device: Device::libtorch_mps() }]
        }
        DeviceSpec::TchMps => Vec::new(),
        _ => vec![FoundDevice { spec, device: Device::libtorch() }],
    }
}

/// The devices of one of CubeCL's runtimes.
#[cfg(any(feature = "wgpu-plain", feature = "cuda-plain", feature = "rocm-plain"))]
fn cube(kind: burn::tensor::DeviceType, spec: impl Fn(usize) -> DeviceSpec) -> Vec<FoundDevice> {
    let devices = Device::enumerate(kind).into_vec().into_iter().enumerate();
    devices.map(|(index, device)| FoundDevice { spec: spec(index), device }).collect()
}
