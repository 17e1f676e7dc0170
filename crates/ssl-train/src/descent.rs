//! Plain gradient descent over batches.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::{GradientRules, Progress, named};

use crate::losses::Losses;
use crate::{Gradients, Optimizer, OptimizerConfig, ScheduleConfig, StepReport, TrainError};

/// Steps between two readings of the loss (our choice); each reading stalls a GPU.
const READ_EVERY: u64 = 10;

/// Gradient descent over batches of any kind, without method, views, checkpoints or files, such as for a classifier on
/// features. It is meant for runs of minutes; use [`Trainer`](crate::Trainer) for runs that must survive a crash.
#[derive(Clone, Copy, Debug)]
pub struct Descent<'a> {
    /// The optimizer.
    pub optimizer: &'a OptimizerConfig,
    /// Length of the run and its rates.
    pub schedule: &'a ScheduleConfig,
    /// Batches of an epoch.
    pub steps_per_epoch: u64,
}

/// The result of a descent.
#[derive(Debug)]
pub struct Descended<M> {
    /// The module.
    pub module: M,
    /// Steps done.
    pub steps: u64,
    /// Mean loss of the last epoch, in the unit of the loss.
    pub loss: f64,
}

impl Descent<'_> {
    /// Takes one step per batch until the schedule ends, and reports each. `module` must be on the autodiff device.
    ///
    /// # Errors
    /// If a value is out of range, a batch cannot be made, or the loss is not finite.
    ///
    /// # Panics
    /// If there are fewer batches than steps.
    pub fn run<M: Module, B, E: From<TrainError>>(
        &self,
        mut module: M,
        batches: impl IntoIterator<Item = Result<B, E>>,
        loss: impl Fn(&M, B) -> Tensor<1>,
        mut on_step: impl FnMut(&StepReport),
    ) -> Result<Descended<M>, E> {
        self.optimizer.validate().map_err(TrainError::from)?;
        self.schedule.validate().map_err(TrainError::from)?;
        self.optimizer.check_module(&module).map_err(TrainError::from)?;
        let mut at = self.start();
        let mut optimizer = Optimizer::new(self.optimizer.clone());
        let batch_size = self.schedule.batch_size;
        let mut reports = Reports { losses: Losses::default(), batch_size, mark: Instant::now() };
        let mut batches = batches.into_iter();
        while at.step < at.total_steps {
            if at.step.is_multiple_of(at.steps_per_epoch) {
                reports.losses.begin_epoch();
            }
            let batch = batches.next().expect("batches for every step")?;
            let value = loss(&module, batch);
            let mut gradients = Gradients::of(value.backward(), &module);
            reports.losses.push(value.without_autodiff());
            gradients.clip(self.optimizer);
            let rates = self.schedule.rates(self.optimizer, at);
            module = optimizer.step(module, gradients, rates, &GradientRules::default());
            at.step += 1;
            on_step(&reports.of_step(at, rates.lr)?);
        }
        if let Some(tensor) = named::first_not_finite(&named::collect(&module)) {
            let (step, tensor) = (at.step, tensor.to_owned());
            return Err(TrainError::WeightsNotFinite { step, tensor, last_good: None }.into());
        }
        Ok(Descended { module, steps: at.step, loss: reports.losses.mean() })
    }

    /// The state before the first step.
    pub fn start(&self) -> Progress {
        let steps_per_epoch = self.steps_per_epoch;
        Progress { step: 0, total_steps: self.schedule.total_steps(steps_per_epoch), steps_per_epoch }
    }
}

/// Reads losses where a report is due, and times the steps in between.
struct Reports {
    losses: Losses,
    batch_size: usize,
    mark: Instant,
}

