#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <vector>

namespace tandem::cli {

/// A tandemd of one's own, for commands that measure: it has a private socket and ends with this object.
class ChildDaemon {
 public:
  /// Starts the tandemd beside this program with `flags` (without --socket) and waits until it serves. Throws
  /// Error with what it printed if it ends instead.
  explicit ChildDaemon(const std::vector<std::string>& flags);
  ~ChildDaemon();
  ChildDaemon(const ChildDaemon&) = delete;
  ChildDaemon& operator=(const ChildDaemon&) = delete;

  [[nodiscard]] const std::string& socket() const noexcept { return socket_; }

 private:
  void start(const std::vector<std::string>& flags);
  void wait_until_ready();
  /// True once the daemon has ended by itself.
  bool ended();
  void stop() noexcept;
  [[nodiscard]] std::string log() const;

  std::filesystem::path directory_;
  std::string socket_;
  pid_t pid_ = -1;
};

}  // namespace tandem::cli
