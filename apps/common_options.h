#pragma once

#include <cstdint>
#include <string>

namespace cardloom::app {

/// What every command takes.
struct CommonOptions {
  std::string model{};  ///< the checkpoint's folder
  std::int64_t tp = 1;
  std::string dtype = "bf16";
  std::string weights{};         ///< format of the text model's; "": as dtype
  std::string vision_weights{};  ///< likewise
  std::string kv_cache{};        ///< likewise
  std::string isa{};             ///< "": CARDLOOM_ISA, or else the fastest
  std::int64_t threads = 0;      ///< of a card; 0: share the cores
  std::int64_t context = 0;      ///< tokens; 0: the model's own limit
  std::int64_t max_image_pixels = 64'000'000;
  bool exif_rotate = false;
  std::int64_t chunk = 512;  ///< prompt rows of a step
  std::string vision_cut = "auto";
  bool quiet = false;
  bool json = false;
};

struct SamplingOptions {
  double temperature = 0;
  double top_p = 1;
  std::int64_t top_k = 0;
  double repetition_penalty = 1;
  std::uint64_t seed = 0;
};

}  // namespace cardloom::app
