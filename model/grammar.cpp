#include "model/grammar.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "model/utf8_ranges.h"

namespace tandem::model {
namespace {

using Kind = Expression::Kind;

constexpr std::size_t kMostNodes = 1'000'000;
constexpr std::size_t kMostPieces = 4 * kMostNodes;  ///< that are looked at for these
constexpr std::size_t kMostInlined = 64;             ///< nodes of a rule that is copied to where it is used
constexpr std::size_t kDeepest = 1500;               ///< pieces within pieces and the rules that they use

using RuleMap = std::map<std::string, const Expression*, std::less<>>;

/// One level of a recursion through rules, of which there are only so many.
class Level {
 public:
  explicit Level(std::size_t& depth) : depth_(depth) {
    if (++depth_ > kDeepest) throw GrammarError("rules are within each other too deep");
  }
  ~Level() { --depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  std::size_t& depth_;
};

/// What has to be known of the rules before they become a graph.
class RuleFacts {
 public:
  explicit RuleFacts(const RuleMap& rules);

  [[nodiscard]] bool ends(const std::string& rule) const { return ends_.contains(rule); }
  /// A rule that may come to itself again before a byte is taken.
  [[nodiscard]] std::optional<std::string> left_recursive_rule() const;
  /// Whether the rule is walked as one unit with its own masks, or copied to where it is used.
  [[nodiscard]] bool is_called(const std::string& rule) const { return called_.contains(rule); }

 private:
  bool ends(const Expression& e) const;
  bool is_nullable(const Expression& e) const;
  bool add_first_rules(const Expression& e, std::set<std::string>& first) const;
  [[nodiscard]] std::vector<const RuleMap::value_type*> rules_inner_first() const;
  static void add_used_rules(const Expression& e, std::set<std::string>& used);
  static std::size_t piece_count(const Expression& e);
  std::optional<std::size_t> inline_size(const Expression& e);
  std::optional<std::size_t> inline_size_of_rule(const std::string& rule);

