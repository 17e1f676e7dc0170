// What c10d of libtorch does for a job of torchrun: bytes between processes, over Gloo. Called by `src/c10d.rs`.
//
// Every function returns null, or what went wrong as a text that lives until the next call on the same thread.

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <unistd.h>

#include "connection.hpp"

namespace {

// Sends what is printed on standard output to standard error: Gloo says there that it is connected, and results belong there.
class Aside {
 public:
  Aside() : output_(dup(STDOUT_FILENO)) { dup2(STDERR_FILENO, STDOUT_FILENO); }
  ~Aside() {
    std::cout.flush();
    dup2(output_, STDOUT_FILENO);
    close(output_);
  }

 private:
  int output_;
};

at::Tensor bytes(const void* memory, int64_t count) {
  return at::from_blob(const_cast<void*>(memory), {count}, at::TensorOptions().dtype(at::kByte));
}

// Says that this process is there, and waits until all others have done so.
void meet(c10d::Store& store, int rank, int size, std::chrono::seconds patience) {
  std::vector<std::string> all;
  for (int other = 0; other < size; ++other) {
    all.push_back("rank-" + std::to_string(other));
  }
  store.set(all[rank], std::vector<uint8_t>{1});
  try {
    store.wait(all, patience);
  } catch (const std::exception&) {
    std::string missing;
    for (int other = 0; other < size; ++other) {
      if (!store.check({all[other]})) {
        missing += (missing.empty() ? "" : ", ") + std::to_string(other);
      }
    }
    if (missing.empty()) {
      throw;
    }
    throw std::runtime_error("found no rank " + missing + " after " + std::to_string(patience.count()) +
                             " s, expected all " + std::to_string(size) +
                             " at MASTER_ADDR and MASTER_PORT: see why they did not start");
  }
}

}  // namespace

extern "C" {

// Connects the processes that meet at a port, under a name that no earlier attempt of the job had. Nobody waits longer than so
// many seconds for the others to come.
const char* ssl_c10d_connect(Connection** out, const char* host, uint16_t port, int rank, int size, bool serves,
                             const char* name, int64_t seconds) {
  return guarded([&] {
    auto connection = std::make_unique<Connection>();
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serves;
    options.waitWorkers = false;
    options.timeout = std::chrono::seconds(seconds);
    auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    connection->store = c10::make_intrusive<c10d::PrefixStore>(name, store);
    auto gloo = c10d::ProcessGroupGloo::Options::create();
    const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
    gloo->devices.push_back(interface != nullptr
                                ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                                : c10d::ProcessGroupGloo::createDefaultDevice());
    meet(*connection->store, rank, size, std::chrono::seconds(seconds));
    // Of those that came, one may still end before all are connected.
    gloo->timeout = std::chrono::seconds(seconds);
    Aside aside;
    connection->gloo = std::make_unique<c10d::ProcessGroupGloo>(connection->store, rank, size, gloo);
    // From now on, another process may be writing a checkpoint or evaluating.
    connection->gloo->setTimeout(std::chrono::hours(24));
    *out = connection.release();
  });
}

void ssl_c10d_close(Connection* connection) {
  guarded([&] { delete connection; });
}

// Fills `all` with the bytes of every rank.
const char* ssl_c10d_all_gather(Connection* connection, const uint8_t* own, int64_t count, uint8_t* all) {
  return guarded([&] {
    std::vector<at::Tensor> inputs{bytes(own, count)};
    std::vector<std::vector<at::Tensor>> outputs(1);
    for (int rank = 0; rank < connection->gloo->getSize(); ++rank) {
      outputs[0].push_back(bytes(all + rank * count, count));
    }
    connection->gloo->allgather(outputs, inputs)->wait();
  });
}

// Sends equal parts of `parts` to the ranks, and fills `received` with what they sent here; `count` is the length of each.
const char* ssl_c10d_all_to_all(Connection* connection, const uint8_t* parts, int64_t count, uint8_t* received) {
  return guarded([&] {
    auto input = bytes(parts, count);
    auto output = bytes(received, count);
    std::vector<int64_t> equal;
    connection->gloo->alltoall_base(output, input, equal, equal)->wait();
  });
}

const char* ssl_c10d_broadcast(Connection* connection, uint8_t* values, int64_t count, int root) {
  return guarded([&] {
    std::vector<at::Tensor> tensors{bytes(values, count)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    connection->gloo->broadcast(tensors, options)->wait();
  });
}

}  // extern "C"
