//! The operations of transformers against their portable versions in float64, on every backend whose tensors the loops work on.

use burn::tensor::{Device, FloatDType, Tensor, TensorData};

use crate::ops::comparison::{
    assert_close, assert_threads_change_no_bit, device, on_every_host, operand, random, results,
};
use crate::ops::cpu::simd::{self, Level};
use crate::ops::{
    AttentionInput, AttentionWeights, FeedForwardWeights, attention, attention_half, feed_forward,
    layer_norm, linear,
};

/// Rows, inputs and outputs: a single one, odd ones, several parts for threads in both directions, few outputs, and few rows, of
/// which a part could be small enough for `gemm`'s other order of sums.
const LAYERS: [[usize; 3]; 12] = [
    [1, 1, 1],
    [3, 5, 7],
    [1, 64, 200],
    [197, 48, 33],
    [600, 192, 70],
    [64, 100, 1030],
    [160, 40, 3],
    [192, 40, 2],
    [300, 40, 1],
    [3, 40, 160],
    [2, 40, 192],
    [1, 40, 300],
];

fn layer([rows, inputs, outputs]: [usize; 3], then_gelu: bool, dtype: FloatDType) -> Vec<TensorData> {
    let x = operand(&random([1, rows, inputs], 1), dtype);
    let weight = operand(&random([outputs, inputs], 2), dtype);
    let bias = operand(&random([outputs], 3), dtype);
    let of = if then_gelu { linear::linear_gelu::<3> } else { linear::linear::<3> };
    let of = if dtype == FloatDType::F32 {
        of
    } else if then_gelu {
        gelu_by_definition
    } else {
        plain_by_definition
    };
    results!(of(x.clone(), weight.clone(), Some(bias.clone())), x, weight, bias)
}

fn plain_by_definition<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    linear::portable(x, weight, bias, false)
}

fn gelu_by_definition<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let x = plain_by_definition(x, weight, bias);
    let share = x.clone().mul_scalar(std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0).mul_scalar(0.5);
    x * share
}

/// A layer onto a shortcut, with a bias or without one.
fn layer_onto([rows, inputs, outputs]: [usize; 3], biased: bool, dtype: FloatDType) -> Vec<TensorData> {
    let x = operand(&random([1, rows, inputs], 1), dtype);
    let (weight, bias) =
        (operand(&random([outputs, inputs], 2), dtype), operand(&random([outputs], 3), dtype));
    let shortcut = operand(&random([1, rows, outputs], 4), dtype);
    let given = biased.then(|| bias.clone());
    let y = match dtype {
        FloatDType::F32 => linear::linear_onto(shortcut.clone(), x.clone(), weight.clone(), given),
        _ => shortcut.clone() + plain_by_definition(x.clone(), weight.clone(), given),
    };
    if biased { results!(y, x, weight, bias, shortcut) } else { results!(y, x, weight, shortcut) }
}

#[test]
fn linear_layers_onto_a_shortcut_are_those_of_float64() {
    on_every_host(|| {
        for (shape, biased) in LAYERS.into_iter().flat_map(|shape| [(shape, true), (shape, false)]) {
            let run = |dtype| layer_onto(shape, biased, dtype);
            let about = format!("{shape:?} onto a shortcut, bias: {biased}");
            assert_close(&run(FloatDType::F32), &run(FloatDType::F64), 1e-6, &about);
        }
    });
}

#[test]
fn linear_layers_are_those_of_float64() {
    on_every_host(|| {
        for shape in LAYERS {
            for then_gelu in [false, true] {
                let (got, want) =
                    (layer(shape, then_gelu, FloatDType::F32), layer(shape, then_gelu, FloatDType::F64));
                assert_close(&got, &want, 1e-6, &format!("{shape:?}, GELU: {then_gelu}"));
            }
        }
    });
}

#[test]
fn a_layer_without_bias_and_of_constants_has_the_other_gradients() {
    let (x, weight) = (random([2, 5], 1), operand(&random([3, 5], 2), FloatDType::F32));
    let y = linear::linear(x.clone(), weight.clone(), None);
    assert_eq!(
        y.clone().inner().into_data(),
        linear::linear(x.clone(), weight.clone().inner(), None).into_data()
    );
    let gradient = weight.grad(&y.sum().backward()).expect("a gradient");
    let want = Tensor::<2>::ones([3, 2], &Device::flex()).matmul(x);
    gradient.into_data().assert_approx_eq::<f32>(&want.into_data(), burn::tensor::Tolerance::default());
}

