#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include <CLI/CLI.hpp>

#include "ipc/unix_socket.h"

namespace tandem::cli {

/// How a measured daemon keeps what it computes with.
struct StorageOptions {
  std::string kv_type = "f16";
  std::string cpu_weights = "repacked";
};

/// --kv-type and --cpu-weights, which set `storage`.
void add_storage_options(CLI::App& app, StorageOptions& storage);

/// A tandemd of one's own, for commands that measure: it has a private socket and ends with this object, and
/// with this process however that ends.  Ctrl-C leaves nothing behind.  One at a time.
class ChildDaemon {
 public:
  /// Starts the tandemd beside this program with `flags` (without --socket) and waits until it serves. Throws
  /// Error with what it printed if it ends instead, UnsupportedModel where that is for its model.
  explicit ChildDaemon(const std::vector<std::string>& flags);
  ~ChildDaemon();
  ChildDaemon(const ChildDaemon&) = delete;
  ChildDaemon& operator=(const ChildDaemon&) = delete;

  [[nodiscard]] const std::string& socket() const noexcept { return socket_; }
  /// Memory that it holds now, mapped pages of the model file among it; 0 where the system does not say.
  [[nodiscard]] std::uint64_t resident_bytes() const;

 private:
  void start(const std::vector<std::string>& flags);
  void wait_until_ready();
  /// What it ended with, by itself, as waitpid says; nothing while it runs.
  std::optional<int> ended();
  [[noreturn]] void refuse(int status) const;
  void stop() noexcept;
  [[nodiscard]] std::string log() const;

  std::filesystem::path directory_;
  std::string socket_;
  ipc::Fd log_;  ///< in memory: nothing is left behind
  pid_t pid_ = -1;
};

}  // namespace tandem::cli
