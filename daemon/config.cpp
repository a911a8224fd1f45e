#include "daemon/config.h"

#include <algorithm>
#include <set>
#include <vector>

#include <nlohmann/json.hpp>

#include "daemon/config_keys.h"
#include "daemon/json_schema.h"
#include "embedded/config_schema.h"
#include "embedded/default_config.h"
#include "model/nearest.h"
#include "model/text_file.h"
#include "planner/names.h"
#include "planner/size_text.h"

namespace tandem::daemon {

namespace {

using nlohmann::json;

/// Told what a parser comes across: throws BadConfig for a key that its object has already, as one of the two
/// values would be lost.
class KeysOnce {
 public:
  explicit KeysOnce(const std::string& source) : source_(source) {}

  void meet(json::parse_event_t event, const json& parsed) {
    using Event = json::parse_event_t;
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event != Event::key) return;
    const auto& key = parsed.get_ref<const std::string&>();
    if (!keys_.back().insert(key).second) throw BadConfig(source_ + ": \"" + key + "\" is there twice");
  }

 private:
  const std::string& source_;
  std::vector<std::set<std::string>> keys_;  ///< of the objects that are open
};

json parse(std::string_view text, const std::string& source) {
  KeysOnce keys(source);
  const auto meet = [&keys](int /*depth*/, json::parse_event_t event, const json& parsed) {
    keys.meet(event, parsed);
    return true;
  };
  try {
    return json::parse(text, meet, true, /*ignore_comments=*/true);
  } catch (const json::exception& error) {  // parse_error, or out_of_range for 1e999
    const std::string_view message = error.what();
    const auto tag_end = message.find("] ");  // of "[json.exception...] "
    throw BadConfig(source + ": " +
                    std::string(tag_end == std::string_view::npos ? message : message.substr(tag_end + 2)));
  }
}

/// `known` holds what may stand where `key` does; `path` is that of the object with the dot after it.
[[noreturn]] void refuse_unknown_key(const std::string& key, const json& known, const std::string& path,
                                     const std::string& source) {
  std::vector<std::string> names;
  if (known.is_object()) {
    for (const auto& item : known.items()) names.push_back(item.key());
  }
  const std::string nearest(model::nearest(key, names));
  throw BadConfig(source + ": unknown key \"" + path + key + "\"",
                  nearest.empty() ? "" : "did you mean \"" + path + nearest + "\"?");
}

/// Every key of `given` must be one of `known`'s, at any depth.
void refuse_unknown_keys(const json& given, const json& known, const std::string& path,
                         const std::string& source) {
  if (!given.is_object()) return;
  for (const auto& [key, value] : given.items()) {
    if (known.is_object() && known.contains(key)) {
      refuse_unknown_keys(value, known.at(key), path + key + ".", source);
      continue;
    }
    refuse_unknown_key(key, known, path, source);
  }
}

/// What `key` takes, in the words of the options and the manual.
std::string what_it_takes(const ConfigKey& key) {
  if (key.value.empty()) return "it holds keys: " + key.about;
  const auto* const sizes = key.value == "SIZE" ? " (bytes, or text such as 12GiB or 500MB)" : "";
  const std::string range = key.range.empty() ? "" : " " + key.range;
  return "it takes " + key.value + sizes + range + ": " + key.about;
}

/// `given` holds what is refused, which may be an item of a list.
[[noreturn]] void refuse_value(const json& given, const Refusal& refusal, const std::string& source) {
  const json* value = &given;
  std::string name;
  const ConfigKey* key = nullptr;
  for (const auto& step : refusal.path) {
    value = value->is_array() ? &value->at(std::stoul(step)) : &value->at(step);
    name += (name.empty() ? "" : ".") + step;
    const auto found = std::ranges::find(config_keys(), name, &ConfigKey::name);
    if (found != config_keys().end()) key = &*found;
  }
  if (key == nullptr) throw BadConfig(source + ": " + refusal.reason);
  throw BadConfig(source + ": " + key->name + " cannot be " + value->dump(), what_it_takes(*key));
}

void validate(const json& given, const std::string& source) {
  static const JsonSchema schema(json::parse(embedded::config_schema));
  if (const auto refusal = schema.refusal(given)) refuse_value(given, *refusal, source);
}

void check(const json& given, const json& known, const std::string& source) {
  if (!given.is_object()) throw BadConfig(source + ": the configuration must be an object");
  refuse_unknown_keys(given, known, "", source);
  validate(given, source);
}

std::uint64_t size_of(const json& value, const char* key) {
  if (value.is_number_integer()) return value.get<std::uint64_t>();
  try {
    return planner::parse_size(key, value.get<std::string>());
  } catch (const Error& error) {
    throw BadConfig(error.what(), error.hint());
  }
}

std::optional<std::string> text_of(const json& value) {
  if (value.is_null()) return std::nullopt;
  return value.get<std::string>();
}

ipc::Limits read_limits(const json& limits) {
  const auto seconds = [&](const char* key) { return std::chrono::seconds(limits.at(key).get<int>()); };
  ipc::Limits result;
  result.body_bytes = size_of(limits.at("body_bytes"), "limits.body_bytes");
  result.header_bytes = limits.at("header_bytes");
  result.json_depth = limits.at("json_depth");
  result.prompts = limits.at("prompts");
  result.prompt_tok = limits.at("prompt_tok");
  result.stop_strings = limits.at("stop_strings");
  result.stop_bytes = limits.at("stop_bytes");
  result.connections = limits.at("connections");
  result.queued_events = limits.at("queued_events");
  result.idle_timeout = seconds("idle_s");
  result.header_timeout = seconds("header_s");
  result.body_timeout = seconds("body_s");
  result.stall_timeout = seconds("stall_s");
  return result;
}

/// RAM for grammars.
std::size_t grammar_ram_of(const json& value, const char* key) {
  constexpr std::uint64_t kLeast = std::uint64_t{1} << 20;
  constexpr std::uint64_t kMost = std::uint64_t{64} << 30;
  const auto bytes = size_of(value, key);
  if (bytes >= kLeast && bytes <= kMost) return bytes;
  throw BadConfig(std::string(key) + ": must be between 1 MiB and 64 GiB");
}

/// What `name` stands for.  The schema lets no other name pass.
template <class Names>
auto named(const Names& names, const json& name) {
  return planner::value_of(names, name.get<std::string>()).value();
}

void read_workload(const json& workload, Config& config) {
  config.context_set = !workload.at("context").is_null();
  if (config.context_set) config.workload.max_seq_len = workload.at("context");
  config.workload.sequences = workload.at("sequences");
  config.workload.micro_batch = workload.at("micro_batch");
  config.workload.kv_type = named(planner::kKvTypeNames, workload.at("kv_type"));
  config.workload.head_type = named(planner::kHeadTypeNames, workload.at("head_type"));
  config.workload.cpu_weights = named(planner::kCpuWeightsNames, workload.at("cpu_weights"));
  config.workload.optimise = named(planner::kOptimiseNames, workload.at("optimise"));
  if (!workload.at("expected_context").is_null())
    config.workload.expected_context = workload.at("expected_context");
  if (!workload.at("stream_rows").is_null()) config.workload.stream_rows = workload.at("stream_rows");
}

ListenConfig read_listen(const json& listen) {
  ListenConfig result;
  result.address = text_of(listen.at("address"));
  result.api_key_file = text_of(listen.at("api_key_file"));
  result.hosts = listen.at("hosts").get<std::vector<std::string>>();
  result.origins = listen.at("origins").get<std::vector<std::string>>();
  if (result.address || !(result.api_key_file || !result.hosts.empty() || !result.origins.empty()))
    return result;
  throw BadConfig("listen: keys, hosts and origins are for a TCP port, and none is asked for",
                  "set listen.address, or give --listen 127.0.0.1:8080");
}

Config read(const json& all) {
  Config config;
  config.model = text_of(all.at("model"));
  config.plan = text_of(all.at("plan"));
  config.devices = all.at("devices");
  config.budget.vram_bytes = size_of(all.at("budget").at("vram"), "budget.vram");
  config.budget.ram_bytes = size_of(all.at("budget").at("ram"), "budget.ram");
  config.replan = all.at("less_vram") == "replan";
  if (!all.at("emulated_vram").is_null()) {
    config.emulated_vram_bytes = size_of(all.at("emulated_vram"), "emulated_vram");
  }
  read_workload(all.at("workload"), config);
  config.threads = all.at("threads");
  config.calibrate = all.at("calibrate");
  config.socket.path = text_of(all.at("socket").at("path"));
  config.socket.mode =
      static_cast<std::uint32_t>(std::stoul(all.at("socket").at("mode").get<std::string>(), nullptr, 8));
  config.socket.group = text_of(all.at("socket").at("group"));
  config.socket.proxy_uids = all.at("socket").at("proxy_uids").get<std::vector<std::uint32_t>>();
  config.listen = read_listen(all.at("listen"));
  config.limits = read_limits(all.at("limits"));
  config.queued_requests = all.at("limits").at("queued_requests");
  config.grammar_bytes = grammar_ram_of(all.at("limits").at("grammar_bytes"), "limits.grammar_bytes");
  config.grammar_mask_bytes = grammar_ram_of(all.at("grammar_masks"), "grammar_masks");
  config.grace = std::chrono::seconds(all.at("grace_s").get<int>());
  config.log_level = all.at("log_level");
  return config;
}

}  // namespace

json read_config_file(const std::filesystem::path& path) {
  try {
    return parse(model::read_text_file(path), path.string());
  } catch (const BadConfig&) {
    throw;
  } catch (const Error& error) {
    throw BadConfig(error.what());
  }
}

Config make_config(const json& file, const json& flags) {
  json all = parse(embedded::default_config, "config/default.json");
  check(file, all, "configuration file");
  check(flags, all, "command line");
  json set = file;
  set.update(flags, /*merge_objects=*/true);
  const bool plan_set = set.contains("plan") && !set.at("plan").is_null();
  for (const auto* key : {"budget", "workload"}) {
    if (plan_set && set.contains(key) && !set.at(key).empty()) {
      throw BadConfig(
          std::string("a plan fixes budget and workload: \"plan\" and \"") + key + "\" exclude each other",
          "leave one of them out");
    }
  }
  // Not merge_patch: there, a null in the user's file would remove the key.
  for (const auto* source : {&file, &flags}) all.update(*source, /*merge_objects=*/true);
  return read(all);
}

}  // namespace tandem::daemon