#[test]
fn an_empty_batch_gives_nothing_and_no_gradient() {
    let x = Tensor::<2>::from_inner(Tensor::zeros([0, 5], &Device::flex())).require_grad();
    let weight = operand(&random([3, 5], 2), FloatDType::F32);
    let y = linear::linear_gelu(x, weight.clone(), None);
    assert_eq!(y.dims(), [0, 3]);
    let gradient = weight.grad(&y.sum().backward()).expect("a gradient");
    assert_eq!(gradient.into_data(), TensorData::zeros::<f32, _>([3, 5]));
}

fn norm([rows, length]: [usize; 2], dtype: FloatDType) -> Vec<TensorData> {
    let x = operand(&(random([rows, length], 1) + 0.5), dtype);
    let weight = operand(&random([length], 2), dtype);
    let bias = operand(&random([length], 3), dtype);
    let of = if dtype == FloatDType::F32 { layer_norm::layer_norm } else { layer_norm::portable };
    results!(of(x.clone(), weight.clone(), bias.clone(), 1e-6), x, weight, bias)
}

#[test]
fn layer_norms_are_those_of_float64() {
    on_every_host(|| {
        for shape in [[1, 48], [7, 3], [197, 48], [130, 192], [3, 385]] {
            assert_close(
                &norm(shape, FloatDType::F32),
                &norm(shape, FloatDType::F64),
                2e-6,
                &format!("{shape:?}"),
            );
        }
    });
}

/// Rows, length of a token and of a hidden one: a single row, odd ones, several jobs.
const HALVES: [[usize; 3]; 5] = [[1, 3, 5], [197, 48, 70], [130, 192, 33], [1000, 20, 80], [3200, 16, 24]];

fn half([rows, dim, hidden]: [usize; 3], apart: bool, dtype: FloatDType) -> Vec<TensorData> {
    let (x, shortcut) = (operand(&random([rows, dim], 1), dtype), operand(&random([rows, dim], 8), dtype));
    let [norm_weight, norm_bias, bias2] = [2, 3, 4].map(|seed| operand(&random([dim], seed), dtype));
    let bias1 = operand(&random([hidden], 5), dtype);
    let weight1 = operand(&random([hidden, dim], 6), dtype);
    let weight2 = operand(&random([dim, hidden], 7), dtype);
    let of = |x: Tensor<2>, w: FeedForwardWeights| {
        if dtype == FloatDType::F32 {
            return match apart {
                true => feed_forward::feed_forward_onto(shortcut.clone(), x, w),
                false => feed_forward::feed_forward(x, w),
            };
        }
        let normalised = layer_norm::portable(x.clone(), w.norm_weight, w.norm_bias, w.eps);
        let active = gelu_by_definition(normalised, w.weight1, Some(w.bias1));
        let shortcut = if apart { shortcut.clone() } else { x };
        shortcut + plain_by_definition(active, w.weight2, Some(w.bias2))
    };
    let weights = FeedForwardWeights {
        norm_weight: norm_weight.clone(),
        norm_bias: norm_bias.clone(),
        eps: 1e-6,
        weight1: weight1.clone(),
        bias1: bias1.clone(),
        weight2: weight2.clone(),
        bias2: bias2.clone(),
    };
    if apart {
        let y = of(x.clone(), weights);
        return results!(y, x, shortcut, norm_weight, norm_bias, weight1, bias1, weight2, bias2);
    }
    results!(of(x.clone(), weights), x, norm_weight, norm_bias, weight1, bias1, weight2, bias2)
}

#[test]
fn the_feed_forward_half_is_that_of_float64() {
    on_every_host(|| {
        for shape in HALVES {
            for apart in [false, true] {
                let (got, want) = (half(shape, apart, FloatDType::F32), half(shape, apart, FloatDType::F64));
                assert_close(&got, &want, 3e-6, &format!("{shape:?}, another shortcut: {apart}"));
            }
        }
    });
}

