#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "cardloom/base/json.h"
#include "cardloom/base/result.h"

/// What end-to-end tests share: where the committed data is, and checkpoints to break.
namespace cardloom::e2e {

inline const std::string kSource = CARDLOOM_SOURCE_DIR;
inline const std::string kNano = kSource + "/demo/glm-4v-nano";
inline const std::string kPictures = kSource + "/demo/pictures";
inline const std::string kTiny = kSource + "/tests/golden/tiny";

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline json::value parse(const std::string& text) {
  return parse_json(text, "test data").value_or_throw();
}

inline json::value golden() { return parse(read_text(kTiny + "/golden.json")); }

/// "1 2 3" of a JSON list of numbers.
inline std::string spaced(const json::value& ids) {
  std::string text;
  for (const json::value& id : ids.as_array()) {
    text += (text.empty() ? "" : " ") + std::to_string(id.to_number<std::int64_t>());
  }
  return text;
}

/// A folder that is gone with this object.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "cardloom-e2e-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw_error(ErrorCode::kInternal, "no temporary folder");
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

  /// Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& text) const {
    write_text(file(name), text);
    return file(name);
  }
  /// Puts a copy of the tiny golden checkpoint here.
  void copy_tiny() const {
    for (const auto& entry : std::filesystem::directory_iterator(kTiny + "/ckpt")) {
      std::filesystem::copy_file(entry.path(), file(entry.path().filename().string()));
    }
  }
  /// Replaces the first `from` of a file; throws if there is none, lest a test breaks nothing.
  void replace(const std::string& name, const std::string& from, const std::string& to) const {
    std::string text = read_text(file(name));
    const std::size_t at = text.find(from);
    if (at == std::string::npos) throw_error(ErrorCode::kInternal, name + " has no " + from);
    write_text(file(name), text.replace(at, from.size(), to));
  }

 private:
  std::string path_;
};

}  // namespace cardloom::e2e
