//! The first steps of a run, which leave nothing behind.

use std::time::Instant;

use burn::module::Module;
use ssl_core::{Encoder, MethodRules, SslMethod};
use ssl_data::{Batch, DataError, TrainLoader};

use super::{Networks, Run};
use crate::checkpoint::Parts;
use crate::{Evaluator, TrainError};

/// Steps that are measured at least.
const LEAST: u64 = 2;
/// Steps that are measured at most, where they are quick.
const MOST: u64 = 30;
/// Seconds of measured steps that are enough (our choice: long enough for the scheduler of a busy machine to even out).
const ENOUGH: f64 = 3.0;

/// What the first steps of a run took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rehearsal {
    /// Steps that were measured.
    pub steps: u64,
    /// Seconds of a step, data included.
    pub step_seconds: f64,
    /// Steps before them, which find their kernels and their memory.
    pub warm_up: u64,
    /// Seconds of a step that are spent waiting for data.
    pub data_seconds: f64,
    /// Parameters that the optimizer trains, those of heads included.
    pub parameters: usize,
    /// Bytes of a checkpoint.
    pub checkpoint_bytes: u64,
    /// Seconds that it takes to prepare a checkpoint for writing.
    pub checkpoint_seconds: f64,
}

/// The networks after the measured steps.
struct Enough<S, T> {
    networks: Networks<S, T>,
    warm_up: u64,
    steps: u64,
}

impl<M: MethodRules> Run<'_, M> {
    /// Takes a few steps as the run would.
    pub(in crate::trainer) fn rehearse<E: Encoder>(
        mut self,
        networks: Networks<M::Student, M::State>,
        loader: &TrainLoader,
        evaluator: &mut dyn Evaluator<E>,
    ) -> Result<Rehearsal, TrainError>
    where
        M: SslMethod<E>,
    {
        let mut batches = self.batches(loader)?;
        let parameters = networks.student.num_params();
        self.clock.skip(self.trainer.group.traffic());
        let networks = self.take_steps(networks, &mut batches, 1)?;
        let Enough { networks, warm_up, steps } = self.take_enough_steps(networks, &mut batches)?;
        let averages = self.clock.averages();
        drop(batches);
        let student = self.trainer.method.encoder(&networks.student, &networks.state).valid();
        evaluator.evaluate(&student, self.at).map_err(TrainError::Evaluation)?;
        drop(student);
        let start = Instant::now();
        let parts = Parts { student: &networks.student, state: &networks.state, optimizer: &self.optimizer };
        let checkpoint_bytes = parts.bytes() + 8 * loader.dataset().len() as u64;
        Ok(Rehearsal {
            steps,
            warm_up: 1 + warm_up,
            step_seconds: averages.step_time,
            data_seconds: averages.data_time,
            parameters,
            checkpoint_bytes,
            checkpoint_seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Takes as many steps as are worth measuring. Says how many more went to the warm-up and how many were measured.
    fn take_enough_steps<E: Encoder>(
        &mut self,
        networks: Networks<M::Student, M::State>,
        batches: &mut impl Iterator<Item = Result<Batch, DataError>>,
    ) -> Result<Enough<M::Student, M::State>, TrainError>
    where
        M: SslMethod<E>,
    {
        self.clock.averages();
        let mut start = Instant::now();
        let mut networks = self.take_steps(networks, batches, 1)?;
        // A second step still finds memory; where steps are long, that matters less than the time of another one.
        let is_short = !self.trainer.group.is_solo() || start.elapsed().as_secs_f64() < ENOUGH;
        let warm_up = u64::from(is_short);
        let mut steps = 1 - warm_up;
        if is_short {
            self.clock.averages();
            start = Instant::now();
        }
        while let Some(more) = self.steps_to_measure(steps, start.elapsed().as_secs_f64()) {
            networks = self.take_steps(networks, batches, more)?;
            steps += more;
        }
        Ok(Enough { networks, warm_up, steps })
    }

    /// The steps to take in one go after some that took `seconds`; `None` if they are enough.
    fn steps_to_measure(&self, steps: u64, seconds: f64) -> Option<u64> {
        // Processes have to agree on the number of steps, and their clocks differ.
        if !self.trainer.group.is_solo() {
            return (steps < LEAST).then_some(LEAST - steps);
        }
        if steps == 0 {
            return Some(1);
        }
        let missing = ((ENOUGH - seconds) / (seconds / steps as f64).max(1e-6)).ceil() as u64;
        let missing = missing.max(LEAST.saturating_sub(steps)).min(MOST.saturating_sub(steps));
        (missing > 0).then_some(missing)
    }

    /// Takes steps and waits until the device has done them.
    fn take_steps<E: Encoder>(
        &mut self,
        mut networks: Networks<M::Student, M::State>,
        batches: &mut impl Iterator<Item = Result<Batch, DataError>>,
        steps: u64,
    ) -> Result<Networks<M::Student, M::State>, TrainError>
    where
        M: SslMethod<E>,
    {
        for _ in 0..steps {
            networks = self.step(networks, batches)?.0;
            self.clock.step_is_done(self.trainer.group.traffic());
            // A short run may have fewer steps than are measured.
            self.at.step = (self.at.step + 1).min(self.at.total_steps.saturating_sub(1));
        }
        self.losses.read(self.not_finite())?;
        self.clock.step_goes_on(self.trainer.group.traffic());
        Ok(networks)
    }
}