#[test]
fn without_gradients_the_feed_forward_half_is_the_same() {
    let weights = || FeedForwardWeights {
        norm_weight: random([6], 2),
        norm_bias: random([6], 3),
        eps: 1e-6,
        weight1: random([10, 6], 4),
        bias1: random([10], 5),
        weight2: random([6, 10], 6),
        bias2: random([6], 7),
    };
    let x = random([50, 6], 1);
    let tracked = Tensor::<2>::from_inner(x.clone()).require_grad();
    let with = feed_forward::feed_forward(tracked.clone(), weights()).inner().into_data();
    assert_eq!(feed_forward::feed_forward(x.clone(), weights()).into_data(), with);
    let onto = |shortcut, x| feed_forward::feed_forward_onto(shortcut, x, weights());
    assert_eq!(onto(x.clone(), x.clone()).into_data(), with);
    let (zeros, tracked) = (Tensor::zeros([50, 6], &Device::flex()), tracked);
    let gradients = onto(tracked.clone(), zeros).sum().backward();
    let gradient = tracked.grad(&gradients).expect("a gradient of the shortcut").into_data();
    assert_eq!(gradient, TensorData::ones::<f32, _>([50, 6]));
    assert_eq!(
        feed_forward::feed_forward(Tensor::<2>::zeros([0, 6], &Device::flex()), weights()).dims(),
        [0, 6]
    );
}

/// Batch, tokens, heads and dimensions of a head: one token, several blocks of tokens.
const HEADS: [[usize; 4]; 7] = [
    [1, 1, 1, 32],
    [2, 7, 3, 5],
    [1, 197, 2, 48],
    [1, 50, 2, 64],
    [2, 65, 1, 128],
    [1, 300, 1, 16],
    [1, 600, 2, 8],
];

fn attended(input: AttentionInput, dtype: FloatDType) -> Tensor<3> {
    if dtype == FloatDType::F32 { attention::attend(input) } else { attention::portable(input) }
}

fn heads([batch, tokens, heads, dim]: [usize; 4], dtype: FloatDType) -> Vec<TensorData> {
    let qkv = operand(&random([batch, tokens, 3 * heads * dim], 1).mul_scalar(3.0), dtype);
    let input = AttentionInput::packed(qkv.clone(), heads);
    results!(attended(input, dtype), qkv)
}

#[test]
fn attention_is_that_of_float64() {
    on_every_host(|| {
        for shape in HEADS {
            assert_close(
                &heads(shape, FloatDType::F32),
                &heads(shape, FloatDType::F64),
                2e-6,
                &format!("{shape:?}"),
            );
        }
    });
}

/// Batch, tokens, heads and dimensions of a head: several images in a job, one, and more tokens than a job would have; then
/// one token, and one image, which passes through the layers one by one.
const ATTENTION_HALVES: [[usize; 4]; 7] = [
    [8, 5, 1, 7],
    [9, 65, 2, 24],
    [40, 7, 3, 5],
    [8, 197, 1, 48],
    [8, 400, 2, 8],
    [8, 1, 2, 24],
    [1, 197, 1, 48],
];

fn attention_half_of([batch, tokens, heads, dim]: [usize; 4], dtype: FloatDType) -> Vec<TensorData> {
    let length = heads * dim;
    let x = operand(&random([batch, tokens, length], 1), dtype);
    let [norm_weight, norm_bias, proj_bias] = [2, 3, 4].map(|seed| operand(&random([length], seed), dtype));
    let (qkv_weight, qkv_bias) =
        (operand(&random([3 * length, length], 5), dtype), operand(&random([3 * length], 6), dtype));
    let proj_weight = operand(&random([length, length], 7), dtype);
    let weights = AttentionWeights {
        norm_weight: norm_weight.clone(),
        norm_bias: norm_bias.clone(),
        eps: 1e-6,
        heads,
        qkv_weight: qkv_weight.clone(),
        qkv_bias: qkv_bias.clone(),
        proj_weight: proj_weight.clone(),
        proj_bias: proj_bias.clone(),
    };
    if dtype == FloatDType::F32 {
        let y = attention_half::attention_half(x.clone(), weights);
        return results!(y, x, norm_weight, norm_bias, qkv_weight, qkv_bias, proj_weight, proj_bias);
    }
    let normalised = layer_norm::portable(x.clone(), weights.norm_weight, weights.norm_bias, weights.eps);
    let qkv = plain_by_definition(normalised, weights.qkv_weight, Some(weights.qkv_bias));
    let seen = attention::portable(AttentionInput::packed(qkv, heads));
    let y = x.clone() + plain_by_definition(seen, weights.proj_weight, Some(weights.proj_bias));
    results!(y, x, norm_weight, norm_bias, qkv_weight, qkv_bias, proj_weight, proj_bias)
}

