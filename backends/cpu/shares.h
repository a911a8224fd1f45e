#pragma once

// How the members of a team share out the pieces of an operation.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace tandem::cpu {

/// Pieces [first, end) that a member begins with, fewer than 2^32.
struct Share {
  std::size_t first, end;

  /// That of member `member` of `members` in `n` pieces: one share after another, alike but for a piece.
  Share(std::size_t n, unsigned member, unsigned members) noexcept
      : first(n * member / members), end(n * (member + 1) / members) {}
};

/// What has been claimed of a share: its owner goes on from the first piece, others go back from the last.
class Claims {
 public:
  void clear() noexcept { claimed_.store(0, std::memory_order_relaxed); }

  /// The next piece for the owner; none when all are claimed.
  std::optional<std::size_t> next(const Share& share) noexcept {
    const Counts before(claimed_.fetch_add(kOneByOwner, std::memory_order_relaxed));
    if (before.owner + before.others >= share.end - share.first) return std::nullopt;
    return share.first + before.owner;
  }

  /// The same for any other member.
  std::optional<std::size_t> last(const Share& share) noexcept {
    const std::size_t size = share.end - share.first;
    if (size == 0) return std::nullopt;
    const Counts now(claimed_.load(std::memory_order_relaxed));  // writing would slow its owner down
    if (now.owner + now.others >= size) return std::nullopt;
    const Counts before(claimed_.fetch_add(kOneByOthers, std::memory_order_relaxed));
    if (before.owner + before.others >= size) return std::nullopt;
    return share.end - 1 - before.others;
  }

 private:
  static constexpr std::uint64_t kOneByOwner = 1, kOneByOthers = std::uint64_t{1} << 32;

  /// Both in one number, so that a claim sees all that were made before it.
  struct Counts {
    std::size_t owner, others;
    explicit Counts(std::uint64_t claimed) noexcept
        : owner(claimed & (kOneByOthers - 1)), others(claimed / kOneByOthers) {}
  };

  std::atomic<std::uint64_t> claimed_{0};
};

/// The claims on one member's shares, in a line of its own: of the operation under way, and of the next one,
/// whose claims the member clears while nobody looks at them.
class alignas(64) MemberClaims {
 public:
  Claims& of(std::uint32_t operation) noexcept { return claims_[operation % 2]; }
  void clear() noexcept {
    for (Claims& claims : claims_) claims.clear();
  }

 private:
  std::array<Claims, 2> claims_;
};

}  // namespace tandem::cpu
