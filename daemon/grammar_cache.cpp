#include "daemon/grammar_cache.h"

#include <algorithm>

namespace tandem::daemon {

namespace {

/// Masks and the tree they refer to.
struct Owned {
  Owned(std::shared_ptr<const model::TokenTrie> tree, std::shared_ptr<const model::Grammar> grammar,
        std::shared_ptr<model::MaskStore> store)
      : trie(std::move(tree)), masks(std::move(grammar), *trie, std::move(store)) {}

  std::shared_ptr<const model::TokenTrie> trie;
  model::GrammarMasks masks;
};

}  // namespace

std::shared_ptr<model::GrammarMasks> GrammarCache::masks(const std::string& key, model::CallMarkup calls,
                                                         const MakeRules& make_rules) {
  {
    const std::lock_guard lock(mutex_);
    if (auto known = find(key)) return known;
  }
  auto grammar = std::make_shared<const model::Grammar>(make_rules(), "root");
  auto owned = std::make_shared<Owned>(trie_of(calls), std::move(grammar), store_);
  const std::lock_guard lock(mutex_);
  if (auto known = find(key)) return known;  // somebody else made it meanwhile
  newest_first_.emplace_front(key, std::shared_ptr<model::GrammarMasks>(owned, &owned->masks));
  if (newest_first_.size() > kMostGrammars) newest_first_.pop_back();
  return newest_first_.front().second;
}

/// Makes it the newest; null if it is not there.
std::shared_ptr<model::GrammarMasks> GrammarCache::find(const std::string& key) {
  const auto known = std::ranges::find(newest_first_, key, &decltype(newest_first_)::value_type::first);
  if (known == newest_first_.end()) return nullptr;
  newest_first_.splice(newest_first_.begin(), newest_first_, known);
  return known->second;
}

std::shared_ptr<const model::TokenTrie> GrammarCache::trie_of(model::CallMarkup calls) {
  const std::lock_guard lock(mutex_);
  auto& trie = tries_[calls];
  if (trie == nullptr) trie = std::make_shared<const model::TokenTrie>(tokenizer_, calls);
  return trie;
}

}  // namespace tandem::daemon
