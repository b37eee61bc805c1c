#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <vector>

namespace cardloom::http {

class Connection;

/// One thread that runs one io_context: everything of a connection happens on its thread, so
/// connections need neither locks nor strands. Held by shared_ptr: an Exchange that outlives the
/// server still posts here, in vain.
class IoThread {
 public:
  explicit IoThread(int index) : index_(index) {}
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  void start();
  /// Waits until nothing is left to do: the caller has closed all sockets. Work posted later is
  /// dropped.
  void finish();

  /// Runs `work` on this thread, in the order of posting; dropped after finish(). What is posted
  /// while the thread is busy costs one wake-up together. Any thread.
  void post(std::function<void()> work);

  [[nodiscard]] bool is_current() const { return std::this_thread::get_id() == id_; }
  [[nodiscard]] int index() const { return index_; }
  [[nodiscard]] boost::asio::io_context& context() { return context_; }

  /// The text of now for a `date` header; made once a second. On this thread.
  [[nodiscard]] std::string_view date();
  /// The open connections. On this thread.
  [[nodiscard]] std::unordered_set<Connection*>& connections() { return connections_; }

 private:
  void run();
  void run_inbox();

  const int index_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      context_.get_executor()};
  std::mutex mutex_;
  std::vector<std::function<void()>> inbox_;  ///< under mutex_
  bool finished_ = false;                     ///< under mutex_
  std::unordered_set<Connection*> connections_;
  std::int64_t date_second_ = -1;
  std::string date_;
  std::thread thread_;
  std::atomic<std::thread::id> id_;  ///< also read while finish() joins thread_
};

}  // namespace cardloom::http
