#pragma once

#include <chrono>
#include <csignal>
#include <cstddef>
#include <string>
#include <termios.h>

#include "ipc/client.h"
#include "ipc/unix_socket.h"

namespace tandem::cli {

/// The terminal as a picture that is drawn over and over: the other screen buffer, no cursor, keys without
/// Enter.  All is as before when this ends, whether by return, exception or signal, and while the program is
/// suspended.  One at a time.
class Screen {
 public:
  enum class Event { time, resized, quit };

  /// `client` is what a signal interrupts while it waits.  It outlives the screen.
  explicit Screen(ipc::Client& client);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// Rows of the terminal now.
  [[nodiscard]] static std::size_t rows();
  /// Shows `text` from the top, cut to the terminal's size.
  static void draw(const std::string& text);
  /// Waits for a key that means something, a signal, or until `time` has passed.
  Event wait(std::chrono::milliseconds time);
  /// The signal that asked for the end; 0 for none.
  [[nodiscard]] static int ending_signal() noexcept;

 private:
  void enter();
  void leave() noexcept;
  void suspend();

  ipc::Fd signal_read_;
  ipc::Fd signal_write_;
  termios before_{};
  bool has_keys_ = false;
};

}  // namespace tandem::cli
