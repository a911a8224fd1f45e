#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/types.h>
#include <utility>

namespace tandem::ipc {

/// A socket that cannot be used.  what() names the path and the reason.
class SocketError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Nobody listens at the path.
class NoListener : public SocketError {
 public:
  using SocketError::SocketError;
};

/// A file descriptor that is closed with its owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// Where daemon and command meet if nobody says otherwise: /run/tandem/tandem.sock for root, else
/// $XDG_RUNTIME_DIR/tandem/tandem.sock, else under /run/user/UID if that exists.  Throws SocketError.
std::string default_socket_path();
/// The rule itself, for a user and the value of XDG_RUNTIME_DIR (nullptr if unset).
std::string default_socket_path(uid_t uid, const char* xdg_runtime_dir);

struct SocketOptions {
  std::string path;
  mode_t mode = 0600;                ///< of the socket; who may connect
  std::optional<std::string> group;  ///< name; the daemon's own if absent
};

/// Throws SocketError where UnixListener would because of what is at `path`; changes nothing.
void refuse_taken_path(const std::string& path);

/// A listening Unix stream socket at a path.  A missing parent directory is made (0700, and searchable for
/// those whom `mode` lets connect); a socket that nobody listens on is replaced; a live one or another kind
/// of file is refused.  The path is removed at the end, if it still is this socket.
class UnixListener {
 public:
  /// Binds and listens; throws SocketError.  Nobody can connect before mode and group are set.
  explicit UnixListener(const SocketOptions& options);
  ~UnixListener() { remove_path(); }
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;

  /// The listening descriptor, non-blocking; the path stays with this object.
  [[nodiscard]] Fd take_fd() noexcept { return std::move(fd_); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// Removes the path now; connections that exist go on.
  void remove_path() noexcept;

 private:
  std::string path_;
  Fd fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

/// Connects, blocking, close-on-exec; throws NoListener, and SocketError also where more than `patience`
/// passes because those who came before were not let in yet.
Fd connect_unix(const std::string& path, std::chrono::milliseconds patience = std::chrono::seconds(10));

/// Who is at the other end, as the kernel recorded it when the connection was made.
struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};
Peer peer_of(int fd);

}  // namespace tandem::ipc
