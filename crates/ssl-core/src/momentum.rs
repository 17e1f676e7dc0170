//! Teachers: networks that follow another network as an exponential moving average.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, container::TensorContainer};
use ssl_kernels::ops::average;

use crate::named::{Path, is_buffer};

/// Moves the parameters of one network towards those of another.
pub trait MomentumUpdate: Module {
    /// Returns the network with its parameters moved towards `online` and its running statistics unchanged.
    ///
    /// ```text
    /// parameter ← momentum · parameter + (1 − momentum) · online parameter
    /// ```
    ///
    /// The running statistics of batch norm stay: a teacher runs in training mode and updates its own, as in the
    /// official code of the methods that have one.
    ///
    /// # Panics
    /// If the two networks do not have the same parameters.
    ///
    /// # Source
    /// He et al. 2020, eq. 2, <https://arxiv.org/abs/1911.05722>.
    fn momentum_update(self, online: &Self, momentum: f64) -> Self;
}

impl<M: Module> MomentumUpdate for M {
    fn momentum_update(self, online: &Self, momentum: f64) -> Self {
        let mut online_parameters = ParameterCollector::default();
        online.visit(&mut online_parameters);
        let mut mapper = AverageMapper { path: Path::default(), online: online_parameters.tensors, momentum };
        let updated = self.map(&mut mapper);
        assert!(mapper.online.is_empty(), "momentum update: the online network has parameters of its own");
        updated
    }
}

/// A network that follows a student: it has no gradients, and its own running statistics and parameter ids.
#[derive(Module, Debug)]
pub struct Teacher<M: Module> {
    network: M,
}

impl<M: Module> Teacher<M> {
    /// Creates an exact copy of `student`, running statistics included, on the plain device.
    pub fn from_student(student: &M) -> Self {
        // Not `clone()`, which would share the running statistics and the parameter ids with the student.
        Self { network: student.valid().map(&mut DetachMapper) }
    }

    /// Moves the teacher towards the student, see [`MomentumUpdate`].
    pub fn follow(self, student: &M, momentum: f64) -> Self {
        Self { network: self.network.momentum_update(student, momentum) }
    }

    /// The network.
    pub fn network(&self) -> &M {
        &self.network
    }
}

/// Gives every parameter a new id and no gradient.
struct DetachMapper;

impl ModuleMapper for DetachMapper {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        Param::initialized(ParamId::new(), param.val().set_require_grad(false))
    }
}

/// Collects the parameters by path, without their gradients.
#[derive(Default)]
struct ParameterCollector {
    path: Path,
    tensors: TensorContainer<String>,
}

impl ModuleVisitor for ParameterCollector {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join();
        if !is_buffer(&path) {
            self.tensors.register(path, param.val().without_autodiff());
        }
    }
}

/// Moves every parameter towards the one at the same path of `online`.
struct AverageMapper {
    path: Path,
    online: TensorContainer<String>,
    momentum: f64,
}

impl ModuleMapper for AverageMapper {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join();
        if is_buffer(&path) {
            return param;
        }
        let online: Tensor<D> = self
            .online
            .remove(&path)
            .unwrap_or_else(|| panic!("momentum update: the online network has no parameter '{path}'"));
        param.map(|old| average(old, online, self.momentum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceSpec, Head, Init, LayerConfig, Mlp, Norm, Pass, named};
    use burn::optim::{GradientsParams, SgdConfig};
    use burn::tensor::{Device, TensorData};

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn student(seed: u64) -> Mlp {
        let layers = [LayerConfig::new(4).norm(Norm::Affine).relu(), LayerConfig::new(2)];
        Mlp::init(3, &layers, &mut Init::new(seed, &device().autodiff()))
    }

    fn rows() -> Tensor<2> {
        Tensor::from_floats([[1.0, -2.0, 0.5], [0.0, 1.0, 2.0], [-1.0, 0.5, 1.0]], &device())
    }

    #[test]
    fn a_teacher_starts_as_an_exact_copy() {
        let student = student(0);
        student.forward(rows(), &Pass::train());
        assert_eq!(named::collect(&Teacher::from_student(&student).network), named::collect(&student));
    }

    #[test]
    fn a_teacher_has_running_statistics_of_its_own() {
        let student = student(0);
        let teacher = Teacher::from_student(&student);
        let before = named::collect(teacher.network());
        student.forward(rows(), &Pass::train());
        assert_eq!(named::collect(teacher.network()), before);
        let student_before = named::collect(&student);
        teacher.network().forward(rows() + 1.0, &Pass::train());
        assert_ne!(named::collect(teacher.network()), before);
        assert_eq!(named::collect(&student), student_before);
    }

    #[test]
    fn a_teacher_shares_no_parameter_id_and_gets_no_gradient() {
        let student = student(0);
        let teacher = Teacher::from_student(&student);
        let target = teacher.network().forward(rows(), &Pass::train());
        assert!(!target.device().is_autodiff());
        let loss = (student.forward(rows(), &Pass::train()) - target).square().mean();
        let mut gradients = loss.backward();
        let of_teacher = GradientsParams::from_module(&mut gradients, teacher.network());
        assert!(of_teacher.is_empty(), "the teacher received gradients");
        assert!(!GradientsParams::from_module(&mut gradients, &student).is_empty());
    }

    #[test]
    fn following_is_bit_equal_to_the_average_by_hand_over_several_steps() {
        let mut student = student(0);
        let mut teacher = Teacher::from_student(&student);
        let mut by_hand = named::collect(teacher.network());
        let mut optimizer = SgdConfig::new().init();
        for _ in 0..3 {
            let gradients = student.forward(rows(), &Pass::train()).square().mean().backward();
            let gradients = GradientsParams::from_grads(gradients, &student);
            student = optimizer.step(0.1, student, gradients);
            teacher = teacher.follow(&student, 0.9);
            average_by_hand(&mut by_hand, &named::collect(&student), 0.9);
        }
        assert_eq!(named::collect(teacher.network()), by_hand);
    }

    fn average_by_hand(
        teacher: &mut std::collections::BTreeMap<String, TensorData>,
        student: &std::collections::BTreeMap<String, TensorData>,
        momentum: f64,
    ) {
        for (path, data) in teacher.iter_mut().filter(|(path, _)| !is_buffer(path)) {
            let (m, rest) = (momentum as f32, (1.0 - momentum) as f32);
            let new = student[path].try_to_vec::<f32>().expect("floats");
            let old = data.try_to_vec::<f32>().expect("floats");
            let values: Vec<f32> = old.iter().zip(new).map(|(t, s)| t * m + s * rest).collect();
            *data = TensorData::new(values, data.shape().clone());
        }
    }

    #[test]
    #[should_panic(expected = "no parameter")]
    fn networks_of_other_structure_are_refused() {
        let small = Mlp::init(3, &[], &mut Init::new(0, &device()));
        student(0).momentum_update(&small, 0.9);
    }
}
