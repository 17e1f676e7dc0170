//! Drop-path: randomly dropping branches of blocks during training.

use crate::{Mode, Pass};
use burn::tensor::{Tensor, TensorData};

/// Drops a branch for some of the images.
///
/// ```text
/// y = x · kept / (1 − rate),   kept = 1 with probability 1 − rate and 0 otherwise, for each image
/// ```
///
/// Nothing is dropped in [`Mode::Eval`] or in passes that make no random choices.
///
/// # Source
/// Huang et al. 2016, <https://arxiv.org/abs/1603.09382>; DINO and timm, `drop_path`, per image and with this factor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DropPath {
    /// Index of the block, which its random choices are named by.
    pub block: usize,
    /// Probability of dropping the branch, 0 or more and below 1.
    pub rate: f64,
}

impl DropPath {
    /// Whether it may drop anything in this pass.
    pub fn drops(&self, pass: &Pass) -> bool {
        self.rate > 0.0 && pass.mode != Mode::Eval
    }

    /// The branch without that of some images.
    ///
    /// # Shapes
    /// - `x`: the branch `name`, `[batch, token, dim]`
    /// - returns: the same
    pub fn forward(&self, x: Tensor<3>, name: &str, pass: &Pass) -> Tensor<3> {
        if !self.drops(pass) {
            return x;
        }
        let [batch, _, _] = x.dims();
        let Some(numbers) = pass.uniform(&format!("blocks.{}.{name}", self.block), batch) else {
            return x;
        };
        let factor = |number: f32| if f64::from(number) < self.rate { 0.0 } else { 1.0 / (1.0 - self.rate) };
        let factors = numbers.into_iter().map(|number| factor(number) as f32).collect();
        let factors = TensorData::new::<f32, _>(factors, [batch, 1, 1]);
        let factors = Tensor::from_data(factors, &x.device().inner());
        x * factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceSpec, Draws};

    const RATE: f64 = 0.3;

    /// The factor of each image in a pass of `count` images through block 3.
    fn factors(count: usize, name: &str, pass: &Pass) -> Vec<f32> {
        factors_of(3, count, name, pass)
    }

    fn factors_of(block: usize, count: usize, name: &str, pass: &Pass) -> Vec<f32> {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let drop = DropPath { block, rate: RATE };
        drop.forward(Tensor::ones([count, 1, 1], &device), name, pass).into_data().iter::<f32>().collect()
    }

    fn pass(step: u64, call: &str) -> Pass {
        Pass::train().with_draws(Draws::new(7, step, 0), call)
    }

    #[test]
    fn a_branch_is_left_out_as_often_as_the_rate_says_and_keeps_its_mean() {
        let factors = factors(20_000, "drop_path1", &pass(0, "student"));
        let kept = (1.0 / (1.0 - RATE)) as f32;
        assert!(factors.iter().all(|&factor| factor == 0.0 || factor == kept));
        let share = factors.iter().filter(|&&factor| factor == 0.0).count() as f64 / 20_000.0;
        let mean = f64::from(factors.iter().sum::<f32>()) / 20_000.0;
        // Standard deviations 0.0032 and 0.0046.
        assert!((share - RATE).abs() < 0.015 && (mean - 1.0).abs() < 0.02, "share {share}, mean {mean}");
    }

    #[test]
    fn all_values_of_an_image_share_its_choice() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let x = Tensor::ones([6, 4, 5], &device);
        let drop = DropPath { block: 3, rate: RATE };
        let values: Vec<f32> = drop.forward(x, "drop_path1", &pass(0, "a")).into_data().iter().collect();
        let choices = factors(6, "drop_path1", &pass(0, "a"));
        for (image, choice) in values.chunks(20).zip(choices) {
            assert!(image.iter().all(|&value| value == choice), "{image:?} and {choice}");
        }
    }

    #[test]
    fn choices_are_those_of_the_step_the_pass_the_block_and_the_branch() {
        let one = factors(64, "drop_path1", &pass(2, "student"));
        assert_eq!(
            one,
            factors(64, "drop_path1", &pass(2, "student")),
            "a resumed run makes the same choices"
        );
        let others = [
            factors_of(4, 64, "drop_path1", &pass(2, "student")),
            factors(64, "drop_path2", &pass(2, "student")),
            factors(64, "drop_path1", &pass(3, "student")),
            factors(64, "drop_path1", &pass(2, "student").part("view", 1)),
        ];
        assert!(others.iter().all(|other| *other != one), "{others:?}");
    }

    #[test]
    fn nothing_is_left_out_in_evaluation_and_without_draws() {
        let passes = [
            Pass::train(),
            Pass::batch_stats(),
            Pass::eval(),
            Pass::eval().with_draws(Draws::new(7, 0, 0), "student"),
            pass(0, "student").with_mode(Mode::Eval),
        ];
        for pass in passes {
            assert_eq!(factors(64, "drop_path1", &pass), [1.0; 64], "{pass:?}");
        }
    }
}
