//! Sums and gathers of values on the host.

use std::sync::PoisonError;

use super::{BLOCK, HostGroup, SMALL};
use crate::wire::Lost;

impl HostGroup {
    /// Replaces values by their sums, added in rank order.
    pub(super) fn sum(&self, values: &mut [f32]) -> Result<(), Lost> {
        let ranks = self.wire.size();
        let shared = if values.len() <= SMALL { 0 } else { values.len() / ranks * ranks };
        let (shared, rest) = values.split_at_mut(shared);
        if !shared.is_empty() {
            self.sum_in_parts(shared)?;
        }
        if !rest.is_empty() {
            self.sum_here(rest)?;
        }
        Ok(())
    }

    /// Each rank sums a part for all of them: every value is sent twice, however many ranks there are.
    fn sum_in_parts(&self, values: &mut [f32]) -> Result<(), Lost> {
        let part = values.len() / self.wire.size();
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.resize(values.len(), 0.0);
        self.wire.all_to_all(bytemuck::cast_slice(values), bytemuck::cast_slice_mut(&mut received))?;
        let (sums, others) = received.split_at_mut(part);
        others.chunks_exact(part).for_each(|other| add(sums, other));
        self.wire.all_gather(bytemuck::cast_slice(sums), bytemuck::cast_slice_mut(values))
    }

    /// Each rank sums everything for itself.
    fn sum_here(&self, values: &mut [f32]) -> Result<(), Lost> {
        let mut all = vec![0.0; values.len() * self.wire.size()];
        self.wire.all_gather(bytemuck::cast_slice(values), bytemuck::cast_slice_mut(&mut all))?;
        let (first, others) = all.split_at(values.len());
        values.copy_from_slice(first);
        others.chunks_exact(values.len()).for_each(|other| add(values, other));
        Ok(())
    }

    /// The values of all ranks, one behind the other. `sizes` are in bytes.
    pub(super) fn gather_values(&self, own: &[f32], sizes: &[u64]) -> Result<Vec<f32>, Lost> {
        let is_even = sizes.iter().all(|size| *size == 4 * own.len() as u64);
        let values = own.len() * sizes.len();
        if !is_even || values == 0 || values > BLOCK {
            let parts = self.gather(bytemuck::cast_slice(own), sizes)?;
            return Ok(bytemuck::pod_collect_to_vec(&parts.concat()));
        }
        let mut all = vec![0.0; values];
        self.wire.all_gather(bytemuck::cast_slice(own), bytemuck::cast_slice_mut(&mut all))?;
        Ok(all)
    }

    /// The bytes of all ranks, whose numbers are `sizes`.
    pub(super) fn gather(&self, own: &[u8], sizes: &[u64]) -> Result<Vec<Vec<u8>>, Lost> {
        let most = sizes.iter().copied().max().unwrap_or_default() as usize;
        let mut gathered: Vec<Vec<u8>> =
            sizes.iter().map(|&size| Vec::with_capacity(size as usize)).collect();
        // MPI counts bytes in 32 bits.
        let block = (4 * BLOCK / sizes.len()).max(1);
        for start in (0..most).step_by(block) {
            let len = block.min(most - start);
            let mut padded = own[start.min(own.len())..own.len().min(start + len)].to_vec();
            padded.resize(len, 0);
            let mut all = vec![0; len * sizes.len()];
            self.wire.all_gather(&padded, &mut all)?;
            for ((of_rank, &size), part) in gathered.iter_mut().zip(sizes).zip(all.chunks_exact(len)) {
                let left = size as usize - of_rank.len();
                of_rank.extend_from_slice(&part[..len.min(left)]);
            }
        }
        Ok(gathered)
    }
}

fn add(sums: &mut [f32], values: &[f32]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}
