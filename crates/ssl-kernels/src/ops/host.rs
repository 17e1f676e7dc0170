//! The backends whose tensors the loops of [`cpu`] work on.
//!
//! Only questions are generic here, so that all loops are compiled in this crate.

use burn::tensor::{Device, Tensor};

use super::any_rank::AnyRank;
use super::epilogue::Epilogue;
#[cfg(feature = "flex")]
use super::flex;
#[cfg(feature = "tch")]
use super::libtorch;
use super::{
    AdamWRates, AttentionInput, AttentionWeights, BatchNormOutput, Contrast, Contrasted, FeedForwardWeights,
    Pairs, SgdRates, cpu,
};

/// The backend whose loops serve all these tensors, if there is one.
macro_rules! host_of {
    ($($tensor:expr),+ $(,)?) => {
        $crate::ops::host::Host::of(&[$(&$tensor.device()),+])
            .filter(|host| [$(host.loops_take(&$tensor)),+].iter().all(|taken| *taken))
    };
}
pub(super) use host_of;

/// The backend whose tensors the loops of [`cpu`] work on.
#[derive(Clone, Copy)]
pub(super) enum Host {
    #[cfg(feature = "flex")]
    Flex,
    #[cfg(feature = "tch")]
    LibTorch,
}

/// Calls a function of [`cpu`] for the backend.
macro_rules! call {
    ($host:expr, $function:ident ( $($argument:expr),* )) => {
        match $host {
            #[cfg(feature = "flex")]
            Host::Flex => cpu::$function::<flex::Flex>($($argument),*),
            #[cfg(feature = "tch")]
            Host::LibTorch => cpu::$function::<libtorch::Backend>($($argument),*),
        }
    };
}

impl Host {
    /// The backend of the devices, unless they are of several, or of another kind.
    pub(super) fn of(devices: &[&Device]) -> Option<Self> {
        #[cfg(feature = "flex")]
        if flex::serves(devices) {
            return Some(Self::Flex);
        }
        #[cfg(feature = "tch")]
        if libtorch::serves(devices) {
            return Some(Self::LibTorch);
        }
        None
    }

