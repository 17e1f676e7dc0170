//! The first steps of a run, which leave nothing behind.

use std::time::Instant;

use burn::module::Module;
use ssl_core::{Encoder, MethodRules, SslMethod};
use ssl_data::{Batch, DataError, TrainLoader};

use super::{Networks, Run};
use crate::TrainError;
use crate::checkpoint::Parts;

/// Steps that are measured at least.
const LEAST: u64 = 2;
/// Steps that are measured at most, where they are quick.
const MOST: u64 = 30;
/// Seconds of measured steps that are enough (our choice: long enough for the scheduler of a busy machine to even out).
const ENOUGH: f64 = 3.0;

/// What the first steps of a run took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rehearsal {
    /// Steps that were measured, after one that was not: it finds its kernels and its memory.
    pub steps: u64,
    /// Seconds of a step, data included.
    pub step_seconds: f64,
    /// Seconds of a step that are spent waiting for data.
    pub data_seconds: f64,
    /// Parameters that the optimizer trains, those of heads included.
    pub parameters: usize,
    /// Bytes of a checkpoint.
    pub checkpoint_bytes: u64,
    /// Seconds that it takes to prepare a checkpoint for writing.
    pub checkpoint_seconds: f64,
}

impl<M: MethodRules> Run<'_, M> {
    /// Takes a few steps as the run would.
    pub(in crate::trainer) fn rehearse<E: Encoder>(
        mut self,
        networks: Networks<M::Student, M::State>,
        loader: &TrainLoader,
    ) -> Result<Rehearsal, TrainError>
    where
        M: SslMethod<E>,
    {
        let mut batches = self.batches(loader)?;
        let parameters = networks.student.num_params();
        self.clock.skip(self.trainer.group.traffic());
        let networks = self.take_steps(networks, &mut batches, 1)?;
        self.clock.averages();
        let start = Instant::now();
        let networks = self.take_steps(networks, &mut batches, 1)?;
        // Processes have to agree on the number of steps, and their clocks differ.
        let more = match self.trainer.group.is_solo() {
            true => (ENOUGH / start.elapsed().as_secs_f64().max(1e-6)) as u64,
            false => LEAST,
        };
        let more = more.clamp(LEAST, MOST) - 1;
        let networks = self.take_steps(networks, &mut batches, more)?;
        let averages = self.clock.averages();
        drop(batches);
        let start = Instant::now();
        let parts = Parts { student: &networks.student, state: &networks.state, optimizer: &self.optimizer };
        let checkpoint_bytes = parts.bytes() + 8 * loader.dataset().len() as u64;
        Ok(Rehearsal {
            steps: 1 + more,
            step_seconds: averages.step_time,
            data_seconds: averages.data_time,
            parameters,
            checkpoint_bytes,
            checkpoint_seconds: start.elapsed().as_secs_f64(),
        })
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
