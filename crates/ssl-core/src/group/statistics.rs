//! Running statistics of batch norm that each process has of its own images.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use ssl_kernels::Group;

use crate::named::{Path, is_buffer};

/// Replaces the running statistics of batch norm by their means over all processes, in one message.
///
/// Without synchronised batch norm, each process has statistics of its own images. With their means, every process has the same
/// network. PyTorch instead takes the statistics of the first process (`DistributedDataParallel`, `broadcast_buffers`).
pub fn average_statistics<M: Module>(module: M, group: &Group) -> M {
    if group.is_solo() {
        return module;
    }
    let mut found = Found::default();
    module.visit(&mut found);
    if found.statistics.is_empty() {
        return module;
    }
    let sums = group.all_reduce_sum(Tensor::cat(found.statistics, 0));
    let means = sums.div_scalar(group.size() as f64);
    module.map(&mut Replace { path: Path::default(), means, start: 0 })
}

#[derive(Default)]
struct Found {
    path: Path,
    statistics: Vec<Tensor<1>>,
}

impl ModuleVisitor for Found {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if is_buffer(&self.path.join()) {
            let value = param.val().without_autodiff();
            let count = value.shape().num_elements();
            self.statistics.push(value.reshape([count]));
        }
    }
}

struct Replace {
    path: Path,
    means: Tensor<1>,
    start: usize,
}

impl ModuleMapper for Replace {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !is_buffer(&self.path.join()) {
            return param;
        }
        param.map(|old| {
            let shape = old.shape();
            let count = shape.num_elements();
            let mean = self.means.clone().narrow(0, self.start, count).reshape(shape);
            self.start += count;
            if old.is_autodiff() { mean.autodiff() } else { mean }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceSpec, Head, Init, LayerConfig, Mlp, Norm, Pass, named};

    #[test]
    fn every_process_has_the_mean_of_all_statistics_and_keeps_its_weights() {
        let of_ranks = ssl_testing::ranks(2, |group| {
            let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
            let layers = [LayerConfig::new(2).norm(Norm::Affine), LayerConfig::new(1)];
            let network = Mlp::init(3, &layers, &mut Init::new(1, &device));
            let rows = Tensor::from_floats([[0.0, 1.0, 2.0], [3.0, 5.0, 4.0]], &device);
            network.forward(rows * (group.rank() as f32 + 1.0), &Pass::train());
            let before = named::collect(&network);
            (before, named::collect(&average_statistics(network, &group)))
        });
        let [(own0, all0), (own1, all1)] = of_ranks.try_into().expect("two ranks");
        assert_eq!(all0, all1);
        for (path, found) in &all0 {
            let values = |data: &burn::tensor::TensorData| data.iter::<f32>().collect::<Vec<_>>();
            let [mine, other, found] = [&own0[path], &own1[path], found].map(values);
            if named::is_buffer(path) {
                assert_ne!(mine, other, "{path}");
                let means: Vec<f32> = mine.iter().zip(&other).map(|(a, b)| (a + b) / 2.0).collect();
                assert_eq!(found, means, "{path}");
            } else {
                assert_eq!(found, mine, "{path}");
            }
        }
    }
}
