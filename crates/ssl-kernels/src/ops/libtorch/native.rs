//! The exports of `native/libtorch.cpp`, as functions on tensors.

#![allow(unsafe_code)] // foreign functions

use std::ffi::{CStr, c_char, c_void};
use std::ptr::null_mut;

use burn_tch::TchTensor;
use tch::Tensor;
use torch_sys::C_tensor;

use crate::ops::cpu::Pooled;

unsafe extern "C" {
    fn ssl_channels_last(out: *mut *mut C_tensor, x: *const C_tensor) -> *const c_char;
    fn ssl_over_values(
        out: *mut *mut C_tensor,
        values: *mut f32,
        shape: *const i64,
        rank: usize,
        release: extern "C" fn(*mut c_void),
        context: *mut c_void,
    ) -> *const c_char;
    fn ssl_add_scaled(
        out: *mut *mut C_tensor,
        a: *const C_tensor,
        b: *const C_tensor,
        factor: f64,
        in_place: bool,
    ) -> *const c_char;
    fn ssl_convolution_backward(
        out: *mut *mut C_tensor,
        dy: *const C_tensor,
        x: *const C_tensor,
        weight: *const C_tensor,
        stride: i64,
        padding: i64,
        needs_dx: bool,
        needs_dw: bool,
    ) -> *const c_char;
    fn ssl_batch_norm_backward(
        out: *mut *mut C_tensor,
        dy: *const C_tensor,
        x: *const C_tensor,
        weight: *const C_tensor,
        mean: *const C_tensor,
        inv_std: *const C_tensor,
        eps: f64,
        needs_dx: bool,
    ) -> *const c_char;
}

/// `x` in channels-last layout; returned as it is if it already has that layout.
pub(super) fn channels_last(x: &Tensor) -> Tensor {
    // SAFETY: the tensor is alive during the call.
    let [out] = results(|out| unsafe { ssl_channels_last(out, x.as_ptr()) });
    out.expect("libtorch returns a tensor")
}

/// Creates a tensor over the memory of the given values.
pub(super) fn over_values(values: Pooled, shape: &[usize]) -> Tensor {
    extern "C" fn release(context: *mut c_void) {
        // SAFETY: the box passed below, which libtorch hands back exactly once.
        drop(unsafe { Box::from_raw(context.cast::<Pooled>()) });
    }
    assert_eq!(values.len(), shape.iter().product::<usize>(), "a tensor of shape {shape:?}");
    let shape: Vec<i64> = shape.iter().map(|length| *length as i64).collect();
    let values = Box::into_raw(Box::new(values));
    // SAFETY: the box keeps the values in place until libtorch releases it, and `shape` covers all of them. If libtorch
    // fails before it takes over the box, the box leaks.
    let [out] = results(|out| unsafe {
        ssl_over_values(out, (*values).as_mut_ptr(), shape.as_ptr(), shape.len(), release, values.cast())
    });
    out.expect("libtorch returns a tensor")
}

/// `a + factor · b`.
pub(super) fn add_scaled(a: &Tensor, b: &Tensor, factor: f64) -> Tensor {
    // SAFETY: both tensors are alive during the call.
    let [out] = results(|out| unsafe { ssl_add_scaled(out, a.as_ptr(), b.as_ptr(), factor, false) });
    out.expect("libtorch returns a tensor")
}

/// `a ← a + factor · b`; returns a handle to `a`.
pub(super) fn add_scaled_in_place(a: &mut Tensor, b: &Tensor, factor: f64) -> Tensor {
    // SAFETY: both tensors are alive during the call, and `a` is borrowed mutably.
    let [out] = results(|out| unsafe { ssl_add_scaled(out, a.as_mut_ptr(), b.as_ptr(), factor, true) });
    out.expect("libtorch returns a tensor")
}

/// Gradients of a convolution with respect to `x` and `weight`.
pub(super) fn convolution_backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    [stride, padding]: [i64; 2],
    [needs_dx, needs_dw]: [bool; 2],
) -> [Option<Tensor>; 2] {
    let (dy, x, weight) = (dy.as_ptr(), x.as_ptr(), weight.as_ptr());
    // SAFETY: all tensors are alive during the call, and there is room for the two results.
    results(|out| unsafe {
        ssl_convolution_backward(out, dy, x, weight, stride, padding, needs_dx, needs_dw)
    })
}

/// What the backward pass of a batch norm needs besides the gradient of its output.
#[derive(Clone, Debug)]
pub(super) struct BatchNormSaved {
    pub(super) x: TchTensor,
    pub(super) weight: TchTensor,
    pub(super) mean: TchTensor,
    /// `1 / sqrt(variance + eps)`
    pub(super) inv_std: TchTensor,
    pub(super) eps: f64,
}

/// Gradients of a batch norm with respect to `x`, weight and bias.
pub(super) fn batch_norm_backward(
    dy: &Tensor,
    saved: &BatchNormSaved,
    needs_dx: bool,
) -> [Option<Tensor>; 3] {
    let BatchNormSaved { x, weight, mean, inv_std, eps } = saved;
    let [x, weight, mean, inv_std] = [x, weight, mean, inv_std].map(|saved| saved.tensor.as_ptr());
    // SAFETY: all tensors are alive during the call, and there is room for the three results.
    results(|out| unsafe {
        ssl_batch_norm_backward(out, dy.as_ptr(), x, weight, mean, inv_std, *eps, needs_dx)
    })
}

/// Calls a function with room for `N` results.
///
/// # Panics
/// With libtorch's message if it returns an error, as `tch` does: wrong shapes, which are bugs, or lack of memory.
fn results<const N: usize>(call: impl FnOnce(*mut *mut C_tensor) -> *const c_char) -> [Option<Tensor>; N] {
    let mut out = [null_mut(); N];
    let message = call(out.as_mut_ptr());
    if !message.is_null() {
        // SAFETY: the text is null-terminated and lives until the next call on this thread.
        panic!("libtorch: {}", unsafe { CStr::from_ptr(message) }.to_string_lossy());
    }
    // SAFETY: a non-null result is a tensor created for the caller, and is taken only once.
    out.map(|tensor| (!tensor.is_null()).then(|| unsafe { Tensor::from_ptr(tensor) }))
}
