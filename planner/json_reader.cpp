#include "planner/json_reader.h"

#include <cmath>

#include "model/nearest.h"

namespace tandem::planner {
namespace {

std::string range_text(std::uint64_t min, std::uint64_t max) {
  if (max == std::numeric_limits<std::uint64_t>::max()) return "at least " + std::to_string(min);
  return std::to_string(min) + " to " + std::to_string(max);
}

}  // namespace

std::string key_path(std::string_view path, std::string_view key) {
  if (path.empty()) return std::string(key);
  return std::string(path) + "." + std::string(key);
}

nlohmann::json parse_json(std::string_view text) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {  // parse_error, or out_of_range for 1e999
    throw BadField("JSON", error.what());
  }
}

ObjectReader::ObjectReader(const nlohmann::json& value, std::string path)
    : value_(&value), path_(std::move(path)) {
  if (!value.is_object()) throw BadField(path_.empty() ? "JSON" : path_, "must be an object");
}

bool ObjectReader::has(std::string_view key) {
  read_.emplace(key);  // a known key, also where it is absent
  return value_->contains(key);
}

const nlohmann::json& ObjectReader::at(std::string_view key) {
  const auto found = value_->find(key);
  if (found == value_->end()) fail(key, "missing");
  read_.emplace(key);
  return *found;
}

std::uint64_t ObjectReader::uint(std::string_view key, std::uint64_t min, std::uint64_t max) {
  const auto& value = at(key);
  const bool in_range =
      value.is_number_unsigned() && value.get<std::uint64_t>() >= min && value.get<std::uint64_t>() <= max;
  if (!in_range) fail(key, "must be an integer, " + range_text(min, max));
  return value.get<std::uint64_t>();
}

std::uint32_t ObjectReader::uint32(std::string_view key, std::uint32_t min, std::uint32_t max) {
  return static_cast<std::uint32_t>(uint(key, min, max));
}

double ObjectReader::number(std::string_view key, double min, double max) {
  const auto& value = at(key);
  if (!value.is_number()) fail(key, "must be a number");
  const auto number = value.get<double>();
  if (!std::isfinite(number) || number < min || number > max) {
    fail(key, "must be " + nlohmann::json(min).dump() + " to " + nlohmann::json(max).dump());
  }
  return number;
}

bool ObjectReader::boolean(std::string_view key) {
  const auto& value = at(key);
  if (!value.is_boolean()) fail(key, "must be true or false");
  return value.get<bool>();
}

std::string ObjectReader::text(std::string_view key) {
  const auto& value = at(key);
  if (!value.is_string()) fail(key, "must be a string");
  return value.get<std::string>();
}

ObjectReader ObjectReader::object(std::string_view key) {
  return {at(key), path_of(key)};
}

const nlohmann::json& ObjectReader::array(std::string_view key) {
  const auto& value = at(key);
  if (!value.is_array()) fail(key, "must be an array");
  return value;
}

void ObjectReader::fail(std::string_view key, const std::string& problem) const {
  throw BadField(path_of(key), problem);
}

void ObjectReader::finish() const {
  for (const auto& item : value_->items()) {
    if (read_.contains(item.key())) continue;
    fail(item.key(),
         "unknown key; the nearest known one is \"" + std::string(model::nearest(item.key(), read_)) + "\"");
  }
}

}  // namespace tandem::planner
