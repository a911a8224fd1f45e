#include "model/gguf_part.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <optional>

#include "model/byte_reader.h"
#include "model/checked.h"
#include "model/error.h"

namespace tandem::model {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kMinKeyValueBytes = 13;
constexpr std::uint64_t kMinTensorInfoBytes = 24;
constexpr std::uint64_t kMaxKeys = 65'536;
constexpr std::uint64_t kMaxTensors = 65'536;
constexpr std::uint64_t kMaxKeyBytes = 65'535;
constexpr std::uint64_t kMaxTensorNameBytes = 63;
constexpr std::uint64_t kMaxArrayCount = std::uint64_t{1} << 30;
constexpr std::uint32_t kMaxDims = 4;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr auto kMaxElems = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

std::string text(std::uint64_t value) {
  return std::to_string(value);
}

struct Counts {
  std::uint64_t tensors = 0;
  std::uint64_t keys = 0;
};

std::uint64_t read_count(ByteReader& reader, std::string_view field, std::uint64_t limit) {
  const auto at = reader;
  const auto count = reader.read<std::uint64_t>(field);
  if (count > limit) at.fail(field, text(count) + " exceeds the limit of " + text(limit));
  return count;
}

Counts read_preamble(ByteReader& reader) {
  auto at = reader;
  if (reader.read<std::uint32_t>("magic") != kMagic) at.fail("magic", "not a GGUF file");
  at = reader;
  const auto version = reader.read<std::uint32_t>("version");
  if ((version & 0xffff) == 0 && version != 0)
    at.fail("version", "big-endian file, only little-endian is read");
  if (version != 2 && version != 3) at.fail("version", text(version) + ", only 2 and 3 are read");
  Counts counts;
  at = reader;
  counts.tensors = read_count(reader, "tensor_count", kMaxTensors);
  const auto keys_at = reader;
  counts.keys = read_count(reader, "kv_count", kMaxKeys);
  // Both factors are below 2^17: no overflow.
  if (counts.keys * kMinKeyValueBytes > reader.remaining()) {
    keys_at.fail("kv_count", text(counts.keys) + " keys do not fit the file, limit is " +
                                 text(reader.remaining() / kMinKeyValueBytes));
  }
  if (counts.tensors * kMinTensorInfoBytes > reader.remaining()) {
    at.fail("tensor_count", text(counts.tensors) + " tensors do not fit the file, limit is " +
                                text(reader.remaining() / kMinTensorInfoBytes));
  }
  return counts;
}

MetaType read_meta_type(ByteReader& reader, std::string_view field) {
  const auto at = reader;
  const auto id = reader.read<std::uint32_t>(field);
  if (id > static_cast<std::uint32_t>(MetaType::f64))
    at.fail(field, "value type " + text(id) + ", limit is 12");
  return static_cast<MetaType>(id);
}

bool read_bool(ByteReader& reader, std::string_view field) {
  const auto at = reader;
  const auto byte = reader.read<std::uint8_t>(field);
  if (byte > 1) at.fail(field, "bool of value " + text(byte) + ", limit is 1");
  return byte == 1;
}

/// Walks over an array, checking each element that can be wrong, and leaves it where it lies.
MetaArray read_array(ByteReader& reader, std::string_view field) {
  auto at = reader;
  const auto element = read_meta_type(reader, field);
  if (element == MetaType::array) at.fail(field, "array of arrays");
  at = reader;
  const auto count = reader.read<std::uint64_t>(field);
  const std::uint64_t elem_bytes =
      element == MetaType::string ? sizeof(std::uint64_t) : meta_type_bytes(element);
  if (count > kMaxArrayCount)
    at.fail(field, "array of " + text(count) + " elements exceeds the limit of " + text(kMaxArrayCount));
  if (count > reader.remaining() / elem_bytes) {
    at.fail(field, "array of " + text(count) + " elements needs more than the " + text(reader.remaining()) +
                       " bytes that the file has left");
  }

  auto walk = reader;
  if (element == MetaType::string) {
    for (std::uint64_t i = 0; i < count; ++i) walk.read_string(field);
  } else if (element == MetaType::boolean) {
    for (std::uint64_t i = 0; i < count; ++i) read_bool(walk, field);
  } else {
    walk.take(count * elem_bytes, field);
  }
  return {element, count, reader.take(walk.offset() - reader.offset(), field)};
}

MetaValue read_value(ByteReader& reader, MetaType type, std::string_view field) {
  switch (type) {
    case MetaType::u8:
      return std::uint64_t{reader.read<std::uint8_t>(field)};
    case MetaType::u16:
      return std::uint64_t{reader.read<std::uint16_t>(field)};
    case MetaType::u32:
      return std::uint64_t{reader.read<std::uint32_t>(field)};
    case MetaType::u64:
      return reader.read<std::uint64_t>(field);
    case MetaType::i8:
      return std::int64_t{reader.read<std::int8_t>(field)};
    case MetaType::i16:
      return std::int64_t{reader.read<std::int16_t>(field)};
    case MetaType::i32:
      return std::int64_t{reader.read<std::int32_t>(field)};
    case MetaType::i64:
      return reader.read<std::int64_t>(field);
    case MetaType::f32:
      return double{reader.read<float>(field)};
    case MetaType::f64:
      return reader.read<double>(field);
    case MetaType::boolean:
      return read_bool(reader, field);
    case MetaType::string:
      return reader.read_string(field);
    case MetaType::array:
      break;
  }
  return read_array(reader, field);
}

void read_key_value(ByteReader& reader, GgufPart& part) {
  const auto at = reader;
  const auto key = reader.read_string("key");
  if (key.empty() || key.size() > kMaxKeyBytes) {
    at.fail("key", "length of " + text(key.size()) + " bytes, limits are 1 and " + text(kMaxKeyBytes));
  }
  const auto field = printable(key);
  const auto type = read_meta_type(reader, field);
  const auto value_offset = reader.offset();
  auto value = read_value(reader, type, field);
  const auto [entry, inserted] = part.metadata.emplace(key, MetaEntry{value, value_offset});
  if (!inserted) {
    at.fail(field, "duplicate key, first value at byte " + text(entry->second.offset_bytes));
  }
}

std::uint64_t alignment_of(const ByteReader& reader, const GgufPart& part) {
  const auto entry = part.metadata.find("general.alignment");
  if (entry == part.metadata.end()) return kDefaultAlignment;
  const auto* value = std::get_if<std::uint64_t>(&entry->second.value);
  if (value == nullptr || *value > std::numeric_limits<std::uint32_t>::max() ||
      !std::has_single_bit(*value)) {
    throw BadModel(reader.file(), entry->second.offset_bytes, "general.alignment",
                   "not a power of two of type u32");
  }
  return *value;
}

TensorType read_tensor_type(ByteReader& reader, const std::string& field) {
  const auto offset = reader.offset();
  const auto id = reader.read<std::uint32_t>(field);
  if (const auto type = tensor_type_from_id(id)) return *type;
  std::string known;
  for (const auto& info : tensor_types()) known += (known.empty() ? "" : ", ") + std::string(info.name);
  throw UnsupportedModel(reader.file() + ": byte " + text(offset) + ": " + field + ": type " + text(id) +
                             " (" + tensor_type_id_name(id) + ") is not one that Tandem computes with",
                         "use a file quantised to " + known);
}

/// Elements of a tensor with every partial product in range.
std::uint64_t count_elems(const ByteReader& at, const TensorInfo& tensor, const std::string& field) {
  std::optional<std::uint64_t> elems = 1;
  for (const auto dim : tensor.dims) {
    elems = checked_mul(*elems, dim);
    if (dim > kMaxElems || !elems || *elems > kMaxElems) {
      at.fail(field, "dimensions exceed the limit of 2^63 - 1 elements");
    }
  }
  return *elems;
}

/// One directory entry; `offset_bytes` stays relative to the data section, whose start is not known yet.
TensorInfo read_tensor_info(ByteReader& reader, std::uint64_t alignment) {
  auto at = reader;
  TensorInfo tensor;
  tensor.name = reader.read_string("tensor name");
  if (tensor.name.empty() || tensor.name.size() > kMaxTensorNameBytes) {
    at.fail("tensor name", "length of " + text(tensor.name.size()) + " bytes, limits are 1 and " +
                               text(kMaxTensorNameBytes));
  }
  const auto field = "tensor " + printable(tensor.name);
  at = reader;
  tensor.n_dims = reader.read<std::uint32_t>(field);
  if (tensor.n_dims < 1 || tensor.n_dims > kMaxDims) {
    at.fail(field, text(tensor.n_dims) + " dimensions, limits are 1 and " + text(kMaxDims));
  }
  at = reader;
  for (std::uint32_t i = 0; i < tensor.n_dims; ++i) tensor.dims[i] = reader.read<std::uint64_t>(field);
  const auto elems = count_elems(at, tensor, field);
  tensor.type = read_tensor_type(reader, field);
  const auto& info = tensor_type_info(tensor.type);
  if (tensor.dims[0] % info.block_elems != 0) {
    at.fail(field, "rows of " + text(tensor.dims[0]) + " elements are not whole blocks of " +
                       text(info.block_elems) + " (" + std::string(info.name) + ")");
  }
  const auto size_bytes = tensor_bytes(tensor.type, elems);
  if (!size_bytes || *size_bytes > kMaxElems) at.fail(field, "size exceeds the limit of 2^63 - 1 bytes");
  tensor.size_bytes = *size_bytes;
  at = reader;
  tensor.offset_bytes = reader.read<std::uint64_t>(field);
  if (tensor.offset_bytes % alignment != 0) {
    at.fail(field,
            "offset " + text(tensor.offset_bytes) + " is not a multiple of the alignment " + text(alignment));
  }
  return tensor;
}

/// Makes offsets absolute and checks that they and the ends of the tensors are numbers a file can have.
void place_tensors(const ByteReader& reader, GgufPart& part, std::uint64_t alignment) {
  const auto data_start = checked_align_up(reader.offset(), alignment);
  for (auto& tensor : part.tensors) {
    const auto offset = data_start ? checked_add(*data_start, tensor.offset_bytes) : std::nullopt;
    const auto end = offset ? checked_add(*offset, tensor.size_bytes) : std::nullopt;
    if (!end || *end > kMaxElems) {
      reader.fail("tensor " + printable(tensor.name), "ends beyond the limit of 2^63 - 1 bytes");
    }
    tensor.offset_bytes = *offset;
  }
}

void check_overlap(const ByteReader& reader, const GgufPart& part) {
  std::vector<std::uint32_t> order(part.tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return part.tensors[a].offset_bytes < part.tensors[b].offset_bytes;
  });
  std::uint64_t previous_end = 0;
  for (const auto index : order) {
    const auto& tensor = part.tensors[index];
    if (tensor.size_bytes == 0) continue;
    if (tensor.offset_bytes < previous_end) {
      throw BadModel(reader.file(), tensor.offset_bytes, "tensor " + printable(tensor.name),
                     "data overlaps that of another tensor, which ends at byte " + text(previous_end));
    }
    previous_end = tensor.offset_bytes + tensor.size_bytes;
  }
}

}  // namespace

GgufPart parse_gguf_part(const std::string& file, std::span<const std::byte> bytes) {
  ByteReader reader(file, bytes);
  const auto counts = read_preamble(reader);
  GgufPart part;
  for (std::uint64_t i = 0; i < counts.keys; ++i) read_key_value(reader, part);
  const auto alignment = alignment_of(reader, part);
  part.tensors.reserve(counts.tensors);
  for (std::uint64_t i = 0; i < counts.tensors; ++i)
    part.tensors.push_back(read_tensor_info(reader, alignment));
  place_tensors(reader, part, alignment);
  check_overlap(reader, part);
  return part;
}

}  // namespace tandem::model
