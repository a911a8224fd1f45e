#include "ipc/unix_socket.h"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace tandem::ipc {

namespace {

constexpr std::size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;

[[noreturn]] void fail(const std::string& path, const std::string& problem) {
  throw SocketError("socket " + path + ": " + problem);
}

[[noreturn]] void fail_errno(const std::string& path, const std::string& what) {
  fail(path, what + ": " + std::generic_category().message(errno));
}

sockaddr_un address_of(const std::string& path) {
  if (path.empty()) throw SocketError("socket path is empty");
  if (path.size() > kMaxPathBytes) {
    fail(path, "path has " + std::to_string(path.size()) + " bytes, the kernel allows " +
                   std::to_string(kMaxPathBytes) + "; choose a shorter one");
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

int connect_to(int fd, const sockaddr_un& address) {
  int result = 0;
  do {
    result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (result != 0 && errno == EINTR);
  return result;
}

/// Connecting is sending to the kernel.  No limit: 0.
void limit_sending(int fd, std::chrono::milliseconds limit) {
  const timeval time{limit.count() / 1000, limit.count() % 1000 * 1000};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

gid_t group_id(const std::string& path, const std::string& name) {
  errno = 0;
  const group* entry = ::getgrnam(name.c_str());
  if (entry == nullptr) fail(path, "there is no group '" + name + "'");
  return entry->gr_gid;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// The socket's directory, made if it is missing.
Fd open_parent(const SocketOptions& options, std::optional<gid_t> gid) {
  const std::string parent = parent_of(options.path);
  mode_t mode = 0700;
  if ((options.mode & 0070) != 0) mode |= 0010;
  if ((options.mode & 0007) != 0) mode |= 0001;
  if (::mkdir(parent.c_str(), 0700) == 0) {
    if (gid && ::chown(parent.c_str(), static_cast<uid_t>(-1), *gid) != 0) {
      fail_errno(options.path, "cannot give directory " + parent + " to the group");
    }
    if (::chmod(parent.c_str(), mode) != 0) fail_errno(options.path, "cannot set the mode of " + parent);
  } else if (errno != EEXIST) {
    fail_errno(options.path, "cannot make directory " + parent);
  }
  Fd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) fail_errno(options.path, "cannot open directory " + parent);
  return directory;
}

/// Two daemons that start at once take turns, so that neither replaces the other's fresh socket.  A turn
/// takes no time: a lock that stays is of somebody who can read the directory and wants no daemon there.
void take_turn(const Fd& directory, const std::string& path) {
  constexpr int kTries = 100;
  for (int tried = 1; ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0; ++tried) {
    if (errno != EWOULDBLOCK && errno != EINTR) fail_errno(path, "cannot lock its directory");
    if (tried == kTries) fail(path, "another process keeps its directory locked");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

/// True if a socket is at the path that nobody listens on; refuses everything else that is in the way.
bool holds_stale_socket(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return false;
    fail_errno(path, "cannot look at it");
  }
  if (!S_ISSOCK(info.st_mode)) fail(path, "exists and is not a socket; it is left alone");
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) fail_errno(path, "cannot make a socket");
  if (connect_to(probe.get(), address) == 0 || errno == EAGAIN) fail(path, "another process listens there");
  if (errno != ECONNREFUSED) fail_errno(path, "exists, and whether it is in use cannot be told");
  return true;
}

void clear_path(const std::string& path, const sockaddr_un& address) {
  if (holds_stale_socket(path, address) && ::unlink(path.c_str()) != 0) {
    fail_errno(path, "cannot remove the stale socket");
  }
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

std::string default_socket_path() {
  return default_socket_path(::geteuid(), std::getenv("XDG_RUNTIME_DIR"));
}

std::string default_socket_path(uid_t uid, const char* xdg_runtime_dir) {
  if (uid == 0) return "/run/tandem/tandem.sock";
  // The XDG rules: a path that is not absolute is as good as none.
  if (xdg_runtime_dir != nullptr && *xdg_runtime_dir == '/') {
    return std::string(xdg_runtime_dir) + "/tandem/tandem.sock";
  }
  const std::string fallback = "/run/user/" + std::to_string(uid);
  if (::access(fallback.c_str(), X_OK) == 0) return fallback + "/tandem/tandem.sock";
  throw SocketError("no default socket path: XDG_RUNTIME_DIR is not set and " + fallback +
                    " does not exist; name a path with --socket");
}

void refuse_taken_path(const std::string& path) {
  static_cast<void>(holds_stale_socket(path, address_of(path)));
}

UnixListener::UnixListener(const SocketOptions& options) : path_(options.path) {
  const sockaddr_un address = address_of(path_);
  std::optional<gid_t> gid;
  if (options.group) gid = group_id(path_, *options.group);

  const Fd directory = open_parent(options, gid);
  take_turn(directory, path_);
  clear_path(path_, address);

  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) fail_errno(path_, "cannot make a socket");
  // Linux gives the path the mode of the unbound socket: there is no moment at which others may connect.
  if (::fchmod(socket.get(), 0600) != 0) fail_errno(path_, "cannot set its mode");
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail_errno(path_, "cannot bind");
  }
  struct stat info {};
  if (::lstat(path_.c_str(), &info) != 0) fail_errno(path_, "cannot look at it");
  device_ = info.st_dev;
  inode_ = info.st_ino;
  fd_ = std::move(socket);

  try {
    if (gid && ::chown(path_.c_str(), static_cast<uid_t>(-1), *gid) != 0) {
      fail_errno(path_, "cannot give it to group '" + *options.group + "'");
    }
    if (::chmod(path_.c_str(), options.mode) != 0) fail_errno(path_, "cannot set its mode");
    if (::listen(fd_.get(), SOMAXCONN) != 0) fail_errno(path_, "cannot listen");
  } catch (...) {
    remove_path();
    throw;
  }
}

void UnixListener::remove_path() noexcept {
  struct stat info {};
  if (inode_ == 0 || ::lstat(path_.c_str(), &info) != 0) return;
  if (info.st_dev == device_ && info.st_ino == inode_) ::unlink(path_.c_str());
  inode_ = 0;
}

Fd connect_unix(const std::string& path, std::chrono::milliseconds patience) {
  const sockaddr_un address = address_of(path);
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) fail_errno(path, "cannot make a socket");
  limit_sending(socket.get(), patience);
  if (connect_to(socket.get(), address) == 0) {
    limit_sending(socket.get(), {});
    return socket;
  }
  if (errno == EAGAIN) {
    fail(path,
         "the daemon has let nobody in for " + std::to_string(patience.count()) + " ms; it may be stopped");
  }
  if (errno == ENOENT || errno == ECONNREFUSED) {
    throw NoListener("socket " + path + ": no daemon listens there; start tandemd");
  }
  fail_errno(path, "cannot connect");
}

Peer peer_of(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    throw SocketError("cannot tell who is at the other end: " + std::generic_category().message(errno));
  }
  return {credentials.pid, credentials.uid, credentials.gid};
}

}  // namespace tandem::ipc
