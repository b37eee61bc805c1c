#pragma once

#include <string>
#include <vector>

namespace cardloom::cpu {

/// Which CPUs this process may use, and how much of them.
struct Topology {
  std::vector<int> cpus;  ///< operating-system numbers: first one of every core, then siblings
  int num_cores = 1;      ///< physical cores among them
  double quota = 0;       ///< CPUs' worth of time the cgroup allows; 0: no limit
};

/// Reads the machine through hwloc, within this process's cpuset, and the cgroup's cpu limit.
[[nodiscard]] Topology discover_topology();

/// The cgroup's limit from the text of cpu.max ("200000 100000" is 2, "max 100000" is 0).
[[nodiscard]] double parse_cpu_max(const std::string& text);

/// Which CPUs each of `num_cards` cards gets.
struct CardPlacement {
  std::vector<std::vector<int>> cpus;  ///< [card][thread]
  bool pinned = true;                  ///< false if cards share CPUs or the quota is smaller
  std::string warning;                 ///< for the user, if cards must share; else empty
};

/// Splits the usable cores among the cards, neighbours together. `threads_per_card` 0: as many as
/// there are cores for each, at least 1. More cards or threads than cores works: they share,
/// unpinned, and `warning` says so.
[[nodiscard]] CardPlacement place_cards(const Topology& topology, int num_cards,
                                        int threads_per_card);

}  // namespace cardloom::cpu
