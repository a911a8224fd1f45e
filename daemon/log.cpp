#include "daemon/log.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace tandem::daemon {

namespace {

constexpr const char* kErrorPrefix = "<3>";

/// systemd names the stream that it reads as DEVICE:INODE.  Standard error may have become another one since.
bool is_read_by_journal() {
  const char* const stream = std::getenv("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &info) != 0) return false;
  return stream == std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
}

const char* syslog_prefix(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical:
    case spdlog::level::err:
      return kErrorPrefix;
    case spdlog::level::warn:
      return "<4>";
    case spdlog::level::info:
      return "<6>";
    default:
      return "<7>";
  }
}

class SyslogPrefix : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& line) override {
    const std::string_view prefix = syslog_prefix(message.level);
    line.append(prefix.data(), prefix.data() + prefix.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<SyslogPrefix>();
  }
};

std::unique_ptr<spdlog::formatter> line_format() {
  auto format = std::make_unique<spdlog::pattern_formatter>();
  if (is_read_by_journal()) {
    format->add_flag<SyslogPrefix>('*').set_pattern("%*%v");
  } else {
    format->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  }
  return format;
}

}  // namespace

void set_up_log(const std::string& level) {
  auto logger = spdlog::stderr_color_mt("tandemd");
  logger->set_formatter(line_format());
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

void say_why_it_ends(const std::string& what, const std::string& hint) {
  const char* const prefix = is_read_by_journal() ? kErrorPrefix : "";
  std::fprintf(stderr, "%standemd: %s\n", prefix, what.c_str());
  if (!hint.empty()) std::fprintf(stderr, "%s  %s\n", prefix, hint.c_str());
}

}  // namespace tandem::daemon