  const RuleMap& rules_;
  std::set<std::string> ends_;
  std::set<std::string> nullable_;
  std::set<std::string> called_;
  std::set<std::string> visiting_;
  std::map<std::string, std::optional<std::size_t>, std::less<>> sizes_;
  std::size_t depth_ = 0;
};

RuleFacts::RuleFacts(const RuleMap& rules) : rules_(rules) {
  const auto inner_first = rules_inner_first();
  std::size_t pieces = 0;
  for (const auto* rule : inner_first) pieces += piece_count(*rule->second);
  bool grown = true;
  for (std::size_t passes = 0; grown; ++passes) {
    if (passes * pieces > kMostPieces) throw GrammarError("rules use each other in too many loops");
    grown = false;
    for (const auto* rule : inner_first) {
      if (ends(*rule->second)) grown |= ends_.insert(rule->first).second;
      if (is_nullable(*rule->second)) grown |= nullable_.insert(rule->first).second;
    }
  }
  for (const auto& [name, body] : rules_) {
    if (!inline_size_of_rule(name)) called_.insert(name);
  }
}

/// Rules after those that they use, but for loops: in another order, as many passes over them all may be
/// needed as there are rules.
std::vector<const RuleMap::value_type*> RuleFacts::rules_inner_first() const {
  struct Step {
    const RuleMap::value_type* rule;
    bool leaves;
  };
  std::vector<const RuleMap::value_type*> sorted;
  std::set<std::string> met;
  for (const auto& first : rules_) {
    std::vector<Step> steps = {{&first, false}};
    while (!steps.empty()) {
      const auto [rule, leaves] = steps.back();
      steps.pop_back();
      if (leaves) sorted.push_back(rule);
      if (leaves || !met.insert(rule->first).second) continue;
      steps.push_back({rule, true});
      std::set<std::string> used;
      add_used_rules(*rule->second, used);
      for (const auto& name : used) steps.push_back({&*rules_.find(name), false});
    }
  }
  return sorted;
}

void RuleFacts::add_used_rules(const Expression& e, std::set<std::string>& used) {
  if (e.kind == Kind::rule) used.insert(e.text);
  for (const auto& part : e.parts) add_used_rules(part, used);
}

std::size_t RuleFacts::piece_count(const Expression& e) {
  std::size_t count = 1;
  for (const auto& part : e.parts) count += piece_count(part);
  return count;
}

/// Whether some finite text is made.
bool RuleFacts::ends(const Expression& e) const {
  const auto part_ends = [this](const Expression& part) { return ends(part); };
  switch (e.kind) {
    case Kind::text:
      return true;
    case Kind::characters:
      return !e.ranges.empty();
    case Kind::sequence:
      return std::ranges::all_of(e.parts, part_ends);
    case Kind::choice:
      return std::ranges::any_of(e.parts, part_ends);
    case Kind::repeat:
      return e.min == 0 || ends(e.parts[0]);
    case Kind::rule:
      return ends_.contains(e.text);
  }
  return false;
}

bool RuleFacts::is_nullable(const Expression& e) const {
  const auto part_is_nullable = [this](const Expression& part) { return is_nullable(part); };
  switch (e.kind) {
    case Kind::text:
      return e.text.empty();
    case Kind::characters:
      return false;
    case Kind::sequence:
      return std::ranges::all_of(e.parts, part_is_nullable);
    case Kind::choice:
      return std::ranges::any_of(e.parts, part_is_nullable);
    case Kind::repeat:
      return e.min == 0 || is_nullable(e.parts[0]);
    case Kind::rule:
      return nullable_.contains(e.text);
  }
  return false;
}

/// Adds the rules that may be entered before a byte is taken; true if `e` may be left without one.
bool RuleFacts::add_first_rules(const Expression& e, std::set<std::string>& first) const {
  if (e.kind == Kind::rule) first.insert(e.text);
  if (e.kind == Kind::sequence) {
    return std::ranges::all_of(e.parts, [&](const auto& part) { return add_first_rules(part, first); });
  }
  for (const auto& part : e.parts) add_first_rules(part, first);
  return is_nullable(e);
}

std::optional<std::string> RuleFacts::left_recursive_rule() const {
  std::set<std::string> done;
  std::set<std::string> entered;
  struct Step {
    std::string rule;
    bool leaves;
  };
  for (const auto& [name, body] : rules_) {
    std::vector<Step> steps = {{name, false}};
    while (!steps.empty()) {
      const auto step = steps.back();
      steps.pop_back();
      if (step.leaves) {
        entered.erase(step.rule);
        done.insert(step.rule);
        continue;
      }
      if (done.contains(step.rule)) continue;
      if (!entered.insert(step.rule).second) return step.rule;
      steps.push_back({step.rule, true});
      std::set<std::string> first;
      add_first_rules(*rules_.at(step.rule), first);
      for (const auto& next : first) steps.push_back({next, false});
    }
  }
  return std::nullopt;
}

/// Nodes that a copy of `e` takes.  None where it has a loop, which is worth masks of its own, or is large.
std::optional<std::size_t> RuleFacts::inline_size(const Expression& e) {
  const Level level(depth_);
  if (e.kind == Kind::rule) return called_.contains(e.text) ? 1 : inline_size_of_rule(e.text).value_or(1);
  if (e.kind == Kind::repeat && e.max > kMostInlined) return std::nullopt;
  std::size_t size = std::max<std::size_t>(e.text.size(), 1) + e.ranges.size() * 2;
  for (const auto& part : e.parts) {
    const auto part_size = inline_size(part);
    if (!part_size) return std::nullopt;
    size += *part_size * (e.kind == Kind::repeat ? e.max : 1);
  }
  return size <= kMostInlined ? std::optional(size) : std::nullopt;
}

std::optional<std::size_t> RuleFacts::inline_size_of_rule(const std::string& rule) {
  if (const auto known = sizes_.find(rule); known != sizes_.end()) return known->second;
  if (!visiting_.insert(rule).second) {  // it is part of itself
    called_.insert(rule);
    return std::nullopt;
  }
  auto size = inline_size(*rules_.at(rule));
  visiting_.erase(rule);
  if (called_.contains(rule)) size = std::nullopt;
  return sizes_[rule] = size;
}

RuleMap map_of(const std::vector<GrammarRule>& rules) {
  RuleMap map;
  for (const auto& rule : rules) {
    if (!map.emplace(rule.name, &rule.body).second) {
      throw GrammarError("rule \"" + rule.name + "\" is defined twice");
    }
  }
  return map;
}

void require_defined(const Expression& e, const std::string& where, const RuleMap& rules) {
  if (e.kind == Kind::rule && !rules.contains(e.text)) {
    throw GrammarError("rule \"" + where + "\" uses \"" + e.text + "\", which is not defined");
  }
  for (const auto& part : e.parts) require_defined(part, where, rules);
}

}  // namespace

/// Turns rules into the graph, back to front: every piece knows where it goes on.
class GrammarCompiler {
 public:
  using NodeId = Grammar::NodeId;
  using NodeKind = Grammar::Node::Kind;

