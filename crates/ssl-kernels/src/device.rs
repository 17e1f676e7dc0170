//! Device specifications: the text that a user writes after `--device`, and the Burn device it names.

mod found;
mod vectors;

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, FloatDType};

pub use found::FoundDevice;

/// A device as a user names it: a backend, and a device index where the backend has several.
///
/// ```
/// # use ssl_kernels::DeviceSpec;
/// let spec: DeviceSpec = "tch:cuda:1".parse().unwrap();
/// assert_eq!(spec, DeviceSpec::TchCuda(1));
/// assert_eq!(spec.to_string(), "tch:cuda:1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceSpec {
    /// `flex`: Burn's pure-Rust CPU backend.
    Flex,
    /// `tch`: libtorch on the CPU.
    Tch,
    /// `tch:cuda:N`: libtorch on the N-th CUDA GPU.
    TchCuda(usize),
    /// `tch:mps`: libtorch on Apple's Metal Performance Shaders.
    TchMps,
    /// `wgpu`, `wgpu:N`: the default or the N-th GPU through WebGPU shaders (WGSL), numbered as in `burn-ssl devices`.
    Wgpu(Option<usize>),
    /// `vulkan`, `vulkan:N`: the default or the N-th GPU through Vulkan (SPIR-V), numbered likewise.
    Vulkan(Option<usize>),
    /// `metal`, `metal:N`: the default or the N-th GPU through Metal, numbered likewise.
    Metal(Option<usize>),
    /// `cuda:N`: the N-th NVIDIA GPU through CubeCL.
    Cuda(usize),
    /// `rocm:N`: the N-th AMD GPU through CubeCL and HIP.
    Rocm(usize),
}

/// A kind of device, as `burn-ssl devices` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The text to write after `--device`.
    pub name: &'static str,
    /// The parsed name.
    pub spec: DeviceSpec,
    /// The cargo feature that compiles it in.
    pub feature: &'static str,
    /// Whether this program was compiled with that feature.
    pub compiled: bool,
    /// A short description of the hardware it runs on.
    pub about: &'static str,
}

/// Why a device cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// The text is not a device name.
    #[error(
        "unknown device '{0}': expected flex, tch, tch:cuda:N, tch:mps, wgpu, vulkan, metal, cuda:N or rocm:N"
    )]
    Unknown(String),
    /// The backend is not part of this program.
    #[error("device '{spec}' is not in this build: build with `--features {feature}` to have it")]
    NotCompiled {
        /// The requested device.
        spec: String,
        /// The cargo feature that adds its backend.
        feature: &'static str,
    },
    /// The backend is available, but the device is not.
    #[error("there is no device '{spec}' on this machine: found {found}")]
    Missing {
        /// The requested device.
        spec: String,
        /// What the backend found instead.
        found: String,
    },
    /// The device exists but cannot be used.
    #[error("device '{spec}' could not be opened: {reason}")]
    Unavailable {
        /// The requested device.
        spec: String,
        /// The backend's message.
        reason: String,
    },
}

impl DeviceSpec {
    /// All kinds of device that burn-ssl knows, compiled in or not, in the order of the README's table.
    pub fn kinds() -> [DeviceInfo; 8] {
        let kind = |name, spec: Self, compiled, about| DeviceInfo {
            name,
            spec,
            feature: spec.feature(),
            compiled,
            about,
        };
        [
            kind("flex", Self::Flex, cfg!(feature = "flex"), "CPU, pure Rust"),
            kind("tch", Self::Tch, cfg!(feature = "tch"), "CPU, libtorch"),
            kind("tch:cuda:0", Self::TchCuda(0), cfg!(feature = "tch"), "NVIDIA GPU, libtorch"),
            kind("wgpu", Self::Wgpu(None), cfg!(feature = "wgpu-plain"), "any GPU, WebGPU shaders"),
            kind("vulkan", Self::Vulkan(None), cfg!(feature = "vulkan"), "any GPU with Vulkan, SPIR-V"),
            kind("metal", Self::Metal(None), cfg!(feature = "metal"), "Apple GPU, Metal"),
            kind("cuda:0", Self::Cuda(0), cfg!(feature = "cuda-plain"), "NVIDIA GPU, CubeCL"),
            kind("rocm:0", Self::Rocm(0), cfg!(feature = "rocm-plain"), "AMD GPU, CubeCL and HIP"),
        ]
    }