#[test]
fn the_attention_half_is_that_of_float64() {
    on_every_host(|| {
        for shape in ATTENTION_HALVES {
            let run = |dtype| attention_half_of(shape, dtype);
            assert_close(&run(FloatDType::F32), &run(FloatDType::F64), 5e-6, &format!("{shape:?}"));
        }
    });
}

#[test]
fn without_gradients_the_attention_half_is_the_same() {
    let run = |tracked: bool| {
        let x = random([9, 20, 12], 1);
        let x = if tracked { Tensor::from_inner(x).require_grad() } else { x };
        let weights = AttentionWeights {
            norm_weight: random([12], 2),
            norm_bias: random([12], 3),
            eps: 1e-6,
            heads: 2,
            qkv_weight: random([36, 12], 4),
            qkv_bias: random([36], 5),
            proj_weight: random([12, 12], 6),
            proj_bias: random([12], 7),
        };
        let y = attention_half::attention_half(x, weights);
        if tracked { y.inner().into_data() } else { y.into_data() }
    };
    assert_eq!(run(true), run(false));
}

/// Images, queries, keys, heads, and dimensions of a head.
const OTHERS: [[usize; 5]; 4] =
    [[3, 1, 197, 2, 48], [2, 5, 7, 3, 32], [1, 300, 270, 1, 16], [2, 270, 3, 2, 8]];

/// Who sees what in an attention to other tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sight {
    All,
    /// With a bias for all images, or one for each.
    Biased {
        shared: bool,
    },
    /// Of images of several lengths, the shortest first.
    Padded,
    /// Both.
    PaddedAndBiased {
        shared: bool,
    },
}

const SIGHTS: [Sight; 6] = [
    Sight::All,
    Sight::Biased { shared: true },
    Sight::Biased { shared: false },
    Sight::Padded,
    Sight::PaddedAndBiased { shared: true },
    Sight::PaddedAndBiased { shared: false },
];

fn others(
    [batch, queries, keys, heads, dim]: [usize; 5],
    sight: Sight,
    dtype: FloatDType,
) -> Vec<TensorData> {
    let q = operand(&random([batch, queries, heads * dim], 1).mul_scalar(3.0), dtype);
    let kv = operand(&random([batch, keys, 2 * heads * dim], 2).mul_scalar(3.0), dtype);
    use Sight::{Biased, Padded, PaddedAndBiased};
    let apart = matches!(sight, Biased { shared: false } | PaddedAndBiased { shared: false });
    let images = if apart { batch } else { 1 };
    let bias = operand(&random([images, heads, queries, keys], 3), dtype);
    let mut input = AttentionInput::apart(q.clone(), kv.clone(), heads);
    let biased = matches!(sight, Biased { .. } | PaddedAndBiased { .. });
    if biased {
        input = input.with_bias(bias.clone());
    }
    if matches!(sight, Padded | PaddedAndBiased { .. }) {
        input =
            input.with_lengths((0..batch).map(|image| 1 + (keys - 1) * (image + 1) / (batch + 1)).collect());
    }
    let output = attended(input, dtype);
    if biased { results!(output, q, kv, bias) } else { results!(output, q, kv) }
}

#[test]
fn the_attention_of_the_first_token_is_that_of_float64() {
    on_every_host(|| {
        // The only token of an image has a weight of 1 and no gradient.
        for [batch, tokens, heads, dim] in HEADS.into_iter().filter(|shape| shape[1] > 1) {
            let run = |dtype| {
                let qkv = operand(&random([batch, tokens, 3 * heads * dim], 1).mul_scalar(3.0), dtype);
                results!(attention::first_attention(qkv.clone(), heads), qkv)
            };
            let about = format!("{batch} x {tokens} tokens, {heads} heads of {dim}");
            assert_close(&run(FloatDType::F32), &run(FloatDType::F64), 2e-6, &about);
        }
    });
}