    /// Whether the loops take a tensor: float32 in the memory of this process, unless [disabled](super::with_backend_kernels).
    pub(super) fn loops_take<const D: usize>(self, tensor: &Tensor<D>) -> bool {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => flex::loops_take(tensor),
            #[cfg(feature = "tch")]
            Self::LibTorch => libtorch::loops_take(tensor),
        }
    }

    pub(super) fn conv2d_of_planes(
        self,
        x: Tensor<4>,
        weight: Tensor<4>,
        stride: usize,
        padding: usize,
    ) -> Tensor<5> {
        call!(self, conv2d_of_planes(x, weight, stride, padding))
    }

    pub(super) fn conv2d_of_pixels(
        self,
        x: Tensor<5>,
        origin: Option<cpu::Origin>,
        channels: usize,
        weight: Tensor<4>,
        stride: usize,
        padding: usize,
    ) -> Tensor<5> {
        call!(self, conv2d_of_pixels(x, origin, channels, weight, stride, padding))
    }

    pub(super) fn conv2d_batch_norm_eval(
        self,
        x: AnyRank,
        weight: Tensor<4>,
        window: cpu::Window,
        parameters: [Tensor<1>; 4],
        epilogue: Epilogue<5>,
        eps: f64,
    ) -> Tensor<5> {
        call!(self, conv2d_batch_norm_eval(x, weight, window, parameters, epilogue, eps))
    }

    /// Also what the output can be computed from again.
    pub(super) fn batch_norm(
        self,
        x: Tensor<5>,
        weight: Tensor<1>,
        bias: Tensor<1>,
        epilogue: Epilogue<5>,
        norm: cpu::Norm,
    ) -> (BatchNormOutput<5>, Option<cpu::Origin>) {
        call!(self, batch_norm_of_pixels(x, weight, bias, epilogue, norm))
    }

    pub(super) fn batch_norm_eval(
        self,
        x: Tensor<5>,
        parameters: [Tensor<1>; 4],
        epilogue: Epilogue<5>,
        norm: cpu::Norm,
    ) -> Tensor<5> {
        call!(self, batch_norm_eval_of_pixels(x, parameters, epilogue, norm))
    }

    pub(super) fn max_pool2d(
        self,
        x: Tensor<5>,
        origin: Option<cpu::Origin>,
        square: cpu::Square,
    ) -> Tensor<5> {
        call!(self, max_pool2d_of_pixels(x, origin, square))
    }

    pub(super) fn pixels_of_planes(self, planes: Tensor<4>) -> Tensor<5> {
        call!(self, pixels_of_planes(planes))
    }

    pub(super) fn planes_of_pixels(self, pixels: Tensor<5>, channels: usize) -> Tensor<4> {
        call!(self, planes_of_pixels(pixels, channels))
    }

    pub(super) fn depthwise_conv2d(self, x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
        call!(self, depthwise_conv2d(x, weight, bias))
    }

    /// The output, the mean and the variance.
    pub(super) fn batch_norm_train(
        self,
        x: AnyRank,
        [weight, bias]: [Tensor<1>; 2],
        shortcut: Option<AnyRank>,
        relu: bool,
        eps: f64,
    ) -> (AnyRank, [Tensor<1>; 2]) {
        call!(self, batch_norm_train(x, weight, bias, shortcut, relu, eps))
    }

    pub(super) fn attend(self, input: AttentionInput) -> Tensor<3> {
        call!(self, attend(input))
    }

    pub(super) fn attention_half(self, tokens: Tensor<3>, weights: AttentionWeights) -> Tensor<3> {
        call!(self, attention_half(tokens, weights))
    }

    pub(super) fn linear(
        self,
        shortcut: Option<AnyRank>,
        input: AnyRank,
        weight: Tensor<2>,
        bias: Option<Tensor<1>>,
        then_gelu: bool,
    ) -> AnyRank {
        call!(self, linear(shortcut, input, weight, bias, then_gelu))
    }

    pub(super) fn feed_forward(
        self,
        shortcut: Option<AnyRank>,
        tokens: AnyRank,
        weights: FeedForwardWeights,
    ) -> AnyRank {
        call!(self, feed_forward(shortcut, tokens, weights))
    }

    pub(super) fn layer_norm(self, input: AnyRank, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> AnyRank {
        call!(self, layer_norm(input, weight, bias, eps))
    }

    pub(super) fn rows_of_length(self, x: Tensor<2>, lengths: Option<Tensor<2>>, eps: f64) -> Tensor<2> {
        call!(self, rows_of_length(x, lengths, eps))
    }

    pub(super) fn contrast(self, input: &Contrast) -> Contrasted {
        call!(self, contrast(input))
    }

    pub(super) fn cross_entropies(
        self,
        logits: Tensor<2>,
        targets: Tensor<2>,
        temperature: f64,
        pairs: Pairs,
    ) -> Tensor<1> {
        call!(self, cross_entropies(logits, targets, temperature, pairs))
    }

    pub(super) fn adamw(
        self,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        moments: Option<[Tensor<1>; 2]>,
        rates: AdamWRates,
    ) -> (Tensor<1>, [Tensor<1>; 2]) {
        call!(self, adamw(parameter, gradient, moments, rates))
    }

    pub(super) fn sgd_momentum(
        self,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        buffer: Option<Tensor<1>>,
        rates: SgdRates,
        layer: Option<Tensor<1>>,
    ) -> (Tensor<1>, Tensor<1>) {
        call!(self, sgd_momentum(parameter, gradient, buffer, rates, layer))
    }

    pub(super) fn layer_squares(self, p: &Tensor<1>, g: &Tensor<1>, decay: f64) -> Tensor<1> {
        call!(self, layer_squares(p, g, decay))
    }

    pub(super) fn sum_of_squares(self, x: &Tensor<1>) -> Tensor<1> {
        call!(self, sum_of_squares(x))
    }

    pub(super) fn average(self, old: AnyRank, new: AnyRank, momentum: f64) -> AnyRank {
        call!(self, average(old, new, momentum))
    }
}
