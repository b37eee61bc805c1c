// The options of `serve`.
#include "apps/cli_table.h"

namespace cardloom::app {
namespace {

void add_address(CLI::App& command, ServeOptions& options) {
  const char* group = "Address";
  command.add_option("--host", options.host, "address to listen on")
      ->capture_default_str()
      ->type_name("ADDRESS")
      ->group(group);
  command.add_option("--port", options.port, "port to listen on; 0: any free one")
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command.add_option("--uds", options.unix_socket, "listen on a unix socket instead")
      ->type_name("PATH")
      ->group(group);
  command.add_option("--tls-cert", options.tls_certificate, "certificate chain: HTTPS")
      ->type_name("PEM")
      ->group(group);
  command.add_option("--tls-key", options.tls_key, "its private key")
      ->type_name("PEM")
      ->group(group);
  command
      .add_option("--allowed-host", options.allowed_hosts,
                  "a Host name to answer to beside localhost; may be repeated")
      ->allow_extra_args(false)
      ->type_name("NAME")
      ->group(group);
}

void add_keys(CLI::App& command, ServeOptions& options) {
  const char* group = "Keys";
  command
      .add_option("--api-key", options.api_keys,
                  "a key that opens the server; may be repeated. Others on this machine see it: "
                  "CARDLOOM_API_KEYS or a file hide it")
      ->allow_extra_args(false)
      ->type_name("KEY")
      ->group(group);
  command
      .add_option("--api-key-file", options.api_key_file, "keys, one a line; SIGHUP reads again")
      ->type_name("FILE")
      ->group(group);
  command
      .add_flag("--insecure-no-auth", options.insecure_no_auth,
                "listen on a public address without any key")
      ->group(group);
}

void add_capacity(CLI::App& command, ServeOptions& options) {
  const char* group = "Capacity";
  const auto number = [&](const char* name, std::int64_t& value, const char* help) {
    command.add_option(name, value, help)->capture_default_str()->type_name("N")->group(group);
  };
  number("--max-running", options.max_running, "sequences that run at once");
  number("--max-queue", options.max_queue, "sequences that wait; beyond: 429");
  number("--max-per-key", options.max_per_key,
         "requests of one API key under way; beyond: 429; 0: any number");
  number("--max-pending-images", options.max_pending_images,
         "pictures of all requests that are read, wait or run; beyond: 429");
  number("--max-pending-bytes", options.max_pending_bytes,
         "bytes of all requests' bodies that are read or wait; beyond: 503");
  number("--kv-tokens", options.kv_tokens,
         "tokens of KV cache for all sequences; 0: four whole contexts");
  number("--picture-cache-bytes", options.picture_cache_bytes,
         "of encoded pictures on each card, at least those of one context; 0: those that the KV "
         "cache can show");
  number("--io-threads", options.io_threads, "threads that talk to clients");
  number("--task-threads", options.task_threads, "threads, and processes, for pictures");
  number("--max-connections", options.max_connections, "open at once");
  command
      .add_option(
          "--speculate", options.speculate,
          "guess tokens ahead by looking them up in the text: off or ngram; the answers are "
          "the same")
      ->check(choices("off ngram"))
      ->capture_default_str()
      ->type_name("HOW")
      ->group(group);
}

void add_limits(CLI::App& command, ServeOptions& options) {
  const char* group = "Limits of a request";
  const auto number = [&](const char* name, std::int64_t& value, const char* help) {
    command.add_option(name, value, help)->capture_default_str()->type_name("N")->group(group);
  };
  number("--max-body-bytes", options.max_body_bytes, "of the whole request");
  number("--max-header-bytes", options.max_header_bytes, "of the request's line and headers");
  number("--max-headers", options.max_headers, "of a request");
  number("--max-messages", options.limits.max_messages, "of a conversation");
  number("--max-images", options.limits.max_images, "of a conversation");
  number("--max-image-bytes", options.limits.max_image_bytes, "of one picture's file");
  number("--max-total-pixels", options.max_total_pixels, "of all pictures together");
  number("--max-tools", options.limits.max_tools, "offered to the model");
  number("--max-schema-bytes", options.limits.max_schema_bytes, "of a JSON schema");
  number("--max-stop", options.limits.max_stop, "stop strings, and stop ids");
  number("--max-stop-bytes", options.limits.max_stop_bytes, "of a stop string");
  number("--max-n", options.limits.max_n, "choices");
  number("--max-prompts", options.limits.max_prompts, "of one completion");
  number("--max-tokens", options.limits.max_tokens, "of an answer; 0: the context");
  command
      .add_flag("--strict", options.limits.strict, "refuse unknown fields instead of naming them")
      ->group(group);
}

void add_pictures(CLI::App& command, ServeOptions& options) {
  const char* group = "Pictures by URL";
  command.add_option("--media-root", options.media_root, "file: URLs name files below this folder")
      ->type_name("DIR")
      ->group(group);
  command
      .add_option("--fetch-images", options.fetch_images,
                  "fetch http and https URLs: off, allowed (hosts of --image-host), public")
      ->check(choices("off allowed public"))
      ->capture_default_str()
      ->type_name("HOW")
      ->group(group);
  command
      .add_option(
          "--image-host", options.image_hosts,
          "a host to fetch from, at a public address, or host:port, at any; may be repeated")
      ->allow_extra_args(false)
      ->type_name("HOST")
      ->group(group);
}

}  // namespace

void define_serve(CLI::App& app, ServeOptions& options, std::function<int()>& chosen) {
  CLI::App& command = add_command(
      app, "serve", "answer OpenAI's and Anthropic's clients, with a page to chat on",
      "  cardloom serve glm-4v-9b --tp 2\n"
      "  cardloom serve glm-4v-9b --host 0.0.0.0 --api-key-file keys.txt\n"
      "Then: http://127.0.0.1:8000 in a browser, or any OpenAI client with the base URL\n"
      "http://127.0.0.1:8000/v1. SIGTERM: finish what is under way, then end; a second\n"
      "one ends at once. SIGHUP: read keys and certificate again.\n");
  add_common(command, options.common);
  command.add_option("--model-name", options.model_name, "what clients call the model")
      ->type_name("NAME");
  add_address(command, options);
  add_keys(command, options);
  add_capacity(command, options);
  add_limits(command, options);
  add_pictures(command, options);
  command
      .add_option("--metrics-alias", options.metrics_alias,
                  "use another server's metric names too: vllm")
      ->check(choices("vllm"))
      ->type_name("NAME");
  command
      .add_option("--shutdown-timeout", options.shutdown_timeout,
                  "seconds that answers under way may take after SIGTERM")
      ->capture_default_str()
      ->type_name("S");
  command.add_option("--ping-interval", options.ping_interval, "seconds between signs of life")
      ->capture_default_str()
      ->type_name("S");
  command.callback([&options, &chosen] { chosen = [&options] { return run_serve(options); }; });
}

void define_bench_serve(CLI::App& bench, BenchServeOptions& options, std::function<int()>& chosen) {
  CLI::App& command = add_command(
      bench, "serve", "send a load to a running server: waiting times, throughput",
      "  cardloom bench serve --requests 200 --concurrency 32 --decode 64\n"
      "  cardloom bench serve --trace conv.csv --requests 500 --speed 4 --html load.html\n"
      "Works with every server that speaks OpenAI's chat completions.\n");
  const auto number = [&](const char* name, auto& value, const char* help) {
    command.add_option(name, value, help)->capture_default_str()->type_name("N");
  };
  command.add_option("--url", options.url, "the server")->capture_default_str()->type_name("URL");
  command.add_option("--api-key", options.api_key, "its key")->type_name("KEY");
  command.add_option("--model", options.model, "the model to ask for")->type_name("NAME");
  command
      .add_option("--trace", options.trace,
                  "arrivals and lengths: a CSV TIMESTAMP,ContextTokens,GeneratedTokens")
      ->type_name("FILE");
  number("--requests", options.requests, "how many; of a trace the first so many, 0: all");
  number("--rate", options.rate, "arrivals a second, at random; 0: all at once");
  number("--prompt", options.prompt, "tokens of a prompt, about");
  number("--decode", options.decode, "tokens of an answer");
  command.add_option("-i,--image", options.image, "show this picture with each")->type_name("FILE");
  command.add_flag("--shared-prefix", options.shared_prefix, "prompts begin alike");
  number("--concurrency", options.concurrency, "under way at most; 0: any number");
  number("--speed", options.speed, "arrivals come so many times faster");
  number("--shrink", options.shrink, "prompts and answers are so many times shorter");
  number("--good-first-token", options.good_first_token_ms, "ms: a good reply's first token");
  number("--good-gap", options.good_gap_ms, "ms: a good reply's mean time between tokens");
  number("--timeout", options.timeout, "seconds until a request counts as failed");
  number("--seed", options.seed, "of the arrivals");
  command.add_option("--html", options.html, "write a report with plots")->type_name("FILE");
  command.add_flag("--json", options.json, "one JSON object on stdout");
  command.callback(
      [&options, &chosen] { chosen = [&options] { return run_bench_serve(options); }; });
}

}  // namespace cardloom::app
