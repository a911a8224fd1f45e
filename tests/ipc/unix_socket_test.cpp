#include "ipc/unix_socket.h"

#include <cstring>
#include <deque>
#include <fcntl.h>
#include <fstream>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/temporary_directory.h"

namespace tandem::ipc {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryDirectory;

std::string error_of(const SocketOptions& options) {
  try {
    const UnixListener listener(options);
  } catch (const SocketError& error) {
    return error.what();
  }
  return "no error";
}

struct stat info_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
  return info;
}

mode_t mode_of(const std::string& path) {
  return info_of(path).st_mode & 07777;
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

/// What a daemon that was killed leaves behind.
void leave_stale_socket(const std::string& path) {
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(fd.get(), 1), 0);
}

TEST(DefaultSocketPath, FollowsTheUser) {
  EXPECT_EQ(default_socket_path(0, nullptr), "/run/tandem/tandem.sock");
  EXPECT_EQ(default_socket_path(0, "/run/user/0"), "/run/tandem/tandem.sock");
  EXPECT_EQ(default_socket_path(1000, "/run/user/1000"), "/run/user/1000/tandem/tandem.sock");
  EXPECT_THROW(default_socket_path(4'000'000, nullptr), SocketError);
  EXPECT_THROW(default_socket_path(4'000'000, ""), SocketError);
  EXPECT_THROW(default_socket_path(4'000'000, "relative/folder"), SocketError);
}

TEST(UnixListener, IsForItsUserOnlyByDefault) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("tandem/tandem.sock");
  const UnixListener listener({.path = path, .group = {}});
  EXPECT_EQ(mode_of(path), 0600u);
  EXPECT_EQ(mode_of(directory.file("tandem")), 0700u);
  EXPECT_TRUE(connect_unix(path));
}

TEST(UnixListener, ModeAlsoOpensTheDirectoryItMade) {
  const TemporaryDirectory directory;
  const UnixListener group({.path = directory.file("group/s"), .mode = 0660, .group = {}});
  EXPECT_EQ(mode_of(directory.file("group/s")), 0660u);
  EXPECT_EQ(mode_of(directory.file("group")), 0710u);
  const UnixListener all({.path = directory.file("all/s"), .mode = 0666, .group = {}});
  EXPECT_EQ(mode_of(directory.file("all/s")), 0666u);
  EXPECT_EQ(mode_of(directory.file("all")), 0711u);
}

TEST(UnixListener, LeavesTheModeOfAnExistingDirectory) {
  const TemporaryDirectory directory;
  ASSERT_EQ(::mkdir(directory.file("d").c_str(), 0750), 0);
  const UnixListener listener({.path = directory.file("d/s"), .mode = 0666, .group = {}});
  EXPECT_EQ(mode_of(directory.file("d")), 0750u);
}

TEST(UnixListener, GivesSocketAndDirectoryToTheGroup) {
  const TemporaryDirectory directory;
  const group* own = ::getgrgid(::getegid());
  ASSERT_NE(own, nullptr);
  const UnixListener listener({.path = directory.file("d/s"), .mode = 0660, .group = own->gr_name});
  EXPECT_EQ(info_of(directory.file("d/s")).st_gid, ::getegid());
  EXPECT_EQ(info_of(directory.file("d")).st_gid, ::getegid());
  EXPECT_THAT(error_of({.path = directory.file("other"), .group = "no-such-group"}),
              HasSubstr("no group 'no-such-group'"));
  EXPECT_FALSE(exists(directory.file("other")));
}

TEST(UnixListener, ReplacesAStaleSocket) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  leave_stale_socket(path);
  EXPECT_THROW(connect_unix(path), NoListener);
  const UnixListener listener({.path = path, .group = {}});
  EXPECT_TRUE(connect_unix(path));
}

TEST(UnixListener, RefusesALiveSocketAndLeavesIt) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  const UnixListener listener({.path = path, .group = {}});
  EXPECT_THAT(error_of({.path = path, .group = {}}), HasSubstr("another process listens there"));
  EXPECT_TRUE(connect_unix(path));
}

TEST(UnixListener, RefusesOtherKindsOfFiles) {
  const TemporaryDirectory directory;
  const std::string file = directory.file("file");
  std::ofstream(file) << "precious";
  EXPECT_THAT(error_of({.path = file, .group = {}}), HasSubstr("not a socket"));
  EXPECT_EQ(info_of(file).st_size, 8);
  ASSERT_EQ(::symlink("/tmp", directory.file("link").c_str()), 0);
  EXPECT_THAT(error_of({.path = directory.file("link"), .group = {}}), HasSubstr("not a socket"));
  ASSERT_EQ(::mkdir(directory.file("d").c_str(), 0700), 0);
  EXPECT_THAT(error_of({.path = directory.file("d"), .group = {}}), HasSubstr("not a socket"));
}

TEST(RefuseTakenPath, SaysWhatAListenerWouldAndChangesNothing) {
  const TemporaryDirectory directory;
  EXPECT_NO_THROW(refuse_taken_path(directory.file("free")));
  EXPECT_NO_THROW(refuse_taken_path(directory.file("no/folder/yet")));
  EXPECT_FALSE(exists(directory.file("no")));
  leave_stale_socket(directory.file("stale"));
  EXPECT_NO_THROW(refuse_taken_path(directory.file("stale")));
  EXPECT_TRUE(exists(directory.file("stale")));
  std::ofstream(directory.file("file")) << "precious";
  EXPECT_THROW(refuse_taken_path(directory.file("file")), SocketError);
  const UnixListener listener({.path = directory.file("taken"), .group = {}});
  EXPECT_THROW(refuse_taken_path(directory.file("taken")), SocketError);
  EXPECT_TRUE(connect_unix(directory.file("taken")));
}

