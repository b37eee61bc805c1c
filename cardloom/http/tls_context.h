#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "cardloom/base/result.h"

namespace cardloom::http {

/// TLS 1.2 and later with a PEM certificate chain and its key.
/// Returns kInvalidArgument, naming the file, if one cannot be read or the two do not belong
/// together.
Result<std::shared_ptr<boost::asio::ssl::context>> load_tls(const std::string& certificate,
                                                            const std::string& key);

}  // namespace cardloom::http
