#pragma once

#include <cstdint>
#include <functional>

namespace cardloom {

/// Calls body(i) once for every i in [0, count), in any order, on any thread; returns when all are
/// done and rethrows what one of them threw.
using ParallelFor =
    std::function<void(std::int64_t count, const std::function<void(std::int64_t)>& body)>;

/// A ParallelFor on the calling thread, in order.
inline void run_serially(std::int64_t count, const std::function<void(std::int64_t)>& body) {
  for (std::int64_t index = 0; index < count; ++index) body(index);
}

}  // namespace cardloom
