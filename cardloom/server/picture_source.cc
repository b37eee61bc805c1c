#include "cardloom/server/picture_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cardloom/base/ascii.h"
#include "cardloom/server/data_url.h"
#include "cardloom/server/url_fetch.h"

namespace cardloom::server {
namespace {

constexpr int kMaxRedirects = 3;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

int open_beneath(int root, const std::string& path) {
  open_how how{};
  // Not blocking: a FIFO in the folder must not hold the thread.
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how));
}

Error no_such_file() {
  return make_error(ErrorCode::kNotFound, "there is no such picture below the media folder", {},
                    "give the file's path relative to the folder: file:///cats/tom.jpg");
}

bool names(const PictureSourceOptions& options, const std::string& host) {
  const auto& all = options.allowed_hosts;
  return std::find(all.begin(), all.end(), host) != all.end();
}

/// Whether a URL may be asked for, and under which rules.
Result<FetchOptions> judge_url(const PictureSourceOptions& options, const std::string& url) {
  const Result<UrlTarget> target = target_of_url(url);
  if (!target) return target.error();
  FetchOptions fetch{.max_bytes = options.max_bytes, .timeout_s = options.fetch_timeout_s};
  if (names(options, fmt::format("{}:{}", target->host, target->port))) {
    fetch.any_address = true;  // named with its port: it may be one of this machine or the house
    return fetch;
  }
  const bool is_usual_port = target->port == 80 || target->port == 443;
  if (is_usual_port && names(options, target->host)) return fetch;
  if (options.fetch == PictureSourceOptions::Fetch::kAllowed) {
    return make_error(ErrorCode::kInvalidArgument,
                      "pictures may come from hosts that the operator allows; this is none", {},
                      "send the picture as a data: URL");
  }
  if (!is_usual_port) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("pictures may come from ports 80 and 443, but this URL has {}", target->port),
        {}, "send the picture as a data: URL");
  }
  return fetch;
}

Result<std::string> fetch(const PictureSourceOptions& options, std::string url) {
  if (options.fetch == PictureSourceOptions::Fetch::kOff) {
    return make_error(ErrorCode::kUnimplemented, "this server does not fetch pictures from URLs",
                      "the operator can allow it with --fetch-images",
                      "send the picture as a data: URL");
  }
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    const Result<FetchOptions> rules = judge_url(options, url);
    if (!rules) return rules.error();
    Result<Fetched> fetched = fetch_url(url, *rules);
    if (!fetched) return std::move(fetched).error();
    if (fetched->redirect.empty()) return std::move(fetched->body);
    url = std::move(fetched->redirect);
  }
  return make_error(ErrorCode::kUnavailable,
                    fmt::format("the picture's URL leads on more than {} times", kMaxRedirects), {},
                    "give the URL it leads to");
}

}  // namespace

Result<std::unique_ptr<PictureSource>> PictureSource::open(PictureSourceOptions options) {
  std::unique_ptr<PictureSource> source(new PictureSource(std::move(options)));
  const std::string& root = source->options_.media_root;
  if (root.empty()) return source;
  source->media_root_ = ::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (source->media_root_ < 0) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("the media folder {} cannot be opened", root),
                      std::strerror(errno), "give a folder that exists and may be read");
  }
  return source;
}

PictureSource::~PictureSource() {
  if (media_root_ >= 0) close(media_root_);
}

Result<std::string> PictureSource::get(const std::string& url) const {
  constexpr std::string_view kFile = "file://";
  if (url.starts_with("data:")) return decode_data_url(url, options_.max_bytes);
  if (url.starts_with("http:") || url.starts_with("https:")) return fetch(options_, url);
  if (url.starts_with(kFile)) {
    // What is badly encoded names no file, and neither does a NUL.
    const std::string path = percent_decode(url.substr(kFile.size())).value_or("");
    return read_media(path.find('\0') == std::string::npos ? path : "");
  }
  return make_error(ErrorCode::kInvalidArgument, "this is no URL of a picture", {},
                    "send data:image/jpeg;base64, and the picture's bytes in base64");
}

Result<std::string> PictureSource::read_media(const std::string& path) const {
  if (media_root_ < 0) {
    return make_error(ErrorCode::kUnimplemented, "this server reads no pictures from files",
                      "the operator can allow a folder with --media-root",
                      "send the picture as a data: URL");
  }
  const std::size_t begin = path.find_first_not_of('/');  // file:///a.jpg is a.jpg of the folder
  if (begin == std::string::npos) return no_such_file();
  const Descriptor file(open_beneath(media_root_, path.substr(begin)));
  struct stat status {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return no_such_file();
  }
  if (status.st_size > options_.max_bytes) {
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("the picture has {} bytes, but {} are allowed", status.st_size,
                                  options_.max_bytes),
                      {}, "give a smaller picture");
  }
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = read(file.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<std::size_t>(count);
  }
  bytes.resize(done);  // a file that shrank meanwhile is a damaged picture, told by the decoder
  return bytes;
}

}  // namespace cardloom::server
