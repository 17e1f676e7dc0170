//! The losses of an epoch.

use burn::tensor::Tensor;

use crate::TrainError;

/// The losses of an epoch so far. They stay on the device until they are needed, since reading one waits for its step.
#[derive(Default)]
pub(crate) struct Losses {
    unread: Vec<Tensor<1>>,
    sum: f64,
    count: u64,
}

impl Losses {
    /// Continues an epoch from a checkpoint, with the values that [`Losses::epoch`] returned.
    pub(crate) fn restored((sum, count): (f64, u64)) -> Self {
        Self { unread: Vec::new(), sum, count }
    }

    pub(crate) fn push(&mut self, loss: Tensor<1>) {
        self.unread.push(loss);
    }

    /// Begins an epoch.
    pub(crate) fn begin_epoch(&mut self) {
        *self = Self::default();
    }

    /// The number of losses not read yet.
    pub(crate) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// The mean of the losses not read yet, NaN if there are none. From now on they count towards the epoch.
    ///
    /// # Errors
    /// What `not_finite` makes of a loss that is not finite.
    pub(crate) fn read(&mut self, not_finite: impl FnOnce(f64) -> TrainError) -> Result<f64, TrainError> {
        let unread = std::mem::take(&mut self.unread);
        let count = unread.len() as u64;
        if count == 0 {
            return Ok(f64::NAN);
        }
        let sum: f64 = Tensor::cat(unread, 0).into_data().iter::<f64>().sum();
        let loss = sum / count as f64;
        if !loss.is_finite() {
            return Err(not_finite(loss));
        }
        self.sum += sum;
        self.count += count;
        Ok(loss)
    }

    /// Sum and number of the losses read in this epoch.
    pub(crate) fn epoch(&self) -> (f64, u64) {
        (self.sum, self.count)
    }

    /// The mean of the losses read in this epoch, 0 if there are none.
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}
