#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "cardloom/api/api.h"
#include "cardloom/base/json.h"
#include "cardloom/http/api_keys.h"
#include "cardloom/http/http_server.h"
#include "cardloom/server/cards_feed.h"
#include "cardloom/server/generation.h"
#include "cardloom/server/key_quota.h"
#include "cardloom/server/metrics.h"
#include "cardloom/server/picture_budget.h"
#include "cardloom/server/served_model.h"
#include "cardloom/server/task_pool.h"

namespace cardloom::server {

struct ApiServerOptions {
  http::ServerOptions http;
  api::RequestLimits limits;
  std::int64_t max_body_bytes = 64 << 20;
  int task_threads = 2;
  std::int64_t max_queue = 256;  ///< requests that wait for a task thread, and for the engine
  std::int64_t max_per_key = 0;  ///< requests of one API key under way; 0: any number
  std::int64_t max_pending_images = 64;    ///< of all requests: each keeps its pixels to its end
  std::vector<std::string> allowed_hosts;  ///< Host names beside those of loopback
  bool metrics_vllm_names = false;
  std::chrono::seconds ping_interval{15};
  std::string version;
  std::string model_id;
  std::int64_t max_image_pixels = 0;  ///< for /props, as the next two
  std::int64_t max_total_pixels = 0;
  json::object settings{};  ///< the options' values, without secrets
};

enum class ServerState { kLoading, kReady, kDraining };

struct Call;
struct Route;

/// The HTTP API: who may ask, for what, and who answers. Accepts from the start, answers once it is
/// given a model; until then, and while it drains, 503 says so.
class ApiServer {
 public:
  /// Binds. Errors as http::Server::start gives them. `keys` may be empty: everybody may ask.
  static Result<std::unique_ptr<ApiServer>> start(ApiServerOptions options,
                                                  std::unique_ptr<http::ApiKeys> keys);
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  /// What part of the model is there, 0 to 1, for those who ask while it loads. Any thread.
  void set_loaded(double share) { loaded_ = share; }

  /// Once. The model's parts must outlive the server.
  void serve(const ServedModel& model);

  [[nodiscard]] std::uint16_t port() const { return http_->port(); }
  [[nodiscard]] ServerState state() const { return state_.load(); }

  /// Not ready any more: no new connections or requests; those under way go on.
  void drain();
  [[nodiscard]] std::int64_t num_under_way() const { return http_->exchanges_under_way(); }
  /// Closes everything. The engine loop may end after this, and the server be destroyed after that.
  void stop();

  /// Reads keys and certificate again; what fails stays as it was.
  Status reload();

 private:
  friend struct Handlers;

  ApiServer(ApiServerOptions options, std::unique_ptr<http::ApiKeys> keys);
  [[nodiscard]] http::Admission admit(const http::RequestHead& head);
  [[nodiscard]] std::optional<api::ApiError> gate(const http::RequestHead& head,
                                                  const Route* route) const;
  void handle(std::shared_ptr<http::Exchange> exchange);
  void tick_until_stopped();
  [[nodiscard]] GenerationHome home(const http::Exchange& exchange);
  [[nodiscard]] const ServedModel* model() const { return model_ ? &*model_ : nullptr; }

  ApiServerOptions options_;
  std::unique_ptr<http::ApiKeys> keys_;
  Metrics metrics_;
  std::shared_ptr<KeyQuota> quota_;
  std::atomic<ServerState> state_ = ServerState::kLoading;
  std::atomic<double> loaded_ = 0;
  std::optional<ServedModel> model_;  ///< set before state_ leaves kLoading, then constant
  std::unique_ptr<http::Server> http_;
  std::vector<std::unique_ptr<Delivery>> deliveries_;  ///< [I/O thread]
  std::unique_ptr<CardsFeed> cards_;
  std::unique_ptr<TaskPool> tasks_;
  std::shared_ptr<PictureBudget> pictures_;

  std::mutex mutex_;  ///< guards stopped_
  std::condition_variable wake_;
  bool stopped_ = false;
  std::thread ticker_;
};

}  // namespace cardloom::server
