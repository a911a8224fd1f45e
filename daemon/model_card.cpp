#include "daemon/model_card.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "model/sha256.h"
#include "model/tensor_type.h"

namespace tandem::daemon {

namespace {

std::uint64_t unix_now_s() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

/// The element type that most bytes are of.
std::string main_type(const model::Header& header) {
  std::map<model::TensorType, std::uint64_t> bytes;
  for (const auto& tensor : header.tensors) bytes[tensor.type] += tensor.size_bytes;
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  return most == bytes.end() ? std::string() : std::string(model::tensor_type_info(most->first).name);
}

/// Of what lies before the first tensor in the first file.
std::string fingerprint(const model::Header& header) {
  const auto& file = header.parts.front().bytes;
  std::uint64_t header_bytes = file.size();
  for (const auto& tensor : header.tensors) {
    if (tensor.part == 0) header_bytes = std::min(header_bytes, tensor.offset_bytes);
  }
  return model::sha256_hex(file.first(header_bytes));
}

void describe_file(const model::Header& header, ipc::ModelCard& card) {
  card.id = header.parts.front().path.stem().string();
  card.noise = header.find_bool("tandem.noise").value_or(false);
  card.tensor_bytes = header.tensor_bytes;
  for (const auto& tensor : header.tensors) card.parameters += tensor.elems();
  card.main_type = main_type(header);
  card.fingerprint = fingerprint(header);
}

void describe_chat(const model::ChatFormat& chat, ipc::ModelCard& card) {
  card.chat = chat.rendering == model::ChatTemplate::gemma3 ? "gemma3" : "gemma4";
  card.tools = model::has_tools(chat.rendering);
  card.thinking = model::has_thinking(chat.rendering);
  if (!chat.template_known) {
    card.warnings.emplace_back(
        "the file has no chat template that Tandem knows; conversations are written as the newest " +
        card.chat + " template has it");
  }
}

}  // namespace

ipc::ModelCard model_card(const model::Header& header, const planner::Plan& plan,
                          const model::Hyperparameters& hyper, const std::optional<model::ChatFormat>& chat) {
  ipc::ModelCard card;
  card.created_unix_s = unix_now_s();
  card.context_tok = plan.workload.max_seq_len;
  card.vocab = hyper.vocab;
  card.family = hyper.family == model::Family::gemma3 ? "gemma3" : "gemma4";
  describe_file(header, card);
  if (chat) describe_chat(*chat, card);
  return card;
}

}  // namespace tandem::daemon
