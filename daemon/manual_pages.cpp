#include "daemon/manual_pages.h"

#include <stdexcept>

#include "cli/manual/man_page.h"
#include "daemon/config_keys.h"
#include "embedded/page_tandem_config.h"
#include "embedded/page_tandemd.h"

namespace tandem::daemon {

namespace {

std::string key_entry(const ConfigKey& key) {
  if (key.value.empty()) return manual::roff_subsection(key.name, key.about);
  std::string about = key.about + ".";
  if (!key.range.empty()) about += " Range: " + key.range.substr(1, key.range.size() - 2) + ".";
  return manual::roff_entry(key.name, key.value, about + " Default: " + key.default_text + ".");
}

/// A paragraph for each key that is in no object, then a subsection for each object.
std::string keys_section() {
  std::string single;
  std::string grouped;
  for (const auto& key : config_keys()) {
    const bool alone = !key.value.empty() && key.name.find('.') == std::string::npos;
    (alone ? single : grouped) += key_entry(key);
  }
  return single + grouped;
}

}  // namespace

std::string manual_page(const manual::Command& program, std::string_view page) {
  if (page == "tandemd") {
    return manual::man_page(embedded::page_tandemd,
                            {{"VERSION", TANDEM_VERSION}, {"OPTIONS", manual::options_section(program)}});
  }
  if (page == "tandem-config") {
    return manual::man_page(
        embedded::page_tandem_config,
        {{"VERSION", TANDEM_VERSION}, {"DOCDIR", TANDEM_DOC_DIR}, {"KEYS", keys_section()}});
  }
  throw std::invalid_argument("there is no page " + std::string(page) + ", but " + std::string(kManualPages));
}

}  // namespace tandem::daemon
