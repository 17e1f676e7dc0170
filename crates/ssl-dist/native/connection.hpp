// What the two bridges to c10d share.
#pragma once

#include <exception>
#include <memory>
#include <string>

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

struct Connection {
  c10::intrusive_ptr<c10d::Store> store;
  std::unique_ptr<c10d::ProcessGroupGloo> gloo;
};

// Null, or what went wrong as a text that lives until the next call on the same thread.
template <typename Body>
const char* guarded(Body body) {
  thread_local std::string message;
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    message = error.what();
  } catch (...) {
    message = "an error without a text";
  }
  return message.c_str();
}