impl Reports {
    /// The report on the step that led to `at`.
    fn of_step(&mut self, at: Progress, lr: f64) -> Result<StepReport, TrainError> {
        let mut report = StepReport { at, loss: None, lr, images_per_s: 0.0, data_share: None };
        let due = at.step.is_multiple_of(READ_EVERY) || at.step.is_multiple_of(at.steps_per_epoch);
        if !due && at.step != at.total_steps {
            return Ok(report);
        }
        let images = (self.losses.unread() * self.batch_size) as f64;
        let loss = self.losses.read(|loss| TrainError::Diverged { step: at.step, loss })?;
        report.loss = Some(loss);
        report.images_per_s = images / self.mark.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        self.mark = Instant::now();
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SgdConfig;
    use ssl_core::nn::{Linear, LinearConfig};
    use ssl_core::{DeviceSpec, Init};

    fn linear() -> Linear {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
        LinearConfig::new(2, 1).init(&mut Init::new(0, &device))
    }

    /// The mean of the squares of what a linear layer makes of a row.
    fn square(linear: &Linear, row: [f32; 2]) -> Tensor<1> {
        let row = Tensor::<2>::from_floats([row], &linear.weight.device().inner());
        linear.forward(row).square().mean()
    }

    fn run(lr: f64, batch: f32) -> Result<Descended<Linear>, TrainError> {
        let optimizer = OptimizerConfig::new(SgdConfig::default().with_momentum(0.0)).with_lr(lr);
        let schedule =
            ScheduleConfig { epochs: 3, batch_size: 2, cosine: false, ..ScheduleConfig::default() };
        let descent = Descent { optimizer: &optimizer, schedule: &schedule, steps_per_epoch: 4 };
        descent.run(linear(), std::iter::repeat_with(|| Ok([batch, 1.0])), square, |_| {})
    }

    #[test]
    fn every_step_goes_down_the_gradient_and_the_loss_is_that_of_the_last_epoch() {
        let before = square(&linear(), [1.0, 1.0]).into_scalar::<f32>();
        let ended = run(0.05, 1.0).expect("usable");
        // y ← y − lr · 2y · |(1, 1, 1)|² at every step, so the loss shrinks by 0.7² each time.
        let of_step = |step: i32| f64::from(before) * 0.49_f64.powi(step);
        let want = (8..12).map(of_step).sum::<f64>() / 4.0;
        assert_eq!(ended.steps, 12);
        assert!((ended.loss / want - 1.0).abs() < 1e-3, "{} and {want}", ended.loss);
        let after = f64::from(square(&ended.module, [1.0, 1.0]).into_scalar::<f32>());
        assert!((after / of_step(12) - 1.0).abs() < 1e-2);
        assert_ne!(named::collect(&ended.module), named::collect(&linear()));
    }

    #[test]
    fn a_loss_that_is_no_number_ends_it() {
        let error = run(0.05, f32::NAN).expect_err("not finite").to_string();
        assert!(error.starts_with("the loss is NaN at step 4: expected a finite number"), "{error}");
    }

    #[test]
    fn weights_that_are_not_finite_after_the_last_step_end_it() {
        let (optimizer, schedule) =
            (OptimizerConfig::default().with_lr(1e6), ScheduleConfig::default().with_max_steps(Some(1)));
        let descent = Descent { optimizer: &optimizer, schedule: &schedule, steps_per_epoch: 4 };
        // The square of its result can be written down, and a step down the gradient cannot.
        let batches = std::iter::repeat_with(|| Ok::<_, TrainError>([1e18, 1.0]));
        let error = descent.run(linear(), batches, square, |_| {}).expect_err("infinite").to_string();
        assert!(error.contains("is not finite after step 1"), "{error}");
    }

    #[test]
    fn a_batch_that_cannot_be_made_ends_it() {
        let (optimizer, schedule) = (OptimizerConfig::default(), ScheduleConfig::default());
        let descent = Descent { optimizer: &optimizer, schedule: &schedule, steps_per_epoch: 4 };
        let failing = std::iter::repeat_with(|| Err(TrainError::Labels));
        assert!(matches!(descent.run(linear(), failing, square, |_| {}), Err(TrainError::Labels)));
    }
}
