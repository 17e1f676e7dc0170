//! NCCL between GPUs of NVIDIA, through libtorch's c10d.
//!
//! Sums have the same bits on all ranks, in an order that NCCL chooses. Not run yet: no machine with GPUs was at hand.
#![allow(unsafe_code)] // calls of C++

use std::ffi::{c_char, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use ssl_kernels::native;

use crate::JobError;
use crate::c10d::{Connected, Connection, answer};
use crate::wire::{DeviceWire, Lost};

#[repr(C)]
struct Gpus {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn ssl_nccl_connect(out: *mut *mut Gpus, connection: *mut Connection) -> *const c_char;
    fn ssl_nccl_close(gpus: *mut Gpus);
    fn ssl_nccl_all_reduce(gpus: *mut Gpus, values: *mut c_void) -> *const c_char;
    fn ssl_nccl_all_gather(gpus: *mut Gpus, rows: *mut c_void, all: *mut c_void) -> *const c_char;
}

/// The GPUs of the processes of a connection.
#[derive(Debug)]
pub(crate) struct Nccl {
    gpus: NonNull<Gpus>,
    size: usize,
    /// Whose store NCCL uses.
    _connection: Arc<Connected>,
}

// SAFETY: c10d's process groups may be called from any thread, and a group makes one call at a time.
unsafe impl Send for Nccl {}
// SAFETY: as above.
unsafe impl Sync for Nccl {}

impl Nccl {
    pub(crate) fn over(connection: &Arc<Connected>, size: usize) -> Result<Self, JobError> {
        let failed = |Lost(reason)| JobError::Engine { engine: "NCCL", reason };
        let mut gpus = std::ptr::null_mut();
        // SAFETY: the connection is open, and `gpus` is a place for a pointer.
        answer(unsafe { ssl_nccl_connect(&raw mut gpus, connection.as_ptr()) }).map_err(failed)?;
        let gpus = NonNull::new(gpus).ok_or_else(|| failed(Lost("no GPUs".to_owned())))?;
        Ok(Self { gpus, size, _connection: Arc::clone(connection) })
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        // SAFETY: it is open, and nothing uses it any more.
        unsafe { ssl_nccl_close(self.gpus.as_ptr()) }
    }
}

impl DeviceWire for Nccl {
    fn connects(&self, device: &Device) -> bool {
        native::is_nvidia_gpu(device)
    }

    fn all_reduce_sum(&self, values: Tensor<1>) -> Result<Tensor<1>, Lost> {
        let mut done = Ok(());
        let sums = native::in_place(values, |values| {
            // SAFETY: the address is that of a tensor, which lives through the call.
            done = answer(unsafe { ssl_nccl_all_reduce(self.gpus.as_ptr(), values) });
        });
        done.map(|()| sums)
    }

    fn all_gather(&self, rows: Tensor<2>) -> Result<Tensor<2>, Lost> {
        let [count, columns] = rows.dims();
        let all = Tensor::zeros([self.size * count, columns], &rows.device());
        let mut done = Ok(());
        let all = native::in_place(all, |all| {
            native::in_place(rows, |rows| {
                // SAFETY: the addresses are those of tensors, which live through the call.
                done = answer(unsafe { ssl_nccl_all_gather(self.gpus.as_ptr(), rows, all) });
            });
        });
        done.map(|()| all)
    }
}