#[test]
fn attention_to_others_is_that_of_float64() {
    on_every_host(|| {
        for shape in OTHERS {
            for sight in SIGHTS {
                assert_close(
                    &others(shape, sight, FloatDType::F32),
                    &others(shape, sight, FloatDType::F64),
                    2e-6,
                    &format!("{shape:?}, {sight:?}"),
                );
            }
        }
    });
}

#[test]
fn packed_tokens_see_bias_and_padding_too() {
    on_every_host(|| {
        let (batch, tokens, heads, dim) = (2, 300, 2, 16);
        let run = |dtype| {
            let qkv = operand(&random([batch, tokens, 3 * heads * dim], 1).mul_scalar(3.0), dtype);
            let bias = operand(&random([1, heads, tokens, tokens], 2), dtype);
            let input = AttentionInput::packed(qkv.clone(), heads);
            let input = input.with_bias(bias.clone()).with_lengths(vec![tokens, 7]);
            results!(attended(input, dtype), qkv, bias)
        };
        assert_close(&run(FloatDType::F32), &run(FloatDType::F64), 2e-6, "packed");
    });
}

#[test]
fn an_infinite_bias_hides_pairs_even_whole_blocks_of_them() {
    let (queries, keys, dim) = (3, 600, 8);
    let (q, kv) = (random([1, queries, dim], 1), random([1, keys, 2 * dim], 2));
    // Only the keys from 520 on are seen: two blocks of keys have none.
    let hidden = Tensor::<4>::full([1, 1, queries, 520], f32::NEG_INFINITY, &Device::flex());
    let bias = Tensor::cat(vec![hidden, random([1, 1, queries, keys - 520], 3)], 3);
    let seen = |tensor: Tensor<3>| tensor.slice_dim(1, 520..keys);
    let got = AttentionInput::apart(q.clone(), kv.clone(), 1).with_bias(bias.clone());
    let want = AttentionInput::apart(q, seen(kv), 1).with_bias(bias.slice_dim(3, 520..keys));
    attention::attend(got).into_data().assert_approx_eq::<f32>(
        &attention::attend(want).into_data(),
        burn::tensor::Tolerance::rel_abs(1e-6, 1e-6),
    );
}

#[test]
fn hidden_pairs_get_no_gradient() {
    let run = |dtype| {
        let (q, kv) = (operand(&random([2, 3, 8], 1), dtype), operand(&random([2, 300, 16], 2), dtype));
        let hidden = Tensor::<4>::full([1, 1, 3, 280], f32::NEG_INFINITY, &device());
        let bias = operand(&Tensor::cat(vec![hidden, random([1, 1, 3, 20], 3)], 3), dtype);
        let input = AttentionInput::apart(q.clone(), kv.clone(), 1).with_bias(bias.clone());
        results!(attended(input, dtype), q, kv, bias)
    };
    on_every_host(|| {
        let got = run(FloatDType::F32);
        assert_close(&got, &run(FloatDType::F64), 2e-6, "300 keys, of which 20 are seen");
        let of_bias: Vec<f32> = got[3].iter().collect();
        assert!(of_bias.chunks(300).all(|row| row[..280].iter().all(|value| *value == 0.0)));
    });
}

#[test]
fn constants_among_the_operands_leave_the_gradients_of_the_others() {
    on_every_host(|| {
        let constant = |tensor: &Tensor<1>| Tensor::<1>::from_inner(tensor.clone());
        let ([q, kv], bias) =
            ([[2, 3, 8], [2, 7, 16]].map(|shape| random(shape, 1)), random([1, 2, 3, 7], 2));
        let x = operand(&kv, FloatDType::F32);
        let input = |kv| AttentionInput::apart(Tensor::from_inner(q.clone()), kv, 2);
        let with = |bias| attention::attend(input(x.clone()).with_bias(bias));
        let of_kv =
            |y: Tensor<3>| x.grad(&y.powi_scalar(2).sum().backward()).expect("a gradient").into_data();
        let tracked = operand(&bias, FloatDType::F32);
        assert_eq!(of_kv(with(Tensor::from_inner(bias.clone()))), of_kv(with(tracked)));
        let (weight, row) = (random([5, 16], 3), random([5], 4));
        let onto = |shortcut: Tensor<3>, row: Tensor<1>| {
            linear::linear_onto(shortcut, x.clone(), Tensor::from_inner(weight.clone()), Some(row))
        };
        let shortcut = random([2, 7, 5], 5);
        let constants = of_kv(onto(Tensor::from_inner(shortcut.clone()), constant(&row)));
        let operands = of_kv(onto(operand(&shortcut, FloatDType::F32), operand(&row, FloatDType::F32)));
        assert_eq!(constants, operands);
    });
}

