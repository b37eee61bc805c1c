// The endpoints that read a request's body: parsing, pictures and grammars go to a task thread.
#include <fmt/format.h>

#include <exception>
#include <new>
#include <random>
#include <utility>

#include "cardloom/api/small_requests.h"
#include "cardloom/server/handlers.h"
#include "cardloom/server/json_size.h"
#include "cardloom/server/prompt_builder.h"

namespace cardloom::server {
namespace {

using api::ApiError;
using api::ErrorShape;

std::uint64_t random_seed() {
  static thread_local std::mt19937_64 generator{std::random_device{}()};
  return generator();
}

/// A model's name that is not the one served is an error: an answer from another would be worse.
std::optional<ApiError> check_model(const ServedModel& model, const std::string& name) {
  if (name.empty() || name == model.id) return std::nullopt;
  ApiError error;
  error.status = 404;
  error.code = "model_not_found";
  error.param = "model";
  error.message = fmt::format("there is no model \"{}\" here: ask for \"{}\" or leave it out",
                              name.substr(0, 100), model.id);
  return error;
}

ApiError too_many_pictures(std::int64_t limit) {
  return api::api_error_of(
      make_error(ErrorCode::kResourceExhausted,
                 fmt::format("other requests hold the {} pictures that may be held at once", limit),
                 {}, "try again in a moment"));
}

ApiError too_many_copies(std::int64_t count, std::int64_t limit) {
  ApiError error = api::invalid(
      "n",
      fmt::format("n times the pictures is {}, but {} pictures may be held at once: ask for "
                  "fewer choices or show fewer pictures",
                  count, limit),
      "request_too_large");
  error.status = 413;
  return error;
}

ApiError too_many_values() {
  ApiError error;
  error.status = 413;
  error.type = "invalid_request_error";
  error.code = "request_too_large";
  error.message =
      fmt::format("the body has more than {} JSON values, which is the most: send a shorter one",
                  kMaxJsonValues);
  return error;
}

/// Parses and prepares; what comes back runs on the I/O thread.
template <class Value>
void respond_on_io(const Call& call, ErrorShape shape, std::variant<Value, ApiError> result,
                   std::function<void(Value)> answer) {
  auto shared = std::make_shared<std::variant<Value, ApiError>>(std::move(result));
  call.exchange->post([call, shape, shared, answer = std::move(answer)] {
    if (call.exchange->gone()) return;
    if (const auto* error = std::get_if<ApiError>(shared.get())) {
      return respond_error(*call.exchange, *error, shape, call.request_id);
    }
    answer(std::move(std::get<Value>(*shared)));
  });
}

}  // namespace

/// One of the four ways to ask for text.
struct Handlers::GenerationApi {
  api::ParsedRequest (*parse)(std::string_view body, const api::RequestLimits& limits);
  ReplyShape shape;
};

/// Whatever a task throws, memory that ran out above all, is this request's error: beyond here it
/// would end the program.
void Handlers::run_task(ApiServer& server, const Call& call, ErrorShape shape,
                        const std::function<void()>& work) {
  const auto answer = [&](const ApiError& error) {
    respond_error(*call.exchange, error, shape, call.request_id);
  };
  try {
    if (has_more_json_values(call.exchange->body(), kMaxJsonValues)) {
      server.metrics_.observe_rejection("request_too_large");
      return answer(too_many_values());
    }
    work();
  } catch (const Exception& failure) {
    answer(api::api_error_of(failure.error()));
  } catch (const std::bad_alloc&) {
    answer(api::api_error_of(make_error(ErrorCode::kResourceExhausted, "memory ran out")));
  } catch (const std::exception& failure) {
    answer(api::api_error_of(
        make_error(ErrorCode::kInternal, "a request could not be read", failure.what())));
  }
}

void Handlers::post_task(ApiServer& server, const Call& call, ErrorShape shape,
                         std::function<void()> work) {
  if (server.tasks_->try_post([&server, call, shape, work = std::move(work)] {
        run_task(server, call, shape, work);
      })) {
    return;
  }
  server.metrics_.observe_rejection("tasks_full");
  respond_error(*call.exchange,
                api::api_error_of(make_error(
                    ErrorCode::kResourceExhausted,
                    fmt::format("{} requests are being read already", server.options_.max_queue),
                    {}, "try again in a moment")),
                shape, call.request_id);
}

/// Still on the task thread: pictures are hashed here, which would hold up all streams elsewhere.
std::variant<std::shared_ptr<Generation>, ApiError> Handlers::make_generation(
    ApiServer& server, const Call& call, const GenerationApi& api,
    std::variant<PreparedRequest, ApiError> prepared) {
  if (auto* error = std::get_if<ApiError>(&prepared)) return std::move(*error);
  auto generation = std::make_shared<Generation>(server.home(*call.exchange), call.exchange,
                                                 std::get<PreparedRequest>(std::move(prepared)),
                                                 api.shape, call.request_id, call.arrived);
  if (auto error = generation->prepare()) return *std::move(error);
  return generation;
}

void Handlers::generate(ApiServer& server, Call call, const GenerationApi& api) {
  // First of all, on the I/O thread: what is refused anyway must neither wait for those who are
  // being read nor cost what they cost.
  if (const Status status = server.model()->engine->accepts(); !status) {
    server.metrics_.observe_rejection(to_string(status.error().code));
    return respond_error(*call.exchange, api::api_error_of(status.error()), api.shape.error,
                         call.request_id);
  }
  post_task(server, call, api.shape.error, [&server, call, api] {
    const ServedModel& model = *server.model();
    auto prepare = [&]() -> std::variant<PreparedRequest, ApiError> {
      api::ParsedRequest parsed = api.parse(call.exchange->body(), server.options_.limits);
      if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
      auto& request = std::get<api::GenerationRequest>(parsed);
      if (auto error = check_model(model, request.model)) return *std::move(error);
      if (!request.has_seed) request.sampling.seed = random_seed();
      request.cache_salt += "\n" + call.key_name;  // one key's owner cannot probe another's cache
      // Each choice holds its own.
      const auto num_pictures = static_cast<std::int64_t>(request.pictures.size()) * request.n;
      if (const std::int64_t most = server.options_.max_pending_images; num_pictures > most) {
        return too_many_copies(num_pictures, most);
      }
      std::shared_ptr<void> room = server.pictures_->try_take(num_pictures);
      if (!room) return too_many_pictures(server.options_.max_pending_images);
      auto prepared = prepare_request(model, std::move(request));
      if (auto* ready = std::get_if<PreparedRequest>(&prepared)) {
        ready->picture_room = std::move(room);
      }
      return prepared;
    };
    std::variant<PreparedRequest, ApiError> prepared = prepare();
    call.exchange->release_body();
    respond_on_io<std::shared_ptr<Generation>>(
        call, api.shape.error, make_generation(server, call, api, std::move(prepared)),
        [](const std::shared_ptr<Generation>& generation) { generation->start(); });
  });
}

void Handlers::chat_completions(ApiServer& server, Call call) {
  generate(server, std::move(call),
           {&api::parse_chat_completion, {&api::make_chat_completion_writer, ErrorShape::kOpenAi}});
}

void Handlers::completions(ApiServer& server, Call call) {
  generate(server, std::move(call),
           {&api::parse_completion, {&api::make_completion_writer, ErrorShape::kOpenAi}});
}

void Handlers::responses(ApiServer& server, Call call) {
  generate(server, std::move(call),
           {&api::parse_responses, {&api::make_responses_writer, ErrorShape::kOpenAi}});
}

void Handlers::messages(ApiServer& server, Call call) {
  const auto parse = [](std::string_view body, const api::RequestLimits& limits) {
    return api::parse_messages(body, limits);
  };
  generate(server, std::move(call), {parse, {&api::make_messages_writer, ErrorShape::kAnthropic}});
}

void Handlers::count_tokens(ApiServer& server, Call call) {
  post_task(server, call, ErrorShape::kAnthropic, [&server, call] {
    auto count = [&]() -> std::variant<TokenCount, ApiError> {
      api::ParsedRequest parsed =
          api::parse_messages(call.exchange->body(), server.options_.limits, /*counting=*/true);
      if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
      return cardloom::server::count_tokens(*server.model(),
                                            std::get<api::GenerationRequest>(std::move(parsed)));
    };
    respond_on_io<TokenCount>(call, ErrorShape::kAnthropic, count(), [call](const TokenCount& n) {
      respond_json(call, fmt::format(R"({{"input_tokens":{}}})", n.rows));
    });
  });
}

void Handlers::tokenize(ApiServer& server, Call call) {
  post_task(server, call, ErrorShape::kOpenAi, [&server, call] {
    const ServedModel& model = *server.model();
    auto tokenize = [&]() -> std::variant<std::string, ApiError> {
      auto parsed = api::parse_tokenize(call.exchange->body(), server.options_.limits);
      if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
      auto& request = std::get<api::TokenizeRequest>(parsed);
      if (auto error = check_model(model, request.request.model)) return *std::move(error);
      auto counted = cardloom::server::count_tokens(model, std::move(request.request),
                                                    request.add_special_tokens);
      if (auto* error = std::get_if<ApiError>(&counted)) return std::move(*error);
      auto& count = std::get<TokenCount>(counted);
      api::TokenizeReply reply{.tokens = std::move(count.ids),
                               .token_strings = {},
                               .count = count.rows,
                               .image_tokens = count.image_rows,
                               .context_tokens = model.engine->context_tokens()};
      for (const std::int32_t id : reply.tokens) {
        if (!request.return_token_strings) break;
        reply.token_strings.emplace_back(spelling_of(*model.tokenizer, id));
      }
      return api::tokenize_body(reply, request.return_token_strings);
    };
    respond_on_io<std::string>(call, ErrorShape::kOpenAi, tokenize(),
                               [call](std::string body) { respond_json(call, std::move(body)); });
  });
}

void Handlers::render(ApiServer& server, Call call) {
  post_task(server, call, ErrorShape::kOpenAi, [&server, call] {
    auto render = [&]() -> std::variant<std::string, ApiError> {
      auto parsed = api::parse_chat_completion(call.exchange->body(), server.options_.limits);
      if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
      auto& request = std::get<api::GenerationRequest>(parsed);
      if (auto error = check_model(*server.model(), request.model)) return *std::move(error);
      const auto rendered = render_prompt(*server.model(), std::move(request));
      if (const auto* error = std::get_if<ApiError>(&rendered)) return *error;
      return api::render_body(std::get<api::RenderReply>(rendered));
    };
    respond_on_io<std::string>(call, ErrorShape::kOpenAi, render(),
                               [call](std::string body) { respond_json(call, std::move(body)); });
  });
}

void Handlers::detokenize(ApiServer& server, Call call) {
  post_task(server, call, ErrorShape::kOpenAi, [&server, call] {
    const ServedModel& model = *server.model();
    auto detokenize = [&]() -> std::variant<std::string, ApiError> {
      auto parsed = api::parse_detokenize(call.exchange->body(), server.options_.limits);
      if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
      const auto& request = std::get<api::DetokenizeRequest>(parsed);
      if (auto error = check_model(model, request.model)) return *std::move(error);
      return api::detokenize_body(model.tokenizer->decode(request.tokens));
    };
    respond_on_io<std::string>(call, ErrorShape::kOpenAi, detokenize(),
                               [call](std::string body) { respond_json(call, std::move(body)); });
  });
}

}  // namespace cardloom::server
