// NCCL through c10d: sums and gathers of tensors that stay on their GPUs. Called by `src/nccl.rs`.

#include <chrono>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "connection.hpp"

struct Gpus {
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> nccl;
};

extern "C" {

// Prepares NCCL between the processes of a connection; GPUs meet at the first call.
const char* ssl_nccl_connect(Gpus** out, Connection* connection) {
  return guarded([&] {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    // Only calls that all ranks have announced come here, so nobody waits longer for a rank that lives.
    options->timeout = std::chrono::minutes(10);
    auto store = c10::make_intrusive<c10d::PrefixStore>("nccl", connection->store);
    auto gpus = std::make_unique<Gpus>();
    gpus->nccl = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, connection->gloo->getRank(),
                                                             connection->gloo->getSize(), options);
    *out = gpus.release();
  });
}

void ssl_nccl_close(Gpus* gpus) {
  guarded([&] { delete gpus; });
}

// Replaces values by their sums over all ranks.
const char* ssl_nccl_all_reduce(Gpus* gpus, at::Tensor* values) {
  return guarded([&] {
    std::vector<at::Tensor> tensors{*values};
    gpus->nccl->allreduce(tensors)->wait();
  });
}

// Fills `all` with the rows of every rank.
const char* ssl_nccl_all_gather(Gpus* gpus, at::Tensor* rows, at::Tensor* all) {
  return guarded([&] { gpus->nccl->_allgather_base(*all, *rows)->wait(); });
}

}  // extern "C"
