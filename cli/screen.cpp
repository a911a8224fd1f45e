#include "cli/screen.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <sstream>
#include <sys/ioctl.h>
#include <system_error>
#include <unistd.h>

#include "cli/status_view.h"
#include "model/error.h"

namespace tandem::cli {
namespace {

constexpr std::array kEnding{SIGINT, SIGTERM, SIGHUP, SIGQUIT};
constexpr std::array kOther{SIGWINCH, SIGTSTP};

// What the handler touches: lock-free, or set before it is installed.
std::atomic<int> ending{0};
std::atomic<bool> suspended{false};
std::atomic<ipc::Client*> interruptible{nullptr};
std::atomic<int> pipe_end{-1};

void on_signal(int signal) {
  const int error = errno;
  if (std::find(kEnding.begin(), kEnding.end(), signal) != kEnding.end()) {
    ending = signal;
    if (auto* const client = interruptible.load()) client->interrupt();
  }
  if (signal == SIGTSTP) suspended = true;
  [[maybe_unused]] const auto written = ::write(pipe_end, "!", 1);
  errno = error;
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // a window that is resized is no reason to lose the daemon's answer
  sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

void handle_all(void (*handler)(int)) {
  for (const int signal : kEnding) handle(signal, handler);
  for (const int signal : kOther) handle(signal, handler);
}

void write_all(const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const auto size = ::write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (size < 0 && errno != EINTR) return;
    if (size > 0) done += static_cast<std::size_t>(size);
  }
}

winsize window() {
  winsize size{};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
  if (!known) size = {24, 80, 0, 0};
  return size;
}

}  // namespace

Screen::Screen(ipc::Client& client) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    throw Error("cannot make a pipe: " + std::generic_category().message(errno));
  }
  signal_read_ = ipc::Fd(ends[0]);
  signal_write_ = ipc::Fd(ends[1]);
  pipe_end = ends[1];
  interruptible = &client;
  has_keys_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
  handle_all(on_signal);
  enter();
}

Screen::~Screen() {
  leave();
  handle_all(SIG_DFL);
  interruptible = nullptr;
  pipe_end = -1;
}

std::size_t Screen::rows() {
  return window().ws_row;
}

void Screen::draw(const std::string& text) {
  const winsize size = window();
  std::string frame = "\x1b[H";
  std::istringstream lines(text);
  std::size_t row = 0;
  for (std::string line; row < size.ws_row && std::getline(lines, line); ++row) {
    if (row > 0) frame += "\r\n";
    frame += clipped(line, size.ws_col) + "\x1b[K";
  }
  write_all(frame + "\x1b[J");
}

Screen::Event Screen::wait(std::chrono::milliseconds time) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (true) {
    if (ending != 0) return Event::quit;
    if (suspended.exchange(false)) {
      suspend();
      return Event::resized;
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Event::time;
    std::array<pollfd, 2> entries{
        {{signal_read_.get(), POLLIN, 0}, {has_keys_ ? STDIN_FILENO : -1, POLLIN, 0}}};
    if (::poll(entries.data(), entries.size(), static_cast<int>(left.count())) <= 0) continue;
    std::array<char, 64> bytes{};
    if ((entries[1].revents & (POLLIN | POLLHUP)) != 0) {
      const auto size = ::read(STDIN_FILENO, bytes.data(), bytes.size());
      if (size <= 0) return Event::quit;  // the terminal has gone
      if (std::any_of(bytes.begin(), bytes.begin() + size, [](char c) { return c == 'q' || c == 'Q'; })) {
        return Event::quit;
      }
    }
    if ((entries[0].revents & POLLIN) != 0) {
      while (::read(signal_read_.get(), bytes.data(), bytes.size()) > 0) continue;
      if (ending == 0 && !suspended) return Event::resized;
    }
  }
}

int Screen::ending_signal() noexcept {
  return ending;
}

void Screen::enter() {
  if (has_keys_) {
    termios keys = before_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &keys);
  }
  write_all("\x1b[?1049h\x1b[?25l\x1b[2J");
}

void Screen::leave() noexcept {
  constexpr char kRestore[] = "\x1b[?25h\x1b[?1049l";
  [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, kRestore, sizeof kRestore - 1);
  if (has_keys_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
}

void Screen::suspend() {
  leave();
  handle(SIGTSTP, SIG_DFL);
  ::raise(SIGTSTP);  // goes on here when the shell says so
  handle(SIGTSTP, on_signal);
  enter();
}

}  // namespace tandem::cli
