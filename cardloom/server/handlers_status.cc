// The endpoints that tell how the server is, and the page.
#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <utility>

#include "cardloom/api/request_json.h"
#include "cardloom/api/small_requests.h"
#include "cardloom/base/json.h"
#include "cardloom/server/handlers.h"
#include "web/web_files.h"

namespace cardloom::server {
namespace {

const char* name_of(ServerState state) {
  switch (state) {
    case ServerState::kLoading:
      return "loading";
    case ServerState::kReady:
      return "ok";
    case ServerState::kDraining:
      return "draining";
  }
  return "?";
}

api::ServedModel described(const ServedModel& model) {
  api::ServedModel served{.id = model.id,
                          .created = model.created,
                          .context_tokens = model.engine->context_tokens(),
                          .image_tokens = model.image_rows()};
  if (model.image_rows() > 0) served.input_modalities.emplace_back("image");
  return served;
}

}  // namespace

void respond_json(const Call& call, std::string body) {
  call.exchange->respond(
      {.status = 200,
       .headers = {{"content-type", "application/json"}, {"x-request-id", call.request_id}},
       .body = std::move(body)});
}

void Handlers::models(ApiServer& server, Call call) {
  std::vector<api::ServedModel> models;
  if (server.state() != ServerState::kLoading) models.push_back(described(*server.model()));
  respond_json(call, api::models_body(models));
}

void Handlers::model(ApiServer& server, Call call) {
  if (server.state() != ServerState::kLoading && call.path_tail == server.model()->id) {
    return respond_json(call, api::model_body(described(*server.model())));
  }
  api::ApiError error;
  error.status = 404;
  error.code = "model_not_found";
  error.param = "model";
  error.message = fmt::format("there is no model \"{}\" here: GET /v1/models lists what there is",
                              call.path_tail.substr(0, 100));
  respond_error(*call.exchange, error, api::ErrorShape::kOpenAi, call.request_id);
}

void Handlers::cards_events(ApiServer& server, Call call) { server.cards_->add(call.exchange); }

void Handlers::health_live(ApiServer& /*server*/, Call call) {
  respond_json(call, R"({"status":"ok"})");
}

void Handlers::health_ready(ApiServer& server, Call call) {
  ServerState state = server.state();
  std::string text = name_of(state);
  if (state == ServerState::kReady && server.model()->engine->lost()) text = "failed";
  const std::string loaded = state == ServerState::kLoading
                                 ? fmt::format(R"(,"loaded":{:.3f})", server.loaded_.load())
                                 : std::string();
  http::Response response{
      .status = text == "ok" ? 200 : 503,
      .headers = {{"content-type", "application/json"}, {"x-request-id", call.request_id}},
      .body = fmt::format(R"({{"status":"{}"{}}})", text, loaded)};
  if (response.status == 503) response.headers.emplace_back("retry-after", "1");
  call.exchange->respond(std::move(response));
}

void Handlers::metrics(ApiServer& server, Call call) {
  const ServedModel* model = server.state() == ServerState::kLoading ? nullptr : server.model();
  Metrics::Sources sources;
  sources.engine = [model] { return model != nullptr ? model->engine->stats() : EngineStats(); };
  sources.http = [&server] { return server.http_->stats(); };
  sources.version = server.options_.version;
  if (model != nullptr) {
    sources.isa = model->cards.isa;
    sources.cache = {.block_size = model->cards.block_size,
                     .kv_cache = model->cards.kv_cache,
                     .num_picture_slots = model->cards.num_picture_slots};
    sources.memory = &model->memory;
  }
  call.exchange->respond({.status = 200,
                          .headers = {{"content-type", "text/plain; version=0.0.4; charset=utf-8"}},
                          .body = server.metrics_.text(sources)});
}

void Handlers::version(ApiServer& server, Call call) {
  respond_json(call, json::serialize(
                         json::object{{"name", "cardloom"}, {"version", server.options_.version}}));
}

void Handlers::props(ApiServer& server, Call call) {
  const ApiServerOptions& options = server.options_;
  json::object props{{"model", options.model_id},
                     {"version", options.version},
                     {"status", name_of(server.state())},
                     {"auth", !server.keys_->empty()}};
  if (server.state() != ServerState::kLoading) {
    const ServedModel& model = *server.model();
    props["context_tokens"] = model.engine->context_tokens();
    props["image_tokens"] = model.image_rows();
    props["tp"] = model.cards.tp;
    props["threads_per_card"] = model.cards.threads_per_card;
    props["isa"] = model.cards.isa;
    props["dtype"] = model.cards.dtype;
    props["weights"] = model.cards.weights;
    props["kv_cache"] = model.cards.kv_cache;
    props["num_picture_slots"] = model.cards.num_picture_slots;
    props["memory"] = memory_json(model.memory);
  }
  const api::RequestLimits& limits = options.limits;
  props["settings"] = options.settings;
  props["limits"] = json::object{{"max_images", limits.max_images},
                                 {"max_image_bytes", limits.max_image_bytes},
                                 {"max_image_pixels", options.max_image_pixels},
                                 {"max_total_pixels", options.max_total_pixels},
                                 {"max_body_bytes", options.max_body_bytes},
                                 {"max_messages", limits.max_messages},
                                 {"max_tools", limits.max_tools},
                                 {"max_schema_bytes", limits.max_schema_bytes},
                                 {"max_stop", limits.max_stop},
                                 {"max_stop_bytes", limits.max_stop_bytes},
                                 {"max_n", limits.max_n},
                                 {"max_prompts", limits.max_prompts},
                                 {"max_tokens", limits.max_tokens},
                                 {"max_json_depth", api::kMaxJsonDepth},
                                 {"max_schema_states", GrammarLimits().max_states},
                                 {"max_queue", options.max_queue},
                                 {"max_per_key", options.max_per_key},
                                 {"max_pending_images", options.max_pending_images},
                                 {"max_pending_bytes", options.http.max_pending_body_bytes},
                                 {"max_connections", options.http.max_connections},
                                 {"max_header_bytes", options.http.max_header_bytes},
                                 {"max_headers", options.http.max_headers}};
  respond_json(call, json::serialize(props));
}

void Handlers::page(ApiServer& /*server*/, Call call) {
  const WebFile& file = *find_web_file(call.exchange->head().path.substr(1));
  http::Headers headers = {
      {"content-type", std::string(file.content_type)},
      {"etag", std::string(file.etag)},
      {"cache-control", file.immutable ? "public, max-age=31536000, immutable" : "no-cache"},
      {"vary", "accept-encoding"},
      {"content-security-policy", std::string(kContentSecurityPolicy)},
      {"x-content-type-options", "nosniff"},
      {"referrer-policy", "no-referrer"}};
  if (http::find_header(call.exchange->head().headers, "if-none-match") == file.etag) {
    return call.exchange->respond({.status = 304, .headers = std::move(headers), .body = {}});
  }
  const bool packed =
      accepts_gzip(http::find_header(call.exchange->head().headers, "accept-encoding"));
  if (packed) headers.emplace_back("content-encoding", "gzip");
  call.exchange->respond({.status = 200,
                          .headers = std::move(headers),
                          .body = packed ? std::string(file.gzip) : unpacked(file)});
}

}  // namespace cardloom::server
