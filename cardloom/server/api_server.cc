#include "cardloom/server/api_server.h"

#include <fmt/format.h>

#include <array>
#include <random>
#include <utility>

#include "cardloom/http/host_check.h"
#include "cardloom/server/routes.h"

namespace cardloom::server {
namespace {

using api::ApiError;
using Clock = std::chrono::steady_clock;

constexpr int kMilliPerTick = 1000;

/// 24 letters and digits: 143 bits, no two replies share them.
std::string new_request_id() {
  constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  static thread_local std::mt19937_64 generator{std::random_device{}()};
  std::uniform_int_distribution<std::size_t> index(0, kLetters.size() - 1);
  std::string id(24, '0');
  for (char& letter : id) letter = kLetters[index(generator)];
  return id;
}

ApiError make_api_error(int status, const char* type, const char* code, std::string message) {
  ApiError error;
  error.status = status;
  error.type = type;
  error.code = code;
  error.message = std::move(message);
  return error;
}

/// What the transport refuses by itself.
ApiError transport_error(int status, std::string why) {
  switch (status) {
    case 408:
      return make_api_error(status, "invalid_request_error", "request_timeout", std::move(why));
    case 413:
      return make_api_error(status, "invalid_request_error", "request_too_large", std::move(why));
    case 431:
      return make_api_error(status, "invalid_request_error", "headers_too_large", std::move(why));
    case 500:
      return make_api_error(status, "server_error", "internal_error", "the server failed");
    case 501:
      return make_api_error(status, "invalid_request_error", "not_supported", std::move(why));
    case 503: {
      ApiError error = make_api_error(status, "server_error", "overloaded", std::move(why));
      error.headers.emplace_back("retry-after", "1");
      return error;
    }
    default:
      return make_api_error(status, "invalid_request_error", "bad_request", std::move(why));
  }
}

http::Response response_of(const ApiError& error, api::ErrorShape shape) {
  const std::string id = new_request_id();
  http::Response response{.status = error.status,
                          .headers = {{"content-type", "application/json"}, {"x-request-id", id}},
                          .body = api::error_body(error, shape, id)};
  response.headers.insert(response.headers.end(), error.headers.begin(), error.headers.end());
  return response;
}

/// Few, whatever strangers send: each makes a series.
const char* method_label(std::string_view method) {
  for (const char* known : {"GET", "POST", "HEAD"}) {
    if (method == known) return known;
  }
  return "other";
}

ApiError key_is_busy(std::int64_t limit) {
  ApiError error = make_api_error(
      429, "rate_limit_error", "rate_limit_exceeded",
      fmt::format("{} requests of this API key are under way, as many as may be (--max-per-key): "
                  "try again when one has ended",
                  limit));
  error.headers = {{"retry-after", "1"}, {"retry-after-ms", "1000"}};
  return error;
}

/// Counts an answer when it is complete.
class CountedExchange : public http::Exchange,
                        public std::enable_shared_from_this<CountedExchange> {
 public:
  /// `place`: of the request in its key's quota, given back before the client can know of the end
  /// and come again.
  CountedExchange(std::shared_ptr<http::Exchange> inner, Metrics& metrics, const char* handler,
                  std::shared_ptr<void> place)
      : inner_(std::move(inner)), metrics_(metrics), handler_(handler), place_(std::move(place)) {}

  [[nodiscard]] const http::RequestHead& head() const override { return inner_->head(); }
  [[nodiscard]] std::string& body() override { return inner_->body(); }
  void release_body() override { inner_->release_body(); }
  void respond(http::Response response) override {
    count(response.status);
    inner_->respond(std::move(response));
  }
  void begin_stream(http::Response head) override {
    status_ = head.status;
    inner_->begin_stream(std::move(head));
  }
  void write(std::string bytes) override { inner_->write(std::move(bytes)); }
  void end_stream() override {
    count(status_);
    inner_->end_stream();
  }
  void on_gone(std::function<void()> callback) override {
    constexpr int kClientClosed = 499;  // as nginx logs it; never sent
    // Weak: the call waits its turn on the I/O thread, and until then the reply may end, and with
    // it whoever held this.
    inner_->on_gone([self = weak_from_this(), callback = std::move(callback)] {
      if (const auto counted = self.lock()) counted->count(kClientClosed);
      callback();
    });
  }
  [[nodiscard]] bool gone() const override { return inner_->gone(); }
  void post(std::function<void()> work) override { inner_->post(std::move(work)); }
  [[nodiscard]] int io_thread() const override { return inner_->io_thread(); }

 private:
  void count(int status) {
    if (is_counted_.exchange(true)) return;
    place_.reset();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    metrics_.observe_http(handler_, method_label(inner_->head().method), status, seconds);
  }

  std::shared_ptr<http::Exchange> inner_;
  Metrics& metrics_;
  const char* handler_;
  std::shared_ptr<void> place_;
  int status_ = 200;
  std::atomic<bool> is_counted_ = false;
  Clock::time_point begin_ = Clock::now();
};

/// What to do about a path that is not there. Some are other servers', and asked for by name.
const char* instead_of(std::string_view path) {
  const auto names = [path](std::string_view word) { return path.find(word) != path.npos; };
  if (names("embed") || names("rerank") || names("/score") || names("pooling")) {
    return "this model answers in words; it makes no embeddings and no scores";
  }
  if (names("/audio")) return "this model neither hears nor speaks: it reads text and pictures";
  if (names("/images")) return "this model sees pictures but draws none";
  if (names("/responses/")) return "nothing is stored, so there is no response to come back to";
  if (names("/files") || names("/batches") || names("/assistants") || names("/threads")) {
    return "this server keeps nothing between requests";
  }
  if (path.starts_with("/api/"))
    return "it is Ollama's; OpenAI's clients find /v1/chat/completions";
  return "POST /v1/chat/completions, GET /v1/models and others are";
}

bool is_json(const http::RequestHead& head) {
  return http::find_header(head.headers, "content-type").starts_with("application/json");
}

}  // namespace

ApiServer::ApiServer(ApiServerOptions options, std::unique_ptr<http::ApiKeys> keys)
    : options_(std::move(options)),
      keys_(std::move(keys)),
      metrics_(options_.metrics_vllm_names, options_.model_id),
      quota_(std::make_shared<KeyQuota>(options_.max_per_key)) {}

Result<std::unique_ptr<ApiServer>> ApiServer::start(ApiServerOptions options,
                                                    std::unique_ptr<http::ApiKeys> keys) {
  std::unique_ptr<ApiServer> server(new ApiServer(std::move(options), std::move(keys)));
  ApiServer* const raw = server.get();
  http::Hooks hooks;
  hooks.admit = [raw](const http::RequestHead& head) { return raw->admit(head); };
  hooks.handle = [raw](std::shared_ptr<http::Exchange> exchange) {
    raw->handle(std::move(exchange));
  };
  hooks.refuse = [raw](int status, std::string why) {
    raw->metrics_.observe_rejection(fmt::format("http_{}", status));
    return response_of(transport_error(status, std::move(why)), api::ErrorShape::kOpenAi);
  };
  raw->tasks_ = std::make_unique<TaskPool>(raw->options_.task_threads,
                                           static_cast<std::size_t>(raw->options_.max_queue));
  raw->pictures_ = std::make_shared<PictureBudget>(raw->options_.max_pending_images);
  // Threads of the transport may call the hooks at once: what they need must be there before.
  for (int index = 0; index < raw->options_.http.io_threads; ++index) {
    raw->deliveries_.push_back(std::make_unique<Delivery>(
        [raw, index](std::function<void()> work) { raw->http_->post(index, std::move(work)); }));
  }
  Result<std::unique_ptr<http::Server>> http =
      http::Server::start(raw->options_.http, std::move(hooks));
  if (!http) return std::move(http).error();
  raw->http_ = *std::move(http);
  raw->ticker_ = std::thread([raw] { raw->tick_until_stopped(); });
  return server;
}

ApiServer::~ApiServer() { stop(); }

void ApiServer::serve(const ServedModel& model) {
  model_ = model;
  model_->metrics = &metrics_;
  options_.limits.vocab_size = model.tokenizer->vocab_size();
  if (const auto& vision = model.config->vision) {
    options_.limits.picture_pixels = vision->image_size * vision->image_size;
  }
  cards_ = std::make_unique<CardsFeed>(*model_);
  state_ = ServerState::kReady;
}

GenerationHome ApiServer::home(const http::Exchange& exchange) {
  return {.model = &*model_,
          .delivery = deliveries_[static_cast<std::size_t>(exchange.io_thread())].get(),
          .metrics = &metrics_,
          .ping_interval = options_.ping_interval};
}

std::optional<ApiError> ApiServer::gate(const http::RequestHead& head, const Route* route) const {
  const bool is_local = options_.http.unix_socket.empty() && http::is_loopback(options_.http.host);
  if (is_local &&
      !http::is_acceptable_host(http::find_header(head.headers, "host"), options_.allowed_hosts)) {
    return make_api_error(403, "invalid_request_error", "host_not_allowed",
                          "this server answers to localhost only: use that name, or start it with "
                          "--allowed-host");
  }
  const bool is_open = route != nullptr && route->is_open;
  if (!is_open && !keys_->empty() && !keys_->match(http::find_key(head.headers))) {
    ApiError error = make_api_error(401, "invalid_request_error", "invalid_api_key",
                                    "the API key is missing or wrong: send \"Authorization: Bearer "
                                    "KEY\" or \"x-api-key: KEY\"");
    error.headers.emplace_back("www-authenticate", "Bearer");
    return error;
  }
  return std::nullopt;
}

http::Admission ApiServer::admit(const http::RequestHead& head) {
  bool method_fits = false;
  const Route* route = find_route(head.method, head.path, method_fits);
  const api::ErrorShape shape = route != nullptr ? route->shape : api::ErrorShape::kOpenAi;
  const auto refuse = [&](const ApiError& error) {
    metrics_.observe_rejection(error.code);
    metrics_.count_http(route != nullptr ? route->name : "none", method_label(head.method),
                        error.status);
    return http::Admission{.refusal = response_of(error, shape), .max_body_bytes = 0};
  };
  if (const auto error = gate(head, route)) return refuse(*error);
  if (route == nullptr) {
    return refuse(make_api_error(
        404, "invalid_request_error", "unknown_url",
        fmt::format("there is no {} here: {}", head.path.substr(0, 100), instead_of(head.path))));
  }
  if (!method_fits) {
    ApiError error = make_api_error(
        405, "invalid_request_error", "method_not_allowed",
        fmt::format("{} takes {}, not {}", route->path, route->method, head.method.substr(0, 20)));
    error.headers.emplace_back("allow", route->method);
    return refuse(error);
  }
  if (route->needs_model && state_ != ServerState::kReady) {
    ApiError error = state_ == ServerState::kLoading
                         ? make_api_error(503, "server_error", "loading",
                                          "the model is being loaded: try again in a moment")
                         : make_api_error(503, "server_error", "draining",
                                          "the server is going down: ask another");
    error.headers.emplace_back("retry-after", "2");
    return refuse(error);
  }
  // A page of somebody else's can make a browser post text without asking; JSON it cannot.
  if (head.method == "POST" && !is_json(head)) {
    return refuse(make_api_error(415, "invalid_request_error", "unsupported_media_type",
                                 "the body must be JSON: send \"content-type: application/json\""));
  }
  return {.refusal = std::nullopt,
          .max_body_bytes = head.method == "POST" ? options_.max_body_bytes : 0};
}

void ApiServer::handle(std::shared_ptr<http::Exchange> exchange) {
  bool method_fits = false;
  const Route* route = find_route(exchange->head().method, exchange->head().path, method_fits);
  if (route == nullptr) {  // admit() refused it; a transport that asks all the same is broken
    return exchange->respond(response_of(transport_error(500, {}), api::ErrorShape::kOpenAi));
  }
  Call call;
  call.request_id = new_request_id();
  call.arrived = Clock::now();
  if (const auto key = keys_->match(http::find_key(exchange->head().headers))) {
    call.key_name = key->name;
  }
  const std::string_view pattern = route->path;
  if (exchange->head().path.size() > pattern.size()) {
    call.path_tail = exchange->head().path.substr(pattern.size());
  }
  // Who looks at health, metrics or the cards takes nothing from others.
  const bool is_work = route->needs_model && std::string_view(route->method) == "POST";
  std::shared_ptr<void> place = quota_->try_enter(is_work ? call.key_name : std::string());
  const bool is_busy = place == nullptr;
  call.exchange = std::make_shared<CountedExchange>(std::move(exchange), metrics_, route->name,
                                                    std::move(place));
  if (is_busy) {
    metrics_.observe_rejection("rate_limit_exceeded");
    return respond_error(*call.exchange, key_is_busy(quota_->limit()), route->shape,
                         call.request_id);
  }
  route->handle(*this, std::move(call));
}

void ApiServer::tick_until_stopped() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, std::chrono::milliseconds(kMilliPerTick),
                         [this] { return stopped_; })) {
    lock.unlock();
    for (std::size_t index = 0; index < deliveries_.size(); ++index) {
      http_->post(static_cast<int>(index),
                  [delivery = deliveries_[index].get()] { delivery->tick(); });
    }
    if (state_ == ServerState::kReady) cards_->tick();
    lock.lock();
  }
}

void ApiServer::drain() {
  ServerState ready = ServerState::kReady;
  ServerState loading = ServerState::kLoading;
  if (!state_.compare_exchange_strong(ready, ServerState::kDraining)) {
    state_.compare_exchange_strong(loading, ServerState::kDraining);
  }
  if (cards_) cards_->close();
  http_->drain();
}

void ApiServer::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(stopped_, true)) return;
  }
  wake_.notify_all();
  if (ticker_.joinable()) ticker_.join();
  if (cards_) cards_->close();
  tasks_->stop();  // first: tasks answer through the transport, which may still post new ones
  if (http_) http_->stop();
}

Status ApiServer::reload() {
  if (Status status = keys_->reload(); !status) return status;
  return http_->reload_tls();
}

}  // namespace cardloom::server
