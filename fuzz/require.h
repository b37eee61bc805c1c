#pragma once

#include <cstdlib>

/// What every input must hold to: a fuzzer and the replay see an abort as a finding, whatever the
/// build defines of assert().
inline void require(bool holds) {
  if (!holds) std::abort();
}
