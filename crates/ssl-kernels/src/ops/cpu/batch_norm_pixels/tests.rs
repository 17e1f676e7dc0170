use super::*;
use crate::ops::cpu::simd::{Level, alone};
use crate::ops::{Maps, with_backend_kernels};
use burn::tensor::{Distribution, TensorData, Tolerance};
use burn_flex::Flex;

/// What follows a normalisation.
#[derive(Clone, Copy, Debug)]
enum After {
    Nothing,
    Relu,
    AddRelu,
}

struct Inputs {
    x: Tensor<4>,
    shortcut: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
}

impl Inputs {
    fn random([batch, channels, height, width]: [usize; 4], splits: usize) -> Self {
        let device = Device::flex();
        let images = |mean: f64| {
            let spread = Distribution::Normal(mean, 2.0);
            Tensor::<4>::random([batch, channels, height, width], spread, &device)
        };
        let row =
            |low: f64| Tensor::<1>::random([splits * channels], Distribution::Uniform(low, 1.5), &device);
        Self { x: images(3.0), shortcut: images(0.0), weight: row(0.5), bias: row(-1.0) }
    }

    /// Gradients of all inputs, output and statistics; packed, or in planes.
    fn run(&self, after: After, splits: usize, is_packed: bool) -> Vec<TensorData> {
        let [x, shortcut] = [&self.x, &self.shortcut].map(|t| Tensor::from_inner(t.clone()).require_grad());
        let [weight, bias] = [&self.weight, &self.bias].map(|t| Tensor::from_inner(t.clone()).require_grad());
        let (w, b, channels) = (weight.clone(), bias.clone(), x.dims()[1]);
        // A convolution with the identity is what packs.
        let maps = |images: Tensor<4>| {
            let kernel =
                Tensor::<2>::eye(channels, &images.device().inner()).reshape([channels, channels, 1, 1]);
            let planes = images * 1.0;
            if is_packed { Maps::from(planes).conv2d(kernel, 1, 0) } else { Maps::from(planes) }
        };
        let out = match after {
            After::Nothing => maps(x.clone()).batch_norm_train(w, b, splits, 1e-5),
            After::Relu => maps(x.clone()).batch_norm_relu_train(w, b, None, splits, 1e-5),
            After::AddRelu => {
                let added = Some(maps(shortcut.clone()));
                maps(x.clone()).batch_norm_relu_train(w, b, added, splits, 1e-5)
            }
        };
        let output = out.output.into_planes();
        let gradients = (output.clone() * output.clone().sin()).sum().backward();
        let mut results = vec![
            x.grad(&gradients).expect("of the images").into_data(),
            weight.grad(&gradients).expect("of the weight").into_data(),
            bias.grad(&gradients).expect("of the bias").into_data(),
            output.inner().into_data(),
            out.mean.without_autodiff().into_data(),
            out.variance.without_autodiff().into_data(),
        ];
        results.extend(shortcut.grad(&gradients).map(Tensor::into_data));
        results
    }
}

#[test]
fn outputs_statistics_and_gradients_are_those_of_burns_operations_on_planes() {
    for (shape, splits) in
        [([6, 16, 7, 5], 1), ([4, 20, 8, 8], 2), ([2, 3, 9, 9], 1), ([9, 33, 1, 2], 3), ([70, 16, 2, 2], 2)]
    {
        let inputs = Inputs::random(shape, splits);
        for after in [After::Nothing, After::Relu, After::AddRelu] {
            let ours = inputs.run(after, splits, true);
            let portable = with_backend_kernels(|| inputs.run(after, splits, false));
            assert_eq!(ours.len(), portable.len(), "{after:?}: whether the shortcut has a gradient");
            for (ours, portable) in ours.into_iter().zip(portable) {
                ours.assert_approx_eq::<f32>(&portable, Tolerance::rel_abs(1e-3, 1e-4));
            }
        }
    }
}

/// Output and gradients of the loops, without the rest of a network.
fn passes(x: &[f32], dy: &[f32]) -> Vec<Vec<f32>> {
    let norm = Norm { channels: 40, splits: 2, eps: 1e-5 };
    let shape = [6, 3, 5, 7, 16];
    let layout = Layout::of(shape, norm);
    let tensor_of = |values: &[f32]| Flex::tensor(super::super::pixels::aligned(values).into(), &shape);
    let (x, dy) = (tensor_of(x), tensor_of(dy));
    let row: Vec<f32> = (0..80).map(|i| (i as f32 * 0.3).sin() + 0.2).collect();
    let moments = layout.moments::<Flex>(pixels::<Flex>(&x), 1e-5);
    let columns = layout.columns(&moments, &row, &row);
    let finish = Finish { columns: &columns, shortcut: Some(pixels::<Flex>(&dy)), relu: true };
    let output = layout.forward::<Flex>(&x, finish);
    let then = Then::AddRelu(output.clone());
    let saved = Saved::<Flex> { layout, x, columns, moments, then };
    let sums = saved.sums(pixels::<Flex>(&dy));
    let all: Vec<f32> = sums.iter().flat_map(|s| [s.plain, s.weighted].concat()).map(|v| v as f32).collect();
    let (dx, dshortcut) = saved.gradients(dy, &sums);
    let values = |tensor: &FloatTensor<Flex>| Flex::values(tensor).to_vec();
    vec![values(&output), all, values(&dx), values(&dshortcut.expect("a shortcut was added"))]
}

fn wave(speed: f32) -> Vec<f32> {
    (0..6 * 3 * 5 * 7 * 16).map(|i| (i as f32 * speed).sin() + 0.1).collect()
}

#[test]
fn neither_wider_vectors_nor_the_number_of_threads_change_a_bit() {
    let alone = alone();
    let (x, dy) = (wave(0.7), wave(0.31));
    let run = |level: Level, threads: usize| {
        alone.limit(level);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| passes(&x, &dy))
    };
    let narrow = run(Level::Avx2, 1);
    for (level, threads) in [(Level::Avx512, 1), (Level::Avx512, 2), (Level::Avx512, 3), (Level::Avx2, 7)] {
        assert_eq!(run(level, threads), narrow, "{level:?} on {threads} threads");
    }
    let (plain, rounded) = (run(Level::Portable, 1), narrow);
    for (a, b) in plain.iter().zip(&rounded).flat_map(|(a, b)| a.iter().zip(b)) {
        assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{a} and {b}");
    }
}

#[test]
fn a_large_offset_does_not_spoil_the_variance() {
    let device = Device::flex();
    let x = Tensor::<4>::from_floats([[[[1000.0, 1001.0], [1002.0, 1003.0]]]], &device);
    let kernel = Tensor::<4>::ones([1, 1, 1, 1], &device);
    let maps = Maps::from(x).conv2d(kernel, 1, 0);
    let out = maps.batch_norm_train(Tensor::ones([1], &device), Tensor::zeros([1], &device), 1, 1e-5);
    assert!((out.variance.into_scalar::<f32>() - 1.25).abs() < 1e-5);
}
