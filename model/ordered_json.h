#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

namespace tandem {

/// Members of an object in the order they came, for basic_json.  Those of nlohmann::ordered_json lie in a
/// vector of pairs with const keys, which copies all that is in them as it grows: of objects within objects
/// everything, at each level.  Here a member stays where it is, and one of many is found in a map.
template <class Key, class T, class /*Compare*/ = std::less<>,
          class Allocator = std::allocator<std::pair<const Key, T>>>
class MembersInOrder : private std::list<std::pair<const Key, T>, Allocator> {
  using Members = std::list<std::pair<const Key, T>, Allocator>;

 public:
  using key_type = Key;
  using mapped_type = T;
  using key_compare = std::equal_to<>;
  using typename Members::const_iterator;
  using typename Members::difference_type;
  using typename Members::iterator;
  using typename Members::size_type;
  using typename Members::value_type;

  using Members::begin;
  using Members::cbegin;
  using Members::cend;
  using Members::empty;
  using Members::end;
  using Members::max_size;
  using Members::size;

  MembersInOrder() = default;
  template <class It>
  MembersInOrder(It first, It last) {
    insert(first, last);
  }
  MembersInOrder(std::initializer_list<value_type> members) { insert(members.begin(), members.end()); }
  MembersInOrder(const MembersInOrder& other) : MembersInOrder(other.begin(), other.end()) {}
  MembersInOrder(MembersInOrder&&) noexcept = default;
  MembersInOrder& operator=(MembersInOrder other) noexcept {
    Members::swap(other);
    by_key_.swap(other.by_key_);
    return *this;
  }
  ~MembersInOrder() = default;

  /// Changes nothing where there is one with this key.
  template <class K, class... Args>
  std::pair<iterator, bool> emplace(K&& key, Args&&... args) {
    if (const auto known = find(key); known != end()) return {known, false};
    const auto made =
        Members::emplace(end(), std::piecewise_construct, std::forward_as_tuple(std::forward<K>(key)),
                         std::forward_as_tuple(std::forward<Args>(args)...));
    note(made);
    return {made, true};
  }
  std::pair<iterator, bool> insert(const value_type& member) { return emplace(member.first, member.second); }
  std::pair<iterator, bool> insert(value_type&& member) {
    return emplace(member.first, std::move(member.second));
  }
  template <class It>
  void insert(It first, It last) {
    for (; first != last; ++first) emplace(first->first, first->second);
  }

  template <class K>
  T& operator[](K&& key) {
    return emplace(std::forward<K>(key)).first->second;
  }
  template <class K>
  const T& operator[](const K& key) const {
    return at(key);
  }
  template <class K>
  T& at(const K& key) {
    return there(find(key))->second;
  }
  template <class K>
  const T& at(const K& key) const {
    return there(find(key))->second;
  }

  template <class K>
  iterator find(const K& key) {
    if (by_key_ != nullptr) {
      const auto known = by_key_->find(key);
      return known == by_key_->end() ? end() : known->second;
    }
    return std::find_if(begin(), end(), [&key](const value_type& member) { return member.first == key; });
  }
  template <class K>
  const_iterator find(const K& key) const {
    return const_cast<MembersInOrder*>(this)->find(key);
  }
  template <class K>
  size_type count(const K& key) const {
    return find(key) == end() ? 0 : 1;
  }

  iterator erase(const_iterator member) {
    if (by_key_ != nullptr) by_key_->erase(member->first);
    return Members::erase(member);
  }
  iterator erase(const_iterator first, const_iterator last) {
    while (first != last) first = erase(first);
    return Members::erase(last, last);
  }
  size_type erase(const Key& key) {
    const auto found = find(key);
    if (found == end()) return 0;
    erase(found);
    return 1;
  }
  void clear() noexcept {
    by_key_.reset();
    Members::clear();
  }

  friend bool operator==(const MembersInOrder& a, const MembersInOrder& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
  friend std::partial_ordering operator<=>(const MembersInOrder& a, const MembersInOrder& b) {
    return std::lexicographical_compare_three_way(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  /// The keys are the members' own.
  using ByKey = std::map<std::string_view, iterator>;

  static constexpr size_type kMany = 32;  ///< to look through fewer takes no longer than a map

  void note(iterator made) {
    if (by_key_ != nullptr) {
      by_key_->emplace(made->first, made);
    } else if (size() == kMany) {
      by_key_ = std::make_unique<ByKey>();
      for (auto member = begin(); member != end(); ++member) by_key_->emplace(member->first, member);
    }
  }

  template <class It>
  It there(It found) const {
    if (found == end()) throw std::out_of_range("key not found");
    return found;
  }

  /// Null where there are few.
  std::unique_ptr<ByKey> by_key_;
};

/// JSON whose objects keep the order of their members.
using OrderedJson = nlohmann::basic_json<MembersInOrder>;

}  // namespace tandem
