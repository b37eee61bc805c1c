#include "cardloom/http/io_thread.h"

#include <fmt/format.h>
#include <pthread.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <cstdio>
#include <utility>

#include "cardloom/http/response_text.h"

namespace cardloom::http {

IoThread::~IoThread() { finish(); }

void IoThread::start() {
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), fmt::format("http-{}", index_).c_str());
}

void IoThread::run() {
  id_ = std::this_thread::get_id();
  for (;;) {
    try {
      context_.run();
      return;
    } catch (const std::exception& failure) {
      // Out of memory, or work that throws: the other connections go on.
      fmt::print(stderr, "http: on I/O thread {}: {}\n", index_, failure.what());
    }
  }
}

void IoThread::finish() {
  work_.reset();
  if (thread_.joinable()) thread_.join();
  std::vector<std::function<void()>> dropped;
  const std::lock_guard lock(mutex_);
  finished_ = true;
  dropped.swap(inbox_);  // destroyed after the lock is released: it is declared before it
}

void IoThread::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  inbox_.push_back(std::move(work));
  if (inbox_.size() == 1) {
    boost::asio::post(context_, [this] { run_inbox(); });
  }
}

void IoThread::run_inbox() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(mutex_);
    work.swap(inbox_);
  }
  for (const auto& item : work) {
    try {
      item();
    } catch (const std::exception& failure) {
      fmt::print(stderr, "http: posted work on I/O thread {}: {}\n", index_, failure.what());
    }
  }
}

std::string_view IoThread::date() {
  const std::int64_t second = std::chrono::duration_cast<std::chrono::seconds>(
                                  std::chrono::system_clock::now().time_since_epoch())
                                  .count();
  if (second != date_second_) {
    date_second_ = second;
    date_ = http_date(second);
  }
  return date_;
}

}  // namespace cardloom::http
