#include <fmt/format.h>

#include <cstdio>

#include "apps/commands.h"
#include "apps/session.h"
#include "apps/text.h"
#include "cardloom/backend/backends.h"
#include "cardloom/backend/cpu/isa.h"
#include "cardloom/backend/cpu/topology.h"

namespace cardloom::app {

int run_version(const VersionOptions& options) {
  check_common(options.common);
  const std::string chosen = chosen_isa(options.common);
  const cpu::Topology topology = cpu::discover_topology();
  json::array supported;
  std::string names;
  for (const cpu::Isa isa : cpu::supported_isas()) {
    supported.emplace_back(to_string(isa));
    names += (names.empty() ? "" : ", ") + std::string(to_string(isa));
  }
  if (options.common.json) {
    json::object object{{"version", CARDLOOM_VERSION},
                        {"isa", chosen},
                        {"isas", std::move(supported)},
                        {"cores", topology.num_cores},
                        {"cpus", topology.cpus.size()}};
    if (topology.quota > 0) object["cpu_quota"] = topology.quota;
    print_json(object);
    return kExitOk;
  }
  std::string cores = counted(topology.num_cores, "core");
  if (static_cast<int>(topology.cpus.size()) != topology.num_cores) {
    cores += fmt::format(" ({} hardware threads)", topology.cpus.size());
  }
  if (topology.quota > 0) cores += fmt::format(", cgroup limit {:.2f}", topology.quota);
  std::fputs(fmt::format("cardloom {}\ninstruction path {} (this machine runs {})\n{}\n",
                         CARDLOOM_VERSION, chosen, names, cores)
                 .c_str(),
             stdout);
  return kExitOk;
}

}  // namespace cardloom::app
