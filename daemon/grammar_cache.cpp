#include "daemon/grammar_cache.h"

#include <algorithm>
#include <span>

#include "ipc/openai_error.h"
#include "model/sha256.h"

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
  const auto hash = model::sha256_hex(std::as_bytes(std::span(key)));  // a schema may be megabytes
  {
    const std::lock_guard lock(mutex_);
    if (auto known = find(hash)) return known;
  }
  auto grammar = std::make_shared<const model::Grammar>(make_rules(), "root");
  const auto owned = std::make_shared<Owned>(trie_of(calls), std::move(grammar), store_);
  std::shared_ptr<model::GrammarMasks> made(owned, &owned->masks);
  const std::lock_guard lock(mutex_);
  if (auto known = find(hash)) return known;  // somebody else made it meanwhile
  make_room(made->bytes());
  all_.push_back(made);
  newest_first_.emplace_front(hash, made);
  if (newest_first_.size() > kMostGrammars) newest_first_.pop_back();
  return made;
}

/// Forgets those that were used longest ago, as far as others need the memory.
void GrammarCache::make_room(std::size_t bytes) {
  const auto limit = "the limit grammar_bytes, " + std::to_string(max_bytes_);
  if (bytes > max_bytes_) {
    throw model::GrammarError("the grammar takes " + std::to_string(bytes) + " bytes, more than " + limit);
  }
  while (bytes_in_use() + bytes > max_bytes_ && !newest_first_.empty()) newest_first_.pop_back();
  if (bytes_in_use() + bytes <= max_bytes_) return;
  throw ipc::RequestError(503, ipc::kServerError,
                          "the grammars of requests that run or wait, and this one, take more than " + limit +
                              " bytes; try again");
}

std::size_t GrammarCache::bytes_in_use() {
  std::size_t bytes = 0;
  std::erase_if(all_, [](const auto& grammar) { return grammar.expired(); });
  for (const auto& grammar : all_) {
    if (const auto held = grammar.lock()) bytes += held->bytes();
  }
  return bytes;
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
