#include "cardloom/backend/cpu/topology.h"

#include <fmt/format.h>
#include <hwloc.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "cardloom/base/file.h"

namespace cardloom::cpu {
namespace {

std::vector<int> affinity_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

/// cgroup v2's own file, where the group's root is mounted; containers see their own group there.
double cgroup_quota() {
  constexpr std::int64_t kMaxBytes = 4096;  // one line of two numbers
  const Result<std::string> v2 = read_file("/sys/fs/cgroup/cpu.max", kMaxBytes);
  if (v2) return parse_cpu_max(*v2);
  const Result<std::string> quota = read_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", kMaxBytes);
  const Result<std::string> period = read_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", kMaxBytes);
  return quota && period ? parse_cpu_max(*quota + " " + *period) : 0;
}

}  // namespace

double parse_cpu_max(const std::string& text) {
  char* end = nullptr;
  const double quota = std::strtod(text.c_str(), &end);
  if (end == text.c_str()) return 0;  // "max"
  const double period = std::strtod(end, nullptr);
  return quota > 0 && period > 0 ? quota / period : 0;
}

Topology discover_topology() {
  Topology topology;
  topology.quota = cgroup_quota();
  const std::vector<int> allowed = affinity_cpus();
  hwloc_topology_t machine = nullptr;
  if (hwloc_topology_init(&machine) == 0 && hwloc_topology_load(machine) == 0) {
    // Round k takes the k-th hardware thread of every core.
    const int num_cores = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE);
    for (int sibling = 0;; ++sibling) {
      const std::size_t before = topology.cpus.size();
      bool any = false;
      for (int core = 0; core < num_cores; ++core) {
        hwloc_obj_t object =
            hwloc_get_obj_by_type(machine, HWLOC_OBJ_CORE, static_cast<unsigned>(core));
        int position = 0;
        unsigned cpu = 0;
        hwloc_bitmap_foreach_begin(cpu, object->cpuset) {
          const int number = static_cast<int>(cpu);
          if (std::find(allowed.begin(), allowed.end(), number) == allowed.end()) continue;
          if (position++ != sibling) continue;
          any = true;
          topology.cpus.push_back(number);
        }
        hwloc_bitmap_foreach_end();
      }
      if (sibling == 0) topology.num_cores = static_cast<int>(topology.cpus.size() - before);
      if (!any) break;
    }
  }
  if (machine != nullptr) hwloc_topology_destroy(machine);
  if (topology.cpus.empty()) {  // hwloc saw nothing (a stripped container): what the scheduler says
    topology.cpus = allowed;
    topology.num_cores = static_cast<int>(allowed.size());
  }
  return topology;
}

CardPlacement place_cards(const Topology& topology, int num_cards, int threads_per_card) {
  int usable = topology.num_cores;
  const bool limited = topology.quota > 0 && topology.quota < usable;
  if (limited) usable = std::max(1, static_cast<int>(std::floor(topology.quota)));
  const int threads = threads_per_card > 0 ? threads_per_card : std::max(1, usable / num_cards);
  const auto num_cpus = static_cast<int>(topology.cpus.size());
  CardPlacement placement;
  placement.pinned = num_cards * threads <= num_cpus && !limited;
  int next = 0;
  for (int card = 0; card < num_cards; ++card) {
    std::vector<int>& cpus = placement.cpus.emplace_back();
    for (int thread = 0; thread < threads; ++thread) {
      cpus.push_back(topology.cpus[static_cast<std::size_t>(next++ % num_cpus)]);
    }
  }
  if (num_cards * threads > usable) {
    placement.warning = fmt::format(
        "{} card{} x {} thread{} share {} core{}{}: correct, but slower than --tp {}", num_cards,
        num_cards == 1 ? "" : "s", threads, threads == 1 ? "" : "s", usable, usable == 1 ? "" : "s",
        limited ? " (cgroup limit)" : "", std::min(num_cards, usable));
  }
  return placement;
}

}  // namespace cardloom::cpu
