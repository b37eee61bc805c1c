#include <fmt/format.h>

#include <cstdio>

#include "apps/commands.h"
#include "apps/session.h"
#include "apps/text.h"
#include "cardloom/weights/safetensors_writer.h"

namespace cardloom::app {

int run_preprocess(const PreprocessOptions& options) {
  check_common(options.common);
  Checkpoint checkpoint;
  checkpoint.directory = open_directory(options.common.model);
  const LoadedPicture picture = load_picture(options.image, checkpoint, options.common);
  const TensorView& view = picture.pixel_values;
  unwrap(write_safetensors(options.out, {{"pixel_values", view}}, {{"image", options.image}}),
         kExitFailed);
  if (options.common.json) {
    print_json(json::object{{"out", options.out},
                            {"shape", {view.shape[0], view.shape[1], view.shape[2]}},
                            {"timings_ms",
                             {{"decode_picture", milliseconds(picture.decode)},
                              {"preprocess", milliseconds(picture.preprocess)}}}});
  } else {
    std::fputs(fmt::format("{}: pixel_values f32[{}, {}, {}] (decode {}, preprocess {})\n",
                           options.out, view.shape[0], view.shape[1], view.shape[2],
                           duration_text(picture.decode), duration_text(picture.preprocess))
                   .c_str(),
               stdout);
  }
  return kExitOk;
}

}  // namespace cardloom::app