  GrammarCompiler(Grammar& grammar, const RuleMap& rules, const RuleFacts& facts)
      : grammar_(grammar), rules_(rules), facts_(facts) {}

  /// Where `rule` starts.
  NodeId start_of(const std::string& rule) {
    if (const auto known = starts_.find(rule); known != starts_.end()) return known->second;
    // A node that the rule's calls can go to before its body exists.
    const auto start = add_fork({});
    starts_.emplace(rule, start);
    const auto end = add({NodeKind::end, 0, 0});
    const auto body = build(*rules_.at(rule), end);
    grammar_.branches_[grammar_.nodes_[start].target] = {body};
    return start;
  }

 private:
  [[noreturn]] static void refuse_size() {
    throw GrammarError("the grammar needs more than " + std::to_string(kMostNodes) + " nodes",
                       "Large repetition counts are the usual reason.");
  }

  NodeId add(Grammar::Node node) {
    if (grammar_.nodes_.size() >= kMostNodes) refuse_size();
    grammar_.nodes_.push_back(node);
    return static_cast<NodeId>(grammar_.nodes_.size() - 1);
  }

  NodeId add_fork(std::vector<NodeId> branches) {
    grammar_.branches_.push_back(std::move(branches));
    return add({NodeKind::fork, static_cast<std::uint32_t>(grammar_.branches_.size() - 1), 0});
  }

  NodeId add_bytes(const std::bitset<256>& bytes, NodeId next) {
    const auto next_set = static_cast<std::uint32_t>(grammar_.byte_sets_.size());
    const auto [set, is_new] = byte_sets_.emplace(bytes, next_set);
    if (is_new) grammar_.byte_sets_.push_back(bytes);
    return add({NodeKind::bytes, set->second, next});
  }

  NodeId build(const Expression& e, NodeId next) {
    const Level level(depth_);
    if (++pieces_ > kMostPieces) refuse_size();
    switch (e.kind) {
      case Kind::text:
        for (auto byte = e.text.rbegin(); byte != e.text.rend(); ++byte) {
          next = add_bytes(std::bitset<256>().set(static_cast<std::uint8_t>(*byte)), next);
        }
        return next;
      case Kind::characters:
        return build_characters(e.ranges, next);
      case Kind::sequence:
        for (auto part = e.parts.rbegin(); part != e.parts.rend(); ++part) next = build(*part, next);
        return next;
      case Kind::choice: {
        std::vector<NodeId> branches;
        for (const auto& part : e.parts) branches.push_back(build(part, next));
        return add_fork(std::move(branches));
      }
      case Kind::repeat:
        return build_repeat(e, next);
      case Kind::rule:
        if (!facts_.is_called(e.text)) return build(*rules_.at(e.text), next);
        return add({NodeKind::call, start_of(e.text), next});
    }
    return next;
  }

