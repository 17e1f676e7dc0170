// Functions of libtorch that the `tch` crate does not hand on, or not whole: its generator does not know arrays of booleans,
// and its tensors over memory of the caller never give it back. Called by `src/ops/libtorch/native.rs`.
//
// Every function returns null, or what went wrong as a text that lives until the next call on the same thread. Results
// go to `out`, as tensors that the caller owns; null stands for a gradient that was not asked for.

#include <exception>
#include <string>
#include <tuple>

#include <ATen/core/Tensor.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/native_batch_norm_backward.h>

namespace {

template <typename Body>
const char* guarded(Body body) {
  thread_local std::string message;
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    message = error.what();
    return message.c_str();
  }
}

at::Tensor* owned(at::Tensor tensor) {
  return tensor.defined() ? new at::Tensor(std::move(tensor)) : nullptr;
}

}  // namespace

extern "C" {

// x with the channels of a pixel side by side in memory; the same tensor if they are so already.
const char* ssl_channels_last(at::Tensor** out, const at::Tensor* x) {
  return guarded([&] { *out = owned(x->contiguous(at::MemoryFormat::ChannelsLast)); });
}

// A tensor over float32 values of the caller, who gets `context` back when libtorch has no more use for them.
const char* ssl_over_values(at::Tensor** out, float* values, const int64_t* shape, size_t rank,
                            void (*release)(void*), void* context) {
  return guarded([&] {
    *out = owned(at::from_blob(
        values, {shape, rank}, [release, context](void*) { release(context); }, at::kFloat));
  });
}

// a + factor * b, in place of a if so wanted.
const char* ssl_add_scaled(at::Tensor** out, const at::Tensor* a, const at::Tensor* b, double factor, bool in_place) {
  return guarded([&] { *out = owned(in_place ? a->add_(*b, factor) : a->add(*b, factor)); });
}

// Gradients of a convolution with respect to x and weight: out[0], out[1].
const char* ssl_convolution_backward(at::Tensor** out, const at::Tensor* dy, const at::Tensor* x,
                                     const at::Tensor* weight, int64_t stride, int64_t padding, bool needs_dx,
                                     bool needs_dw) {
  return guarded([&] {
    auto [dx, dw, db] =
        at::convolution_backward(*dy, *x, *weight, at::OptionalIntArrayRef(), {stride, stride}, {padding, padding},
                                 {1, 1}, false, {0, 0}, 1, {needs_dx, needs_dw, false});
    out[0] = owned(std::move(dx));
    out[1] = owned(std::move(dw));
  });
}

// Gradients of a batch norm with batch statistics with respect to x, weight and bias: out[0], out[1], out[2].
const char* ssl_batch_norm_backward(at::Tensor** out, const at::Tensor* dy, const at::Tensor* x,
                                    const at::Tensor* weight, const at::Tensor* mean, const at::Tensor* inv_std,
                                    double eps, bool needs_dx) {
  return guarded([&] {
    auto [dx, dw, db] = at::native_batch_norm_backward(*dy, *x, *weight, {}, {}, *mean, *inv_std, true, eps,
                                                       {needs_dx, true, true});
    out[0] = owned(std::move(dx));
    out[1] = owned(std::move(dw));
    out[2] = owned(std::move(db));
  });
}

}  // extern "C"
