#include "cardloom/backend/backends.h"

#include <fmt/format.h>

#include <utility>

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/backend/cpu/scratch_plan.h"
#include "cardloom/backend/cpu/topology.h"
#include "cardloom/base/integer_math.h"
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

Result<cpu::Isa> check_options(const CardOptions& options, Location caller) {
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
  return cpu::choose_isa(options.isa, caller);
}

}  // namespace

Result<PlacedCards> make_cards(const CardOptions& options, Location caller) {
  const Result<cpu::Isa> isa = check_options(options, caller);
  if (!isa) return isa.error();
  return make_cpu_cards(options, *isa);
}

Result<CardPlan> plan_cards(const CardOptions& options, Location caller) {
  const Result<cpu::Isa> isa = check_options(options, caller);
  if (!isa) return isa.error();
  const cpu::CardPlacement placement =
      place_cards(cpu::discover_topology(), options.num_cards, options.threads_per_card);
  return CardPlan{.threads_per_card = static_cast<int>(placement.cpus.front().size()),
                  .instruction_path = std::string(to_string(*isa))};
}

CardBytes card_bytes(const CardPlan& plan, int world_size, const ScratchNeeds& needs) {
  constexpr std::int64_t kGranule = std::int64_t{1} << 16;  // CpuDevice::scratch grows by it
  const cpu::Isa isa = cpu::choose_isa(plan.instruction_path).value_or_throw();
  const cpu::ScratchBytes scratch = cpu::scratch_bytes(needs, isa);
  return {
      .scratch = round_up(scratch.team, kGranule) +
                 plan.threads_per_card * round_up(scratch.worker, kGranule),
      .exchange = 2 * cpu::exchange_bytes(needs, world_size, ThreadGroupOptions().buffer_bytes)};
}

void reserve_card(CardGroup& cards, int rank, const ScratchNeeds& needs) {
  Device& device = *cards.devices[static_cast<std::size_t>(rank)];
  device.bind_thread();
  device.reserve_scratch(needs);
  Communicator& comm = cards.communicator(rank);
  const std::int64_t bytes = cpu::exchange_bytes(needs, comm.world_size(), comm.buffer_bytes());
  for (const std::uint64_t call : {0, 1}) populate_memory(comm.buffer(rank, call), bytes);
}

}  // namespace cardloom
