#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cardloom/base/json.h"

namespace cardloom::server {

/// One thing that takes memory.
struct MemoryItem {
  std::string kind;                   ///< for programs: "weights", "kv"
  std::string text;                   ///< for people: "KV cache, 32768 tokens"
  std::vector<std::int64_t> cards{};  ///< bytes [rank]; empty: of no card
  std::int64_t shared = 0;            ///< bytes of no card

  [[nodiscard]] std::int64_t total() const;
};

/// The plan of a process's memory: what it takes at the start and keeps, and what requests can come
/// to take beside that.
struct MemoryTable {
  std::vector<MemoryItem> reserved;
  std::vector<MemoryItem> requests;    ///< at most, each by a limit that is kept
  std::int64_t picture_processes = 0;  ///< at most: of other processes

  [[nodiscard]] std::int64_t reserved_bytes() const;
  [[nodiscard]] std::int64_t request_bytes() const;
};

/// {"reserved": {kind: {"cards": [bytes], "bytes"}, ..}, "requests": {kind: bytes, ..}, the sums
/// "reserved_bytes" and "request_bytes", "picture_process_bytes", "resident_bytes": as of now}.
[[nodiscard]] json::object memory_json(const MemoryTable& table);

/// What this process has now; both 0 if the system does not say.
struct ProcessMemory {
  std::int64_t virtual_bytes = 0;
  std::int64_t resident_bytes = 0;  ///< VmRSS
};
[[nodiscard]] ProcessMemory process_memory();

}  // namespace cardloom::server
