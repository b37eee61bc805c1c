#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/common_options.h"
#include "cardloom/api/generation_request.h"

/// Options of the server, and of the load that is sent to one.
namespace cardloom::app {

struct BenchServeOptions {
  std::string url = "http://127.0.0.1:8000";
  std::string api_key;
  std::string model;
  std::string trace;  ///< a CSV of arrivals; "": made by the four below
  std::int64_t requests = 100;
  double rate = 0;  ///< a second; 0: all at once
  std::int64_t prompt = 64;
  std::int64_t decode = 32;
  std::string image;
  bool shared_prefix = false;
  std::int64_t concurrency = 0;
  double speed = 1;
  double shrink = 1;
  double good_first_token_ms = 2000;
  double good_gap_ms = 200;
  std::int64_t timeout = 600;  ///< seconds, of one request
  std::int64_t seed = 1;
  std::string html;
  bool json = false;
};

struct ServeOptions {
  CommonOptions common{.max_image_pixels = 40'000'000};  ///< strangers' pictures
  std::string model_name;  ///< what clients call it; "": the folder's name
  std::string host = "127.0.0.1";
  std::int64_t port = 8000;
  std::string unix_socket;
  std::string tls_certificate;
  std::string tls_key;
  std::vector<std::string> api_keys;
  std::string api_key_file;
  bool insecure_no_auth = false;
  std::vector<std::string> allowed_hosts;
  std::int64_t io_threads = 2;
  std::int64_t task_threads = 2;
  std::int64_t max_connections = 8192;
  std::int64_t max_running = 64;  ///< sequences
  std::int64_t max_queue = 256;
  std::int64_t max_pending_images = 64;
  std::int64_t max_total_pixels = 120'000'000;  ///< of a request
  std::int64_t max_per_key = 0;                 ///< requests of one API key; 0: any number
  std::int64_t max_pending_bytes = 256 << 20;
  std::int64_t kv_tokens = 0;            ///< of all sequences together; 0: four whole contexts
  std::int64_t picture_cache_bytes = 0;  ///< a card; 0: the pictures that the KV cache can show
  std::int64_t max_body_bytes = 64 << 20;
  std::int64_t max_header_bytes = 16 << 10;
  std::int64_t max_headers = 100;
  api::RequestLimits limits;
  std::string media_root;
  std::string fetch_images = "off";
  std::vector<std::string> image_hosts;
  std::string speculate = "off";
  std::string metrics_alias;
  std::int64_t shutdown_timeout = 30;  ///< seconds
  std::int64_t ping_interval = 15;     ///< seconds
};

}  // namespace cardloom::app
