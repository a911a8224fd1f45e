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
  const std::lock_guard lock(mutex_);
  const auto known = std::ranges::find(newest_first_, key, &decltype(newest_first_)::value_type::first);
  if (known != newest_first_.end()) {
    newest_first_.splice(newest_first_.begin(), newest_first_, known);
    return known->second;
  }
  auto grammar = std::make_shared<const model::Grammar>(make_rules(), "root");
  auto& trie = tries_[calls];
  if (trie == nullptr) trie = std::make_shared<const model::TokenTrie>(tokenizer_, calls);
  auto owned = std::make_shared<Owned>(trie, std::move(grammar), store_);
  newest_first_.emplace_front(key, std::shared_ptr<model::GrammarMasks>(owned, &owned->masks));
  if (newest_first_.size() > kMostGrammars) newest_first_.pop_back();
  return newest_first_.front().second;
}

}  // namespace tandem::daemon
