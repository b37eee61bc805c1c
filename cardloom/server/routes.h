#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "cardloom/api/api_error.h"
#include "cardloom/http/http_server.h"

namespace cardloom::server {

class ApiServer;

/// A request on its way to its handler.
struct Call {
  std::shared_ptr<http::Exchange> exchange;
  std::string request_id;
  std::string key_name;   ///< whose key it was; "": nobody's
  std::string path_tail;  ///< what a prefix route leaves of the path
  std::chrono::steady_clock::time_point arrived;
};

/// One endpoint.
struct Route {
  const char* method;
  const char* path;          ///< ends with '/': everything below
  const char* name;          ///< in metrics
  bool is_open = false;      ///< without a key
  bool needs_model = false;  ///< 503 until it is loaded, and while draining
  api::ErrorShape shape = api::ErrorShape::kOpenAi;
  void (*handle)(ApiServer&, Call) = nullptr;
};

/// The route of a request; nullptr if the path is unknown. `method_fits`: whether the path is right
/// and only the method is not (then any route of the path is returned).
[[nodiscard]] const Route* find_route(std::string_view method, std::string_view path,
                                      bool& method_fits);

}  // namespace cardloom::server
