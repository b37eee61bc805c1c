#include <algorithm>
#include <cmath>
#include <vector>

#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::reference {

void top_k(const KernelContext&, const TopKArgs& args) {
  const std::int64_t k = args.values.shape[1];
  for (std::int64_t m = 0; m < args.x.shape[0]; ++m) {
    std::vector<std::int64_t> columns;
    for (std::int64_t n = 0; n < args.x.shape[1]; ++n) {
      if (!std::isnan(load(args.x, m, n))) columns.push_back(n);
    }
    std::stable_sort(columns.begin(), columns.end(), [&](std::int64_t a, std::int64_t b) {
      return load(args.x, m, a) > load(args.x, m, b);
    });
    for (std::int64_t i = 0; i < k; ++i) {
      const bool found = i < static_cast<std::int64_t>(columns.size());
      const std::int64_t column = found ? columns[static_cast<std::size_t>(i)] : -1;
      const std::int32_t id = found ? static_cast<std::int32_t>(args.first_id + column) : -1;
      store(args.values, found ? load(args.x, m, column) : 0, m, i);
      std::memcpy(address(args.ids, m, i), &id, sizeof id);
    }
  }
}

}  // namespace cardloom::reference
