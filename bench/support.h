#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/backend/cpu/topology.h"
#include "cardloom/comm/thread_communicator.h"
#include "cardloom/device/stream.h"

namespace cardloom::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_of(const std::function<void()>& body) {
  const Clock::time_point start = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

/// Interleaves the contestants, A B C A B C ..., so that a drift of the machine hits all alike.
/// Returns each one's median seconds.
inline std::vector<double> interleaved(int rounds,
                                       const std::vector<std::function<void()>>& contestants) {
  std::vector<std::vector<double>> times(contestants.size());
  for (int round = -1; round < rounds; ++round) {  // round -1 warms up
    for (std::size_t index = 0; index < contestants.size(); ++index) {
      const double seconds = seconds_of(contestants[index]);
      if (round >= 0) times[index].push_back(seconds);
    }
  }
  std::vector<double> medians;
  for (const std::vector<double>& each : times) medians.push_back(median(each));
  return medians;
}

/// The cards of one configuration; a single thread may launch on all of their streams.
struct Cards {
  struct Card {
    std::unique_ptr<cpu::CpuDevice> device;
    std::unique_ptr<OpLog> log;
    std::unique_ptr<Stream> stream;
  };

  Cards(int tp, int threads, cpu::Isa isa)
      : placement(cpu::place_cards(cpu::discover_topology(), tp, threads)), group(tp) {
    for (int rank = 0; rank < tp; ++rank) {
      Card card;
      card.device = std::make_unique<cpu::CpuDevice>(
          rank, cpu::CpuDeviceOptions{placement.cpus[static_cast<std::size_t>(rank)],
                                      placement.pinned, isa});
      card.log = std::make_unique<OpLog>(rank, tp);
      card.stream = std::make_unique<Stream>(*card.device, *card.log);
      cards.push_back(std::move(card));
    }
  }

  void synchronize() {
    for (Card& card : cards) card.stream->synchronize();
  }

  cpu::CardPlacement placement;
  ThreadGroup group;
  std::vector<Card> cards;
};

}  // namespace cardloom::bench
