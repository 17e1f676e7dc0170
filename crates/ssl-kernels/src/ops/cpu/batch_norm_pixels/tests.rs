use super::*;
use crate::ops::Maps;
use crate::ops::comparison::{assert_close, on_every_host, operand, packed, random, results};
use crate::ops::cpu::simd::{Level, alone};
use burn::tensor::{FloatDType, TensorData};
use burn_flex::Flex;

/// What follows a normalisation.
#[derive(Clone, Copy, Debug)]
enum After {
    Nothing,
    Relu,
    AddRelu,
}

/// Output, gradients and statistics: of packed maps, or in float64 of planes.
fn run(shape: [usize; 4], splits: usize, after: After, dtype: FloatDType) -> Vec<TensorData> {
    let x = operand(&(random(shape, 1) * 4.0 + 3.0), dtype);
    let shortcut = operand(&(random(shape, 2) * 3.0), dtype);
    let row = |seed| random([splits * shape[1]], seed);
    let (weight, bias) = (operand(&(row(3) * 0.5 + 1.0), dtype), operand(&row(4), dtype));
    let (maps, w, b) = (packed(x.clone()), weight.clone(), bias.clone());
    let out = match after {
        After::Nothing => maps.batch_norm_train(w, b, splits, 1e-5),
        After::Relu => maps.batch_norm_relu_train(w, b, None, splits, 1e-5),
        After::AddRelu => maps.batch_norm_relu_train(w, b, Some(packed(shortcut.clone())), splits, 1e-5),
    };
    let y = out.output.into_planes();
    // Squared: whether a value is just above 0 or not is a matter of rounding, but there the square has no slope.
    let squared = y.clone() * y.clone();
    let mut results = match after {
        After::AddRelu => results!(squared, x, weight, bias, shortcut),
        After::Nothing | After::Relu => results!(squared, x, weight, bias),
    };
    let statistics = [out.mean, out.variance].map(|values| values.without_autodiff().into_data());
    results.push(y.inner().into_data());
    results.extend(statistics);
    results
}

#[test]
fn outputs_statistics_and_gradients_are_those_of_float64() {
    on_every_host(|| {
        for (shape, splits) in [
            ([6, 16, 7, 5], 1),
            ([4, 20, 8, 8], 2),
            ([2, 3, 9, 9], 1),
            ([9, 33, 1, 2], 3),
            ([70, 16, 2, 2], 2),
            ([1, 17, 5, 3], 1),
        ] {
            for after in [After::Nothing, After::Relu, After::AddRelu] {
                let run = |dtype| run(shape, splits, after, dtype);
                let about = format!("{shape:?}, {splits} splits, {after:?}");
                assert_close(&run(FloatDType::F32), &run(FloatDType::F64), 3e-6, &about);
            }
        }
    });
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
    let columns: Arc<[Column]> = layout.columns(&moments, &row, &row).into();
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
