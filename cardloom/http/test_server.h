#pragma once

// For the tests of this folder: a server whose answers show what it was asked.
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cardloom/http/test_client.h"

namespace cardloom::http {

/// Bodies of up to 1000 bytes, or 10 at "/small"; "/denied" is refused with 401. Answers with
/// "METHOD path?query body"; requests for paths that begin with "/hold" are kept for the test.
class TestServer {
 public:
  explicit TestServer(ServerOptions options = {},
                      std::function<void(std::shared_ptr<Exchange>)> handle = nullptr) {
    Hooks hooks;
    hooks.admit = [](const RequestHead& head) {
      Admission admission;
      admission.max_body_bytes = head.path == "/small" ? 10 : 1000;
      if (head.path == "/denied") admission.refusal = Response{401, {}, "denied"};
      return admission;
    };
    hooks.refuse = [](int status, std::string why) { return Response{status, {}, std::move(why)}; };
    hooks.handle = handle ? handle : [this](std::shared_ptr<Exchange> exchange) {
      echo_or_hold(std::move(exchange));
    };
    server_ = Server::start(std::move(options), std::move(hooks)).value_or_throw();
  }
  Server* operator->() const { return server_.get(); }

  /// The next request for "/hold", when it has come.
  std::shared_ptr<Exchange> held() {
    std::shared_ptr<Exchange> exchange;
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard lock(mutex_);
      if (held_.empty()) return false;
      exchange = std::move(held_.front());
      held_.erase(held_.begin());
      return true;
    }));
    return exchange;
  }

 private:
  void echo_or_hold(std::shared_ptr<Exchange> exchange) {
    const RequestHead& head = exchange->head();
    if (head.path.substr(0, 5) == "/hold") {
      const std::lock_guard lock(mutex_);
      held_.push_back(std::move(exchange));
      return;
    }
    std::string text = head.method + " " + head.path + "?" + head.query + " " + exchange->body();
    exchange->respond({200, {{"content-type", "text/plain"}}, std::move(text)});
  }

  std::mutex mutex_;
  std::vector<std::shared_ptr<Exchange>> held_;  ///< under mutex_
  std::unique_ptr<Server> server_;               // last: its threads use the others
};

}  // namespace cardloom::http
