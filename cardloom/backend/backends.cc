#include "cardloom/backend/backends.h"

#include <fmt/format.h>

#include <utility>

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/backend/cpu/topology.h"
#include "cardloom/comm/thread_communicator.h"

namespace cardloom {
namespace {

constexpr int kMaxCards = 8;
constexpr int kMaxThreads = 1024;

PlacedCards make_cpu_cards(const CardOptions& options, cpu::Isa isa) {
  const cpu::CardPlacement placement =
      place_cards(cpu::discover_topology(), options.num_cards, options.threads_per_card);
  PlacedCards placed;
  placed.device = "cpu";
  placed.instruction_path = to_string(isa);
  placed.threads_per_card = static_cast<int>(placement.cpus.front().size());
  placed.warning = placement.warning;
  for (int card = 0; card < options.num_cards; ++card) {
    placed.cards.devices.push_back(std::make_unique<cpu::CpuDevice>(
        card, cpu::CpuDeviceOptions{.cpus = placement.cpus[static_cast<std::size_t>(card)],
                                    .pinned = placement.pinned,
                                    .isa = isa}));
  }
  ThreadGroupOptions group_options;
  if (!placement.pinned) group_options.spins = 0;  // a spinning card would starve the one it awaits
  auto group = std::make_shared<ThreadGroup>(options.num_cards, group_options);
  placed.cards.communicator = [group = group.get()](int rank) -> Communicator& {
    return group->communicator(rank);
  };
  placed.cards.reset = [group = group.get()] { group->reset(); };
  placed.cards.keep_alive = std::move(group);
  return placed;
}

}  // namespace

Result<PlacedCards> make_cards(const CardOptions& options, Location caller) {
  if (options.num_cards < 1 || options.num_cards > kMaxCards) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} cards, but 1 to {} work", options.num_cards, kMaxCards), {},
                      {}, caller);
  }
  if (options.threads_per_card < 0 || options.threads_per_card > kMaxThreads) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} threads a card, but 0 (share the cores) to {} work",
                                  options.threads_per_card, kMaxThreads),
                      {}, {}, caller);
  }
  const Result<cpu::Isa> isa = cpu::choose_isa(options.isa, caller);
  if (!isa) return isa.error();
  return make_cpu_cards(options, *isa);
}

}  // namespace cardloom