  NodeId build_characters(const std::vector<CodeRange>& ranges, NodeId next) {
    std::bitset<256> ascii;
    std::vector<NodeId> branches;
    for (const auto& range : ranges) {
      for (const auto& sequence : utf8_ranges(range)) {
        if (sequence.size() == 1) {
          set_range(ascii, sequence[0]);
          continue;
        }
        auto node = next;
        for (auto bytes = sequence.rbegin(); bytes != sequence.rend(); ++bytes) {
          std::bitset<256> set;
          set_range(set, *bytes);
          node = add_bytes(set, node);
        }
        branches.push_back(node);
      }
    }
    if (ascii.any()) branches.push_back(add_bytes(ascii, next));
    return branches.size() == 1 ? branches[0] : add_fork(std::move(branches));
  }

  static void set_range(std::bitset<256>& set, ByteRange range) {
    for (unsigned byte = range.first; byte <= range.last; ++byte) set.set(byte);
  }

  NodeId build_repeat(const Expression& e, NodeId next) {
    const auto& part = e.parts[0];
    auto node = next;
    if (e.max == Expression::kUnlimited) {
      node = add_fork({});
      const auto again = build(part, node);
      grammar_.branches_[grammar_.nodes_[node].target] = {again, next};
    } else {
      for (auto i = e.min; i < e.max; ++i) node = add_fork({build(part, node), next});
    }
    for (std::uint32_t i = 0; i < e.min; ++i) node = build(part, node);
    return node;
  }

  Grammar& grammar_;
  std::unordered_map<std::bitset<256>, std::uint32_t> byte_sets_;  ///< their numbers
  const RuleMap& rules_;
  const RuleFacts& facts_;
  std::map<std::string, NodeId> starts_;
  std::size_t pieces_ = 0;  ///< looked at so far
  std::size_t depth_ = 0;
};

Grammar::Grammar(const std::vector<GrammarRule>& rules, std::string_view root) {
  const auto map = map_of(rules);
  if (!map.contains(root)) throw GrammarError("there is no rule \"" + std::string(root) + "\"");
  for (const auto& [name, body] : map) require_defined(*body, name, map);
  const RuleFacts facts(map);
  for (const auto& [name, body] : map) {
    if (!facts.ends(name)) throw GrammarError("rule \"" + name + "\" never ends");
  }
  if (const auto rule = facts.left_recursive_rule()) {
    throw GrammarError("rule \"" + *rule + "\" begins with itself", "Write it as a repetition.");
  }
  start_ = GrammarCompiler(*this, map, facts).start_of(std::string(root));
  nodes_.shrink_to_fit();
  branches_.shrink_to_fit();
}

Expression Expression::literal(std::string_view text) {
  Expression e;
  e.kind = Kind::text;
  e.text = text;
  return e;
}

Expression Expression::one_of(std::vector<CodeRange> ranges) {
  Expression e;
  e.kind = Kind::characters;
  e.ranges = std::move(ranges);
  return e;
}

Expression Expression::sequence(std::vector<Expression> parts) {
  Expression e;
  e.parts = std::move(parts);
  return e;
}

Expression Expression::choice(std::vector<Expression> parts) {
  Expression e;
  e.kind = Kind::choice;
  e.parts = std::move(parts);
  return e;
}

Expression Expression::repeat(Expression part, std::uint32_t min, std::uint32_t max) {
  Expression e;
  e.kind = Kind::repeat;
  e.parts.push_back(std::move(part));
  e.min = min;
  e.max = max;
  return e;
}

Expression Expression::rule(std::string_view name) {
  Expression e;
  e.kind = Kind::rule;
  e.text = name;
  return e;
}

std::size_t Grammar::bytes() const noexcept {
  std::size_t bytes =
      sizeof *this + nodes_.capacity() * sizeof(Node) + byte_sets_.capacity() * sizeof(byte_sets_[0]);
  for (const auto& branches : branches_)
    bytes += sizeof(std::vector<NodeId>) + branches.capacity() * sizeof(NodeId);
  return bytes;
}

}  // namespace tandem::model
