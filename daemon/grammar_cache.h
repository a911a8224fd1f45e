#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "model/grammar_masks.h"
#include "model/mask_store.h"
#include "model/token_trie.h"
#include "model/tokenizer.h"

namespace tandem::daemon {

/// Grammars that were asked for lately, with their masks over one model's tokens: clients send the same
/// schema again and again.  Thread-safe; making a grammar takes up to 0.5 s, and holds up nobody who asks for
/// another one.
class GrammarCache {
 public:
  using MakeRules = std::function<std::vector<model::GrammarRule>()>;

  /// What is known of tokens takes up to `max_mask_bytes` for all grammars together, and the grammars
  /// `max_bytes`, with those that requests hold.  `tokenizer` outlives the cache and the masks it hands out.
  explicit GrammarCache(const model::Tokenizer& tokenizer,
                        std::size_t max_mask_bytes = model::MaskStore::kDefaultBytes,
                        std::size_t max_bytes = kDefaultBytes)
      : tokenizer_(tokenizer),
        max_bytes_(max_bytes),
        store_(std::make_shared<model::MaskStore>(max_mask_bytes)) {}

  /// The masks of the grammar that `key` names; `make_rules` gives its rules where it is not known yet, and
  /// must give the same, with the same `calls`, for the same key.  Throws what that throws, GrammarError,
  /// also for a grammar that alone takes more than the cache's bytes, and RequestError 503 where all that are
  /// in use would.
  std::shared_ptr<model::GrammarMasks> masks(const std::string& key, model::CallMarkup calls,
                                             const MakeRules& make_rules);

  /// That masks take at the moment.
  [[nodiscard]] std::size_t mask_bytes() const { return store_->bytes(); }

  static constexpr std::size_t kMostGrammars = 16;
  static constexpr std::size_t kDefaultBytes = std::size_t{512} << 20;

 private:
  std::shared_ptr<model::GrammarMasks> find(const std::string& key);
  std::shared_ptr<const model::TokenTrie> trie_of(model::CallMarkup calls);
  void make_room(std::size_t bytes);
  std::size_t bytes_in_use();

  const model::Tokenizer& tokenizer_;
  const std::size_t max_bytes_;
  const std::shared_ptr<model::MaskStore> store_;
  std::mutex mutex_;
  std::map<model::CallMarkup, std::shared_ptr<const model::TokenTrie>> tries_;  ///< made when first needed
  std::list<std::pair<std::string, std::shared_ptr<model::GrammarMasks>>> newest_first_;  ///< by hash of key
  std::list<std::weak_ptr<model::GrammarMasks>> all_;  ///< that somebody has
};

}  // namespace tandem::daemon
