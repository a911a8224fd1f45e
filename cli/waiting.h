#pragma once

#include <string>
#include <unistd.h>

#include "ipc/client.h"

namespace tandem::cli {

/// A line on stderr that is overwritten in place, where stderr is a terminal.
class StatusLine {
 public:
  StatusLine() = default;
  ~StatusLine() { clear(); }
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  void show(const std::string& text);
  void clear();

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) != 0;
  bool shown_ = false;
};

/// Returns once the daemon has loaded its model, or Ctrl-C was pressed.
void wait_until_loaded(ipc::Client& client, StatusLine& status);

}  // namespace tandem::cli
