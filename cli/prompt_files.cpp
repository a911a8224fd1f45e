#include "cli/prompt_files.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "ipc/json_fields.h"
#include "model/error.h"

namespace tandem::cli {
namespace {

std::string read_all(std::istream& in, const std::string& name) {
  std::string text;
  char piece[65536];
  while (in.read(piece, sizeof piece) || in.gcount() > 0) {
    text.append(piece, static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxPromptFileBytes) {
      throw Error(name + ": is larger than the " + std::to_string(kMaxPromptFileBytes) +
                  " bytes that --file takes");
    }
  }
  if (in.bad() || (&in == &std::cin && std::ferror(stdin) != 0)) throw Error(name + ": cannot be read");
  return text;
}

bool is_utf8(const std::string& text) {
  try {
    return !ipc::Json(text).dump().empty();
  } catch (const ipc::Json::type_error&) {
    return false;
  }
}

std::string text_of(const std::string& name) {
  if (name == "-") return read_all(std::cin, "standard input");
  std::error_code ignored;
  if (std::filesystem::is_directory(name, ignored)) throw Error(name + ": is a folder");
  std::ifstream file(name, std::ios::binary);
  if (!file) throw Error(name + ": cannot be opened");
  return read_all(file, name);
}

}  // namespace

std::string with_files(std::string prompt, const std::vector<std::string>& files) {
  if (files.size() > kMaxPromptFiles) {
    throw Error("--file may be given " + std::to_string(kMaxPromptFiles) + " times at most");
  }
  for (const std::string& name : files) {
    std::string text = text_of(name);
    if (text.find('\0') != std::string::npos || !is_utf8(text)) {
      throw Error(name + ": is not a text in UTF-8");
    }
    if (!text.empty() && text.back() == '\n') text.pop_back();
    if (!prompt.empty()) prompt += "\n\n";
    if (name != "-") prompt += std::filesystem::path(name).filename().string() + ":\n";
    prompt += text;
  }
  return prompt;
}

}  // namespace tandem::cli
