#include "cli/chat_session.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "cli/daemon.h"
#include "ipc/unix_socket.h"
#include "model/error.h"
#include "model/nearest.h"
#include "model/text_file.h"

namespace tandem::cli {
namespace {

namespace fs = std::filesystem;
using ipc::Json;

constexpr const char* kSchema = "tandem.chat/1";

enum class Kind { number, whole, words, onoff };

struct Setting {
  const char* name;
  Kind kind;
};

constexpr std::array kSettings{Setting{"temperature", Kind::number},
                               Setting{"top_p", Kind::number},
                               Setting{"min_p", Kind::number},
                               Setting{"top_k", Kind::whole},
                               Setting{"seed", Kind::whole},
                               Setting{"max_tokens", Kind::whole},
                               Setting{"repetition_penalty", Kind::number},
                               Setting{"presence_penalty", Kind::number},
                               Setting{"frequency_penalty", Kind::number},
                               Setting{"stop", Kind::words},
                               Setting{"thinking", Kind::onoff}};

Kind kind_of(const std::string& name) {
  std::vector<std::string> names;
  for (const Setting& setting : kSettings) {
    if (name == setting.name) return setting.kind;
    names.emplace_back(setting.name);
  }
  const std::string nearest(model::nearest(name, names));
  throw Error("there is no setting '" + name + "'",
              nearest.empty() ? "/set alone lists them" : "did you mean " + nearest + "?");
}

template <typename Number>
Json number(const std::string& name, const std::string& text, const char* wanted) {
  Number value{};
  const auto* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  // "nan" and "inf" are read as well, and JSON has no word for them.
  const bool good = error == std::errc() && stop == end && std::isfinite(static_cast<double>(value));
  if (!good) throw Error(name + " must be " + wanted + ", not '" + text + "'");
  return value;
}

Json value_of(const std::string& name, const std::string& text) {
  switch (kind_of(name)) {
    case Kind::number:
      return number<double>(name, text, "a number");
    case Kind::whole:
      return number<std::int64_t>(name, text, "a whole number");
    case Kind::words:
      return text;
    case Kind::onoff:
      break;
  }
  if (text != "on" && text != "off") throw Error(name + " must be on or off, not '" + text + "'");
  return text == "on";
}

Json message(const char* role, const std::string& text) {
  return {{"role", role}, {"content", text}};
}

bool is_message(const Json& entry) {
  if (!entry.is_object() || entry.size() != 2 || !entry.contains("role") || !entry.contains("content"))
    return false;
  return (entry["role"] == "user" || entry["role"] == "assistant") && entry["content"].is_string();
}

Error unwritten(const std::string& path) {
  return Error(path + ": cannot be written: " + std::generic_category().message(errno));
}

/// `path` is what an error names.
void write_into(const std::string& file_path, std::string_view text, const std::string& path) {
  const ipc::Fd file(::open(file_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) throw unwritten(path);
  while (!text.empty()) {
    const auto size = ::write(file.get(), text.data(), text.size());
    if (size <= 0) throw unwritten(path);
    text.remove_prefix(static_cast<std::size_t>(size));
  }
}

/// Settings of a file, looked at as if they had been typed.
ChatSession from_json(const Json& file, const std::string& path) {
  const auto refuse = [&path]() -> Error { return Error(path + ": is not a conversation that /save wrote"); };
  const bool whole = file.is_object() && file.contains("schema") && file["schema"] == kSchema &&
                     file.contains("system") && file["system"].is_string() && file.contains("settings") &&
                     file["settings"].is_object() && file.contains("messages") && file["messages"].is_array();
  if (!whole) throw refuse();
  ChatSession session;
  session.set_system(file["system"]);
  for (const auto& [name, value] : file["settings"].items()) {
    if (value.is_boolean()) {
      session.set(name, value.get<bool>() ? "on" : "off");
    } else {
      session.set(name, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  for (const Json& entry : file["messages"]) {
    if (!is_message(entry)) throw refuse();
    entry["role"] == "user" ? session.add_user(entry["content"]) : session.add_answer(entry["content"]);
  }
  return session;
}

}  // namespace

void ChatSession::set(const std::string& name, const std::string& value) {
  if (value.empty()) {
    kind_of(name);
    settings_.erase(name);
  } else {
    settings_[name] = value_of(name, value);
  }
}

void ChatSession::add_user(const std::string& text) {
  messages_.push_back(message("user", text));
}

void ChatSession::add_answer(const std::string& text) {
  messages_.push_back(message("assistant", text));
}

void ChatSession::undo() {
  if (!messages_.empty()) messages_.erase(messages_.end() - 1);
}

Json ChatSession::request() const {
  Json request = settings_;
  if (const auto thinking = request.find("thinking"); thinking != request.end()) {
    request["chat_template_kwargs"] = {{"enable_thinking", *thinking}};
    request.erase("thinking");
  }
  request["model"] = "any";
  request["stream"] = true;
  request["stream_options"] = {{"include_usage", true}};
  request["messages"] = Json::array();
  if (!system_.empty()) request["messages"].push_back(message("system", system_));
  request["messages"].insert(request["messages"].end(), messages_.begin(), messages_.end());
  return request;
}

void ChatSession::save(const std::string& path) const {
  const std::string text =
      to_body({{"schema", kSchema}, {"system", system_}, {"settings", settings_}, {"messages", messages_}}) +
      "\n";
  std::error_code unknown;
  const auto target = fs::weakly_canonical(path, unknown);  // a link stays one
  if (unknown || (fs::exists(target, unknown) && !fs::is_regular_file(target, unknown))) {
    return write_into(path, text, path);  // a device or pipe is no file to replace
  }
  const auto unfinished = target.string() + "." + std::to_string(::getpid());
  try {
    write_into(unfinished, text, path);
    if (::rename(unfinished.c_str(), target.c_str()) != 0) throw unwritten(path);
  } catch (const Error&) {
    ::unlink(unfinished.c_str());
    throw;
  }
}

void ChatSession::load(const std::string& path) {
  *this = from_json(Json::parse(model::read_text_file(path), nullptr, false), path);
}

}  // namespace tandem::cli
