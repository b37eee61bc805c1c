#include "cardloom/http/port_holder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace cardloom::http {
namespace {

/// Inodes of the sockets that listen on `port`, from one of the kernel's tables.
/// Source: proc(5), /proc/net/tcp: number, local address, remote address, state, ... inode.
void add_inodes(const char* table, std::uint16_t port, std::set<std::string>& inodes) {
  constexpr std::string_view kListening = "0A";
  std::ifstream file(table);
  const std::string wanted = fmt::format(":{:04X}", port);
  std::string line;
  std::getline(file, line);  // the heading
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::array<std::string, 10> field;
    for (std::string& each : field) fields >> each;
    if (field[1].ends_with(wanted) && field[3] == kListening) inodes.insert(field[9]);
  }
}

bool holds_one(const std::filesystem::path& process, const std::set<std::string>& inodes) {
  std::error_code failure;  // of processes that end meanwhile or are another user's
  std::filesystem::directory_iterator files(process / "fd", failure);
  for (; !failure && files != std::filesystem::directory_iterator(); files.increment(failure)) {
    std::error_code unreadable;
    const std::string target = std::filesystem::read_symlink(files->path(), unreadable).string();
    constexpr std::string_view kPrefix = "socket:[";
    if (!target.starts_with(kPrefix)) continue;
    const std::size_t size = target.size() - kPrefix.size() - 1;
    if (inodes.contains(target.substr(kPrefix.size(), size))) return true;
  }
  return false;
}

bool is_number(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string port_holder(std::uint16_t port) {
  std::set<std::string> inodes;
  add_inodes("/proc/net/tcp", port, inodes);
  add_inodes("/proc/net/tcp6", port, inodes);
  if (inodes.empty()) return {};
  std::error_code failure;
  std::filesystem::directory_iterator processes("/proc", failure);
  for (; !failure && processes != std::filesystem::directory_iterator();
       processes.increment(failure)) {
    const std::string id = processes->path().filename().string();
    if (!is_number(id) || !holds_one(processes->path(), inodes)) continue;
    std::string name;
    std::getline(std::ifstream(processes->path() / "comm") >> std::ws, name);
    // A process may call itself anything.
    for (char& c : name) {
      if (c < ' ' || c > '~') c = '?';
    }
    return fmt::format("{} (process {})", name, id);
  }
  return {};
}

}  // namespace cardloom::http
