#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/comm/thread_communicator.h"
#include "cardloom/device/stream.h"
#include "cardloom/device/workspace.h"

namespace cardloom::testing {

/// One rank of a test: a CPU card with its stream and log.
struct Rank {
  int index = 0;
  Device& device;
  Stream& stream;
  OpLog& log;
  Communicator& comm;
};

struct RanksOptions {
  int world_size = 1;
  int threads = 1;
  cpu::Isa isa = cpu::supported_isas().back();
  ThreadGroupOptions group{.deadline = std::chrono::milliseconds(60'000), .spins = 0};
  StreamOptions stream{};
};

/// Runs `body` on one thread a rank and synchronizes each rank's stream at its end. Returns each
/// rank's error, if it had one.
inline std::vector<std::optional<Error>> run_ranks(const RanksOptions& options,
                                                   const std::function<void(Rank&)>& body) {
  ThreadGroup group(options.world_size, options.group);
  std::vector<std::optional<Error>> errors(static_cast<std::size_t>(options.world_size));
  std::vector<std::thread> threads;
  for (int index = 0; index < options.world_size; ++index) {
    threads.emplace_back([&, index] {
      cpu::CpuDevice device(index,
                            {.cpus = std::vector<int>(static_cast<std::size_t>(options.threads), 0),
                             .pinned = false,
                             .isa = options.isa});
      OpLog log(index, options.world_size);
      Stream stream(device, log, options.stream);
      Communicator& comm = group.communicator(index);
      stream.set_failure_hook([&comm](const Error& error) { comm.abort(error); });
      Rank rank{index, device, stream, log, comm};
      try {
        body(rank);
        stream.synchronize();
      } catch (const Exception& failure) {
        comm.abort(failure.error());
        errors[static_cast<std::size_t>(index)] = failure.error();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

/// As run_ranks, but throws the first rank's error.
inline void run_ranks_or_throw(const RanksOptions& options,
                               const std::function<void(Rank&)>& body) {
  for (const std::optional<Error>& error : run_ranks(options, body)) {
    if (error) throw Exception(*error);
  }
}

}  // namespace cardloom::testing
