#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>

#include "apps/commands.h"
#include "cardloom/server/picture_workers.h"

namespace {

using cardloom::Error;
using cardloom::ErrorCode;

int tell(int exit_code, const Error& error) {
  std::fflush(stdout);
  std::fputs(cardloom::app::three_lines(error).c_str(), stderr);
  return exit_code;
}

/// Answers go to stdout: if they did not arrive, that is a failure.
int finish(int exit_code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return exit_code;
  return tell(cardloom::app::kExitFailed,
              cardloom::make_error(
                  ErrorCode::kResourceExhausted, "the output could not be written to stdout",
                  "the disk is full or the reader has gone", "free some space or write elsewhere"));
}

}  // namespace

int main(int argc, char** argv) {
  // No command: `serve` starts its own program so, with a socket that nobody else has.
  if (argc == 2 && std::strcmp(argv[1], cardloom::server::kPictureWorkerArgument) == 0) {
    return cardloom::server::run_picture_worker();
  }
  try {
    return finish(cardloom::app::run_command_line(argc, argv));
  } catch (const cardloom::app::Failure& failure) {
    return tell(failure.exit_code(), failure.error());
  } catch (const cardloom::Exception& failure) {
    return tell(cardloom::app::exit_code_of(failure.error()), failure.error());
  } catch (const std::bad_alloc&) {
    return tell(cardloom::app::kExitNoMemory,
                cardloom::make_error(ErrorCode::kResourceExhausted, "memory ran out"));
  } catch (const std::system_error& failure) {
    if (failure.code() != std::errc::resource_unavailable_try_again) {
      return tell(cardloom::app::kExitFailed,
                  cardloom::make_error(ErrorCode::kInternal, failure.what()));
    }
    return tell(cardloom::app::kExitNoMemory,
                cardloom::make_error(ErrorCode::kResourceExhausted, "a thread could not be started",
                                     "memory or the number of processes is limited",
                                     "fewer --threads or --tp; see `ulimit -a`"));
  } catch (const std::exception& failure) {
    return tell(cardloom::app::kExitFailed,
                cardloom::make_error(ErrorCode::kInternal, failure.what()));
  }
}
