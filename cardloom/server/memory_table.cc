#include "cardloom/server/memory_table.h"

#include <unistd.h>

#include <fstream>
#include <numeric>

namespace cardloom::server {
namespace {

std::int64_t sum(const std::vector<MemoryItem>& items) {
  std::int64_t bytes = 0;
  for (const MemoryItem& item : items) bytes += item.total();
  return bytes;
}

}  // namespace

std::int64_t MemoryItem::total() const {
  return std::accumulate(cards.begin(), cards.end(), shared);
}

std::int64_t MemoryTable::reserved_bytes() const { return sum(reserved); }
std::int64_t MemoryTable::request_bytes() const { return sum(requests); }

json::object memory_json(const MemoryTable& table) {
  json::object reserved;
  for (const MemoryItem& item : table.reserved) {
    json::object line{{"bytes", item.total()}};
    if (!item.cards.empty()) line["cards"] = json::array(item.cards.begin(), item.cards.end());
    reserved[item.kind] = std::move(line);
  }
  json::object requests;
  for (const MemoryItem& item : table.requests) requests[item.kind] = item.total();
  return {{"reserved", std::move(reserved)},
          {"reserved_bytes", table.reserved_bytes()},
          {"requests", std::move(requests)},
          {"request_bytes", table.request_bytes()},
          {"picture_process_bytes", table.picture_processes},
          {"resident_bytes", process_memory().resident_bytes}};
}

ProcessMemory process_memory() {
  std::ifstream file("/proc/self/statm");
  std::int64_t num_pages = 0;
  std::int64_t num_resident = 0;
  if (!(file >> num_pages >> num_resident)) return {};
  const std::int64_t page_bytes = sysconf(_SC_PAGESIZE);
  return {.virtual_bytes = num_pages * page_bytes, .resident_bytes = num_resident * page_bytes};
}

}  // namespace cardloom::server