    /// The cargo feature that compiles this device's backend in.
    pub fn feature(&self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Tch | Self::TchCuda(_) | Self::TchMps => "tch",
            Self::Wgpu(_) => "wgpu",
            Self::Vulkan(_) => "vulkan",
            Self::Metal(_) => "metal",
            Self::Cuda(_) => "cuda",
            Self::Rocm(_) => "rocm",
        }
    }

    /// Opens the device. Process-wide settings that speed up training are applied by
    /// [`tune_process`](crate::tune_process).
    ///
    /// # Errors
    /// [`DeviceError::NotCompiled`] if the backend is not part of this build, [`DeviceError::Missing`] if the backend
    /// finds no such device, [`DeviceError::Unavailable`] if it cannot use the device.
    pub fn open(&self) -> Result<Device, DeviceError> {
        let device = self.find()?;
        catch(|| touch(&device)).map_err(|reason| self.unavailable(reason))?;
        Ok(device)
    }

    /// Opens the device for a process that computes in float64: everything created on it from then on is float64. Used
    /// as the reference that float32 results are compared with.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`DeviceError::Unavailable`] if this process has already opened the device or the
    /// device does not support float64.
    pub fn open_float64(&self) -> Result<Device, DeviceError> {
        let mut device = self.find()?;
        device.configure(FloatDType::F64).map_err(|error| self.unavailable(error.to_string()))?;
        self.open()
    }

    /// Finds the device without touching it.
    fn find(&self) -> Result<Device, DeviceError> {
        let Some(found) = self.found().map_err(|reason| self.unavailable(reason))? else {
            return Err(DeviceError::NotCompiled { spec: self.to_string(), feature: self.feature() });
        };
        let device = found.get(self.index().unwrap_or(0)).ok_or_else(|| self.missing(&found))?;
        Ok(device.device.clone())
    }

    fn unavailable(&self, reason: String) -> DeviceError {
        DeviceError::Unavailable { spec: self.to_string(), reason }
    }

    /// The devices of this kind on this machine, in index order; `None` if the backend is not part of this build.
    ///
    /// # Errors
    /// The backend's message if it cannot list its devices.
    pub fn found(&self) -> Result<Option<Vec<FoundDevice>>, String> {
        let spec = *self;
        catch(move || found::devices(spec))
    }

    fn index(&self) -> Option<usize> {
        match *self {
            Self::Flex | Self::Tch | Self::TchMps => None,
            Self::TchCuda(index) | Self::Cuda(index) | Self::Rocm(index) => Some(index),
            Self::Wgpu(index) | Self::Vulkan(index) | Self::Metal(index) => index,
        }
    }

    fn missing(&self, found: &[FoundDevice]) -> DeviceError {
        let names = found.iter().map(|device| device.to_string()).collect::<Vec<_>>().join(", ");
        let found = if names.is_empty() { "none of its kind".to_owned() } else { names };
        DeviceError::Missing { spec: self.to_string(), found }
    }
}

/// Runs something that may panic, since backends report a missing driver by panicking.
fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| panic_text(panic.as_ref()))
}