#[test]
fn an_attention_half_of_constants_has_the_gradients_of_its_tokens() {
    let x = operand(&random([8, 5, 12], 1), FloatDType::F32);
    let run = |tracked: bool| {
        let row = |length: usize, seed| {
            let row = random([length], seed);
            if tracked { operand(&row, FloatDType::F32) } else { Tensor::from_inner(row) }
        };
        let matrix = |rows: usize, seed| Tensor::<2>::from_inner(random([rows, 12], seed));
        let weights = AttentionWeights {
            norm_weight: row(12, 2),
            norm_bias: row(12, 3),
            eps: 1e-6,
            heads: 3,
            qkv_weight: matrix(36, 4),
            qkv_bias: row(36, 5),
            proj_weight: matrix(12, 6),
            proj_bias: row(12, 7),
        };
        let y = attention_half::attention_half(x.clone(), weights);
        x.grad(&y.powi_scalar(2).sum().backward()).expect("a gradient").into_data()
    };
    assert_eq!(run(false), run(true));
}

#[test]
#[should_panic(expected = "attention: lengths [8] for 1 images of 7 keys")]
fn more_keys_than_there_are_cannot_be_seen() {
    let input = AttentionInput::apart(random([1, 2, 4], 1), random([1, 7, 8], 2), 1);
    attention::attend(input.with_lengths(vec![8]));
}

#[test]
fn large_products_of_queries_and_keys_do_not_overflow() {
    let qkv = random([1, 300, 3 * 8], 5).mul_scalar(60.0);
    let got = attention::attention(qkv.clone(), 1).into_data();
    let want = attention::portable(AttentionInput::packed(qkv.cast(FloatDType::F64), 1)).into_data();
    // The products reach 10,000, where float32 has steps of 1e-3.
    assert_close(&[got], &[want], 1e-3, "weights of 0 and 1");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    assert_threads_change_no_bit(|| {
        let layers =
            LAYERS.map(|shape| [true, false].map(|gelu| layer(shape, gelu, FloatDType::F32)).concat());
        let norms = [[197, 48], [130, 192]].map(|shape| norm(shape, FloatDType::F32));
        let heads = HEADS.map(|shape| heads(shape, FloatDType::F32));
        let others = OTHERS.map(|shape| SIGHTS.map(|sight| others(shape, sight, FloatDType::F32)).concat());
        let attention_halves = ATTENTION_HALVES.map(|shape| attention_half_of(shape, FloatDType::F32));
        let halves = [
            attention_halves.concat(),
            HALVES.map(|shape| half(shape, shape[0] > 150, FloatDType::F32)).concat(),
        ];
        let onto = LAYERS.map(|shape| layer_onto(shape, true, FloatDType::F32));
        [layers.concat(), onto.concat(), norms.concat(), heads.concat(), others.concat(), halves.concat()]
            .concat()
    });
}

#[test]
fn processors_without_vectors_give_the_same_within_rounding() {
    let alone = simd::alone();
    let all = || {
        let layer = layer([197, 48, 33], true, FloatDType::F32);
        let halves =
            [half([130, 192, 33], true, FloatDType::F32), attention_half_of([9, 65, 2, 24], FloatDType::F32)];
        [norm([5, 48], FloatDType::F32), heads([1, 65, 2, 48], FloatDType::F32), layer, halves.concat()]
            .concat()
    };
    let usual: Vec<TensorData> = all().into_iter().map(|data| data.convert::<f64>()).collect();
    for level in [Level::Portable, Level::Avx2] {
        alone.limit(level);
        assert_close(&all(), &usual, 3e-6, &format!("{level:?}"));
    }
}
