#pragma once

#include <cstdio>
#include <cstdlib>

/// For what only our own bug can break; never for input. Active in debug and sanitizer builds.
#if !defined(NDEBUG) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CARDLOOM_ASSERT(holds)                                                            \
  do {                                                                                    \
    if (!(holds)) {                                                                       \
      std::fprintf(stderr, "%s:%d: broken assumption: %s\n", __FILE__, __LINE__, #holds); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)
#else
#define CARDLOOM_ASSERT(holds) static_cast<void>(0)
#endif
