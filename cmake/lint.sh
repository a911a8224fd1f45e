#!/usr/bin/env bash
# cmake/lint.sh [format|tidy]: holds the C++ sources against .clang-format and .clang-tidy (both without a word).
# tidy configures build/tidy for clang, so that its options are understood, with every source on its own.
set -euo pipefail
cd "$(dirname "$0")/.."

# sources PATTERN...: tracked or not, but nothing a build made
sources() { find . -path './build*' -prune -o -path './.*' -prune -o -type f "$@" -print0; }
format() { sources '(' -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' ')' | xargs -0 clang-format --dry-run -Werror; }
tidy() {
  cmake -B build/tidy -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DTANDEM_GROUP=OFF -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON >/dev/null
  sources -name '*.cpp' ! -path './tests/fuzz/*' | xargs -0 -P "$(nproc)" -n 1 clang-tidy --quiet -p build/tidy \
    --extra-arg=-Wno-unknown-warning-option
}

case "${1:-both}" in
  format) format ;;
  tidy) tidy ;;
  both) format && tidy ;;
  *) echo "usage: cmake/lint.sh [format|tidy]" >&2; exit 1 ;;
esac
