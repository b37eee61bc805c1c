#include "cardloom/server/routes.h"

#include <array>

#include "cardloom/server/handlers.h"
#include "web/web_files.h"

namespace cardloom::server {
namespace {

using api::ErrorShape;

/// Every endpoint there is. What is not here is 404, and what is not marked open needs a key.
constexpr std::array kRoutes = {
    Route{"POST", "/v1/chat/completions", "chat_completions", false, true, ErrorShape::kOpenAi,
          &Handlers::chat_completions},
    Route{"POST", "/v1/chat/completions/render", "render", false, true, ErrorShape::kOpenAi,
          &Handlers::render},
    Route{"POST", "/apply-template", "render", false, true, ErrorShape::kOpenAi, &Handlers::render},
    Route{"POST", "/v1/completions", "completions", false, true, ErrorShape::kOpenAi,
          &Handlers::completions},
    Route{"POST", "/v1/responses", "responses", false, true, ErrorShape::kOpenAi,
          &Handlers::responses},
    Route{"POST", "/v1/messages", "messages", false, true, ErrorShape::kAnthropic,
          &Handlers::messages},
    Route{"POST", "/v1/messages/count_tokens", "count_tokens", false, true, ErrorShape::kAnthropic,
          &Handlers::count_tokens},
    Route{"GET", "/v1/models", "models", false, false, ErrorShape::kOpenAi, &Handlers::models},
    Route{"GET", "/v1/models/", "model", false, false, ErrorShape::kOpenAi, &Handlers::model},
    Route{"GET", "/v1/cards/events", "cards_events", false, true, ErrorShape::kOpenAi,
          &Handlers::cards_events},
    Route{"POST", "/tokenize", "tokenize", false, true, ErrorShape::kOpenAi, &Handlers::tokenize},
    Route{"POST", "/detokenize", "detokenize", false, true, ErrorShape::kOpenAi,
          &Handlers::detokenize},
    Route{"GET", "/health/live", "health_live", true, false, ErrorShape::kOpenAi,
          &Handlers::health_live},
    Route{"GET", "/health/ready", "health_ready", false, false, ErrorShape::kOpenAi,
          &Handlers::health_ready},
    Route{"GET", "/health", "health", false, false, ErrorShape::kOpenAi, &Handlers::health_ready},
    Route{"GET", "/metrics", "metrics", false, false, ErrorShape::kOpenAi, &Handlers::metrics},
    Route{"GET", "/version", "version", false, false, ErrorShape::kOpenAi, &Handlers::version},
    Route{"GET", "/props", "props", false, false, ErrorShape::kOpenAi, &Handlers::props},
};

/// Of every file of the page. It holds no secrets, and a browser has no key to send before it is
/// there.
constexpr Route kPage = {"GET", "/", "page", true, false, ErrorShape::kOpenAi, &Handlers::page};

bool path_fits(const Route& route, std::string_view path) {
  const std::string_view pattern = route.path;
  if (pattern.size() > 1 && pattern.back() == '/') {
    return path.size() > pattern.size() && path.starts_with(pattern);
  }
  return path == pattern;
}

}  // namespace

const Route* find_route(std::string_view method, std::string_view path, bool& method_fits) {
  method_fits = false;
  const auto fits = [&](const Route& route) {
    // HEAD is GET without the body, which the transport leaves out.
    return method == route.method || (method == "HEAD" && route.method[0] == 'G');
  };
  const Route* found = nullptr;
  for (const Route& route : kRoutes) {
    if (!path_fits(route, path)) continue;
    found = &route;
    method_fits = fits(route);
    if (method_fits) return found;
  }
  if (found == nullptr && path.starts_with('/') && find_web_file(path.substr(1)) != nullptr) {
    found = &kPage;
    method_fits = fits(kPage);
  }
  return found;
}

}  // namespace cardloom::server