TEST(UnixListener, RefusesLongPathsWithTheirLength) {
  const TemporaryDirectory directory;
  const std::string longest = directory.file(std::string(107 - directory.file("").size(), 'a'));
  ASSERT_EQ(longest.size(), 107u);
  EXPECT_NO_THROW(UnixListener({.path = longest, .group = {}}));
  EXPECT_THAT(error_of({.path = longest + "b", .group = {}}), HasSubstr("108 bytes"));
  EXPECT_THROW(connect_unix(longest + "b"), SocketError);
  EXPECT_THAT(error_of({.path = "", .group = {}}), HasSubstr("empty"));
}

TEST(UnixListener, NamesAMissingDirectory) {
  const TemporaryDirectory directory;
  EXPECT_THAT(error_of({.path = directory.file("a/b/s"), .group = {}}),
              HasSubstr("cannot make directory " + directory.file("a/b")));
}

TEST(UnixListener, WaitsForNobodyWhoKeepsItsDirectoryLocked) {
  const TemporaryDirectory directory;
  const Fd other(::open(directory.file("").c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_EQ(::flock(other.get(), LOCK_EX), 0);
  EXPECT_THAT(error_of({.path = directory.file("s"), .group = {}}), HasSubstr("directory locked"));
}

TEST(UnixListener, RemovesThePathOnlyIfItIsStillItsOwn) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  { const UnixListener listener({.path = path, .group = {}}); }
  EXPECT_FALSE(exists(path));
  {
    const UnixListener listener({.path = path, .group = {}});
    ASSERT_EQ(::unlink(path.c_str()), 0);
    std::ofstream(path) << "somebody else's";
  }
  EXPECT_TRUE(exists(path));
}

/// A process that tries to listen once `start` is closed, holds the path until `stop` is closed, and exits 1
/// if it got it.
pid_t fork_starter(const std::string& path, const int (&start)[2], const int (&stop)[2]) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::close(start[1]);
  ::close(stop[1]);
  char byte = 0;
  if (::read(start[0], &byte, 1) != 0) ::_exit(2);
  try {
    const UnixListener listener({.path = path, .group = {}});
    if (::read(stop[0], &byte, 1) != 0) ::_exit(2);
  } catch (const SocketError&) {
    ::_exit(0);
  }
  ::_exit(1);
}

/// Of many daemons started at once exactly one gets the path, also over a stale socket.
TEST(UnixListener, OneOfManyStartersWins) {
  constexpr int kStarters = 8;
  const TemporaryDirectory directory;
  const std::string path = directory.file("s");
  for (int round = 0; round < 5; ++round) {
    leave_stale_socket(path);
    int start[2];
    int stop[2];
    ASSERT_EQ(::pipe(start), 0);
    ASSERT_EQ(::pipe(stop), 0);
    for (int i = 0; i < kStarters; ++i) ASSERT_GT(fork_starter(path, start, stop), 0);
    ::close(start[1]);
    for (int i = 0; i < kStarters - 1; ++i) {
      int status = 0;
      ::wait(&status);  // hangs, and so fails, if a second one holds the path
      EXPECT_EQ(WEXITSTATUS(status), 0);
    }
    EXPECT_TRUE(connect_unix(path));
    ::close(stop[1]);
    int status = 0;
    ::wait(&status);
    EXPECT_EQ(WEXITSTATUS(status), 1);
    EXPECT_FALSE(exists(path));
    ::close(start[0]);
    ::close(stop[0]);
  }
}

TEST(ConnectUnix, SaysThatNobodyListens) {
  const TemporaryDirectory directory;
  try {
    connect_unix(directory.file("s"));
    FAIL();
  } catch (const NoListener& error) {
    EXPECT_THAT(error.what(), HasSubstr(directory.file("s")));
    EXPECT_THAT(error.what(), HasSubstr("no daemon listens there"));
  }
}

TEST(ConnectUnix, HasNoPatienceWhereNobodyIsLetIn) {
  const TemporaryDirectory directory;
  UnixListener listener({.path = directory.file("s"), .group = {}});
  const Fd listening = listener.take_fd();
  ASSERT_EQ(::listen(listening.get(), 1), 0);  // so many may wait, and a few more
  std::deque<Fd> waiting;
  const auto connect = [&] {
    for (int i = 0; i < 10; ++i) {
      waiting.push_back(connect_unix(directory.file("s"), std::chrono::milliseconds(20)));
    }
  };
  try {
    connect();
    FAIL();
  } catch (const SocketError& error) {
    EXPECT_THAT(error.what(), HasSubstr("has let nobody in for 20 ms"));
  }
  EXPECT_FALSE(waiting.empty());
}

TEST(PeerOf, NamesTheProcessAtTheOtherEnd) {
  const TemporaryDirectory directory;
  UnixListener listener({.path = directory.file("s"), .group = {}});
  const Fd listening = listener.take_fd();
  const Fd client = connect_unix(directory.file("s"));
  const Fd server(::accept(listening.get(), nullptr, nullptr));
  EXPECT_EQ(peer_of(client.get()).pid, ::getpid());
  EXPECT_EQ(peer_of(server.get()).pid, ::getpid());
  EXPECT_EQ(peer_of(server.get()).uid, ::geteuid());
  EXPECT_THROW(peer_of(-1), SocketError);
}

}  // namespace
}  // namespace tandem::ipc
