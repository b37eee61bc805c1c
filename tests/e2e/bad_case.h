#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tests/e2e/process.h"
#include "tests/e2e/support.h"

/// Whatever is wrong is told in three lines, with the right exit code, and nothing crashes.
namespace cardloom::e2e {

using Arguments = std::vector<std::string>;

struct BadCase {
  const char* name;
  int exit_code;
  Arguments words;  ///< all of them in the three lines
  /// Breaks what is to be broken in a copy of the tiny checkpoint and says what to type.
  std::function<Arguments(const TempFolder&)> make;
  ProcessOptions options{};
};

inline void expect_three_lines(const Outcome& outcome, const Arguments& words) {
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 3) << outcome.err;
  EXPECT_THAT(outcome.err, ::testing::StartsWith("error: "));
  EXPECT_THAT(outcome.err, ::testing::HasSubstr("\n  why: "));
  EXPECT_THAT(outcome.err, ::testing::HasSubstr("\n  try: "));
  for (const std::string& word : words) EXPECT_THAT(outcome.err, ::testing::HasSubstr(word));
}

/// Runs a case on its own copy of the tiny checkpoint.
inline void expect_told(const BadCase& bad) {
  const TempFolder folder;
  folder.copy_tiny();
  const Outcome outcome = cardloom(bad.make(folder), bad.options);
  EXPECT_EQ(outcome.exit_code, bad.exit_code) << outcome.err;
  expect_three_lines(outcome, bad.words);
}

inline std::string name_of(const ::testing::TestParamInfo<BadCase>& info) {
  return info.param.name;
}

/// `cardloom run FOLDER hello` and more.
inline Arguments run(const TempFolder& folder, const Arguments& more = {}) {
  Arguments arguments = {"run", folder.path(), "hello", "--max-tokens", "2"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace cardloom::e2e