/// Runs one operation, so that an unusable device fails here and not in the middle of a run.
fn touch(device: &Device) {
    burn::tensor::Tensor::<1>::zeros([1], device).into_data();
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the backend gave no reason");
    text.lines().next().unwrap_or_default().to_owned()
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(text.to_owned());
        let index = |digits: &str| digits.parse::<usize>().map_err(|_| unknown());
        let parts: Vec<&str> = text.split(':').collect();
        Ok(match parts.as_slice() {
            ["flex"] => Self::Flex,
            ["tch"] | ["tch", "cpu"] => Self::Tch,
            ["tch", "cuda"] => Self::TchCuda(0),
            ["tch", "cuda", n] => Self::TchCuda(index(n)?),
            ["tch", "mps"] => Self::TchMps,
            ["wgpu"] => Self::Wgpu(None),
            ["wgpu", n] => Self::Wgpu(Some(index(n)?)),
            ["vulkan"] => Self::Vulkan(None),
            ["vulkan", n] => Self::Vulkan(Some(index(n)?)),
            ["metal"] => Self::Metal(None),
            ["metal", n] => Self::Metal(Some(index(n)?)),
            ["cuda"] => Self::Cuda(0),
            ["cuda", n] => Self::Cuda(index(n)?),
            ["rocm"] => Self::Rocm(0),
            ["rocm", n] => Self::Rocm(index(n)?),
            _ => return Err(unknown()),
        })
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indexed = |f: &mut fmt::Formatter<'_>, name: &str, index: Option<usize>| match index {
            Some(index) => write!(f, "{name}:{index}"),
            None => f.write_str(name),
        };
        match *self {
            Self::Flex => f.write_str("flex"),
            Self::Tch => f.write_str("tch"),
            Self::TchCuda(index) => write!(f, "tch:cuda:{index}"),
            Self::TchMps => f.write_str("tch:mps"),
            Self::Wgpu(index) => indexed(f, "wgpu", index),
            Self::Vulkan(index) => indexed(f, "vulkan", index),
            Self::Metal(index) => indexed(f, "metal", index),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Rocm(index) => write!(f, "rocm:{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spec_survives_a_round_trip_through_its_text() {
        for text in
            ["flex", "tch", "tch:cuda:0", "tch:mps", "wgpu", "wgpu:1", "vulkan", "metal", "cuda:3", "rocm:0"]
        {
            assert_eq!(text.parse::<DeviceSpec>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn an_unknown_device_is_named_together_with_the_known_ones() {
        let error = "gpu".parse::<DeviceSpec>().expect_err("there is no device 'gpu'").to_string();
        assert!(error.contains("'gpu'") && error.contains("tch:cuda:N"), "{error}");
        assert!("cuda:x".parse::<DeviceSpec>().is_err());
    }

    #[cfg(not(feature = "rocm-plain"))]
    #[test]
    fn a_device_outside_the_build_names_the_feature_that_adds_it() {
        let error = DeviceSpec::Rocm(0).open().expect_err("rocm is not compiled in").to_string();
        assert!(error.contains("--features rocm"), "{error}");
    }

    #[test]
    fn a_device_that_is_not_there_is_answered_with_those_that_are() {
        let error = DeviceSpec::Cuda(1).missing(&[]).to_string();
        assert_eq!(error, "there is no device 'cuda:1' on this machine: found none of its kind");
        #[cfg(feature = "flex")]
        {
            let found = DeviceSpec::Flex.found().expect("it looks").expect("flex is compiled in");
            let error = DeviceSpec::Cuda(1).missing(&found).to_string();
            assert!(error.ends_with("found flex (CPU)"), "{error}");
        }
    }

    #[test]
    fn the_name_of_a_kind_is_the_text_of_its_spec() {
        for kind in DeviceSpec::kinds() {
            assert_eq!(kind.name, kind.spec.to_string());
        }
    }

    #[cfg(feature = "tch")]
    #[test]
    fn a_gpu_beyond_the_last_one_is_missing() {
        let error = DeviceSpec::TchCuda(1000).open().expect_err("nobody has so many").to_string();
        assert!(error.starts_with("there is no device 'tch:cuda:1000' on this machine: found "), "{error}");
    }

    #[cfg(feature = "flex")]
    #[test]
    fn flex_opens_and_keeps_the_precision_that_it_was_opened_in() {
        let device = DeviceSpec::Flex.open().expect("every machine has a CPU");
        let error = DeviceSpec::Flex.open_float64().expect_err("it computes in float32 by now");
        assert!(error.to_string().starts_with("device 'flex' could not be opened: "), "{error}");
        assert_eq!(burn::tensor::Tensor::<1>::zeros([1], &device).dtype(), burn::tensor::DType::F32);
    }
}
