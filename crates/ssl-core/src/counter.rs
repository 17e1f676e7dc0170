//! A number on the host that is saved with a module's record.

use burn::module::{
    Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param, ParamId,
};
use burn::tensor::{Device, Int, Tensor};

/// A number kept on the host, so that reading it never waits for a device. It is saved with the record as an integer
/// tensor `[1]`.
///
/// ```
/// # use ssl_core::{Counter, DeviceSpec, named};
/// let device = DeviceSpec::Flex.open().unwrap();
/// let saved = named::collect(&Counter::new(7, &device));
/// let restored = named::load(Counter::new(0, &device), saved).unwrap();
/// assert_eq!(restored.value(), 7);
/// ```
#[derive(Clone, Debug)]
pub struct Counter {
    id: ParamId,
    value: usize,
    device: Device,
}

impl Counter {
    /// Creates a counter at `value` whose record lives on `device`.
    pub fn new(value: usize, device: &Device) -> Self {
        Self { id: ParamId::new(), value, device: device.clone() }
    }

    /// The current value.
    pub fn value(&self) -> usize {
        self.value
    }

    /// Sets the value.
    pub fn set(&mut self, value: usize) {
        self.value = value;
    }

    fn param(&self) -> Param<Tensor<1, Int>> {
        Param::initialized(self.id, Tensor::from_data([self.value as i64], &self.device))
    }
}

impl Module for Counter {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_int(&self.param());
    }

    fn map<M: ModuleMapper>(mut self, mapper: &mut M) -> Self {
        let value = mapper.map_int(self.param()).val().into_scalar::<i64>();
        self.value = usize::try_from(value).expect("a counter is not negative");
        self
    }

    fn to_device(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn collect_devices(&self, mut devices: Vec<Device>) -> Vec<Device> {
        if !devices.contains(&self.device) {
            devices.push(self.device.clone());
        }
        devices
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        Self { device: self.device.clone().inner(), ..self.clone() }
    }

    fn train(self) -> Self {
        self
    }
}

impl core::fmt::Display for Counter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Counter({})", self.value)
    }
}

impl ModuleDisplayDefault for Counter {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&self.value).optional()
    }
}

impl ModuleDisplay for Counter {}
