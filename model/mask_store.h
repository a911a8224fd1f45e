#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "model/recycled_memory.h"
#include "model/token_set.h"

namespace tandem::model {

/// The tokens that fit at some places of one rule of a grammar, whatever is below on the stack.
struct RuleMask {
  explicit RuleMask(std::pmr::memory_resource* memory = std::pmr::get_default_resource())
      : few(memory), beyond(memory), first_beyond(memory) {}

  std::pmr::vector<TokenId> few;  ///< either these,
  std::optional<TokenSet> many;   ///< or these

  /// Nodes of the trie before whose byte the rule may be over, those with byte b from first_beyond[b] on.
  std::pmr::vector<std::uint32_t> beyond;
  std::pmr::vector<std::uint32_t> first_beyond;  ///< (257), empty where there are none

  /// That it takes in memory.
  [[nodiscard]] std::size_t bytes() const noexcept;
};

/// Masks of any number of grammars, up to so many bytes: where more come, those that nobody has asked for
/// for longest go.  Masks are immutable and stay as long as somebody holds them.  Thread-safe.
class MaskStore {
 public:
  static constexpr std::size_t kDefaultBytes = std::size_t{32} << 20;

  explicit MaskStore(std::size_t max_bytes = kDefaultBytes)
      : memory_(2 * max_bytes + kBytesToMake), max_bytes_(max_bytes) {}
  MaskStore(const MaskStore&) = delete;
  MaskStore& operator=(const MaskStore&) = delete;

  /// For masks that are kept here, which end before the store: while no more than `max_bytes` are, and one or
  /// two are being made, none of them allocates.
  [[nodiscard]] std::pmr::memory_resource* memory() noexcept { return &memory_; }

  /// Of what is kept; never more than `max_bytes`.
  [[nodiscard]] std::size_t bytes() const;

 private:
  friend class MaskShelf;

  std::uint64_t new_owner();
  std::shared_ptr<const RuleMask> find(std::uint64_t owner, std::uint32_t place);
  void keep(std::uint64_t owner, std::uint32_t place, std::shared_ptr<const RuleMask> mask);
  void forget(std::uint64_t owner) noexcept;

  using Key = std::pair<std::uint64_t, std::uint32_t>;  ///< owner and place
  struct Kept {
    Key key;
    std::shared_ptr<const RuleMask> mask;
  };
  using Position = std::pmr::list<Kept>::iterator;

  static constexpr std::size_t kBytesToMake = std::size_t{8} << 20;

  void drop(Position position) noexcept;

  RecycledMemory memory_;  ///< first: of all below
  const std::size_t max_bytes_;
  mutable std::mutex mutex_;
  std::uint64_t owners_ = 0;
  std::size_t bytes_ = 0;
  std::pmr::list<Kept> newest_first_{&memory_};
  std::pmr::map<Key, Position> by_key_{&memory_};
};

/// One grammar's part of a store, by place in the grammar; it is emptied at its end.
class MaskShelf {
 public:
  explicit MaskShelf(std::shared_ptr<MaskStore> store)
      : store_(std::move(store)), owner_(store_->new_owner()) {}
  ~MaskShelf() { clear(); }
  MaskShelf(const MaskShelf&) = delete;
  MaskShelf& operator=(const MaskShelf&) = delete;

  /// For masks to keep here.
  [[nodiscard]] std::pmr::memory_resource* memory() const noexcept { return store_->memory(); }

  /// Null where it is not here, or not any more.
  [[nodiscard]] std::shared_ptr<const RuleMask> find(std::uint32_t place) const {
    return store_->find(owner_, place);
  }
  /// Replaces what was kept for the same place.
  void keep(std::uint32_t place, std::shared_ptr<const RuleMask> mask) {
    store_->keep(owner_, place, std::move(mask));
  }
  void clear() noexcept { store_->forget(owner_); }

 private:
  const std::shared_ptr<MaskStore> store_;
  const std::uint64_t owner_;
};

}  // namespace tandem::model
