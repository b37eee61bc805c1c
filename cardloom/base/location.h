#pragma once

namespace cardloom {

/// A place in the source text. As a defaulted last parameter it names the
/// *caller*, without a macro. Not std::source_location, which clang 14 lacks.
struct Location {
  const char* file = "";
  unsigned line = 0;
  const char* function = "";

  static constexpr Location current(const char* file = __builtin_FILE(),
                                    unsigned line = __builtin_LINE(),
                                    const char* function = __builtin_FUNCTION()) {
    return {file, line, function};
  }
};

}  // namespace cardloom
