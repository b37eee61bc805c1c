#pragma once

#include <memory>
#include <string>
#include <variant>

#include "cardloom/server/api_server.h"
#include "cardloom/server/generation.h"
#include "cardloom/server/routes.h"

namespace cardloom::server {

/// What answers each route; called on the exchange's I/O thread.
struct Handlers {
  static void chat_completions(ApiServer& server, Call call);
  static void completions(ApiServer& server, Call call);
  static void responses(ApiServer& server, Call call);
  static void messages(ApiServer& server, Call call);
  static void count_tokens(ApiServer& server, Call call);
  static void tokenize(ApiServer& server, Call call);
  static void render(ApiServer& server, Call call);
  static void detokenize(ApiServer& server, Call call);

  static void models(ApiServer& server, Call call);
  static void model(ApiServer& server, Call call);
  static void cards_events(ApiServer& server, Call call);
  static void health_live(ApiServer& server, Call call);
  static void health_ready(ApiServer& server, Call call);
  static void metrics(ApiServer& server, Call call);
  static void version(ApiServer& server, Call call);
  static void props(ApiServer& server, Call call);
  static void page(ApiServer& server, Call call);

 private:
  struct GenerationApi;
  static void generate(ApiServer& server, Call call, const GenerationApi& api);
  static std::variant<std::shared_ptr<Generation>, api::ApiError> make_generation(
      ApiServer& server, const Call& call, const GenerationApi& api,
      std::variant<PreparedRequest, api::ApiError> prepared);
  /// Runs `work` on a task thread; if too many wait already, the call is refused.
  static void post_task(ApiServer& server, const Call& call, api::ErrorShape shape,
                        std::function<void()> work);
  static void run_task(ApiServer& server, const Call& call, api::ErrorShape shape,
                       const std::function<void()>& work);
};

/// Answers 200 with a JSON text.
void respond_json(const Call& call, std::string body);

}  // namespace cardloom::server
