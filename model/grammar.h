#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/error.h"

namespace tandem::model {

/// A grammar or schema that Tandem cannot hold an answer to; says which rule or keyword.
class GrammarError : public Error {
 public:
  using Error::Error;
};

/// Code points first to last, both included.
struct CodeRange {
  char32_t first = 0;
  char32_t last = 0;
};

/// A piece of a rule's right-hand side.
struct Expression {
  enum class Kind {
    text,        ///< `text`, UTF-8
    characters,  ///< one character of `ranges`
    sequence,    ///< all `parts`, one after another; none: the empty text
    choice,      ///< one of `parts`
    repeat,      ///< `parts[0]`, from `min` to `max` times
    rule         ///< what the rule called `text` makes
  };
  static constexpr std::uint32_t kUnlimited = ~std::uint32_t{0};

  Kind kind = Kind::sequence;
  std::string text;
  std::vector<CodeRange> ranges;
  std::vector<Expression> parts;
  std::uint32_t min = 0;
  std::uint32_t max = kUnlimited;

  static Expression literal(std::string_view text);
  static Expression one_of(std::vector<CodeRange> ranges);
  static Expression sequence(std::vector<Expression> parts);
  static Expression choice(std::vector<Expression> parts);
  static Expression repeat(Expression part, std::uint32_t min, std::uint32_t max);
  static Expression optional(Expression part) { return repeat(std::move(part), 0, 1); }
  static Expression rule(std::string_view name);
};

struct GrammarRule {
  std::string name;
  Expression body;
};

/// A context-free grammar over bytes, as a graph that a pushdown machine walks.  Immutable.
class Grammar {
 public:
  using NodeId = std::uint32_t;

  struct Node {
    enum class Kind : std::uint8_t {
      bytes,  ///< takes a byte of byte_set(target), goes on at `next`
      call,   ///< goes on at `target`, the start of a rule, and after its end at `next`
      fork,   ///< goes on at each node of branches(target)
      end     ///< the rule is over
    };
    Kind kind = Kind::end;
    std::uint32_t target = 0;
    NodeId next = 0;
  };

  /// Compiles `rules`; an answer is what the rule called `root` makes.  Throws GrammarError for rules that
  /// are missing, defined twice, begin with themselves or can never end, and for grammars that are too large.
  Grammar(const std::vector<GrammarRule>& rules, std::string_view root);

  [[nodiscard]] NodeId start() const noexcept { return start_; }
  [[nodiscard]] const Node& node(NodeId id) const noexcept { return nodes_[id]; }
  [[nodiscard]] const std::bitset<256>& byte_set(const Node& node) const noexcept {
    return byte_sets_[node.target];
  }
  [[nodiscard]] const std::vector<NodeId>& branches(const Node& node) const noexcept {
    return branches_[node.target];
  }
  [[nodiscard]] std::size_t node_count() const noexcept { return nodes_.size(); }
  /// That it takes in memory.
  [[nodiscard]] std::size_t bytes() const noexcept;

 private:
  friend class GrammarCompiler;

  NodeId start_ = 0;
  std::vector<Node> nodes_;
  std::vector<std::bitset<256>> byte_sets_;
  std::vector<std::vector<NodeId>> branches_;
};

}  // namespace tandem::model
