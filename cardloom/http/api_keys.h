#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/result.h"
#include "cardloom/http/http_server.h"

namespace cardloom::http {

/// What a client presents as its key: "Authorization: Bearer KEY" (also what Anthropic's SDK
/// sends), else "x-api-key: KEY"; "" if neither is there.
[[nodiscard]] std::string_view find_key(const Headers& headers);

struct KeyOwner {
  std::int64_t index = 0;  ///< among all keys, in their order
  std::string name;        ///< as given, or "key-1", "key-2" ...: for logs, metrics and quotas
};

/// The keys that open the server, kept as SHA-256 hashes only.
///
/// A file has one key a line, with a name behind it if wanted; '#' begins a comment line:
///
///     # for the team
///     sk-3f9a0c7b52e84d16  ci
///     sk-a6d1f04be2907c38
///
/// A text (of an environment variable) is the same with ',' or newlines between keys.
///
/// All members may be called from any thread.
class ApiKeys {
 public:
  /// The keys of both places; `file` and `text` may be "". No key at all means that everybody may
  /// enter: the caller decides whether that is allowed.
  /// Returns kNotFound or kInvalidArgument, with the line, if the file cannot be read, has no key,
  /// or a key is too short, has odd characters, or comes twice. No error shows a key.
  static Result<std::unique_ptr<ApiKeys>> load(std::string file, std::string text);

  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::int64_t size() const;

  /// Whose key `presented` is, if anybody's. Takes the same time for every key of the same length.
  [[nodiscard]] std::optional<KeyOwner> match(std::string_view presented) const;

  /// Reads the file again. The old keys stay if that fails.
  Status reload();

 private:
  struct Entry {
    std::array<unsigned char, 32> digest = {};
    std::string name;
  };
  using Entries = std::vector<Entry>;

  ApiKeys(std::string file, std::string text) : file_(std::move(file)), text_(std::move(text)) {}
  static Status add(std::string_view lines, std::string_view separators, const std::string& origin,
                    Entries& entries);
  [[nodiscard]] std::shared_ptr<const Entries> entries() const;

  const std::string file_;
  std::string text_;  ///< until load() has hashed it
  Entries of_text_;   ///< constant after load()
  mutable std::mutex mutex_;
  std::shared_ptr<const Entries> entries_;  ///< under mutex_; shared with a match() under way
};

}  // namespace cardloom::http
