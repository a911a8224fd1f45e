#!/usr/bin/env bash
# cmake/lint.sh [format|tidy]: holds the C++ sources against .clang-format and .clang-tidy (both without a word).
# tidy needs build/compile_commands.json, which ./run and ./test leave behind.
set -euo pipefail
cd "$(dirname "$0")/.."

format() { git ls-files '*.h' '*.cpp' | xargs clang-format --dry-run -Werror; }
tidy() { git ls-files '*.cpp' | xargs -P "$(nproc)" -n 1 clang-tidy --quiet -p build; }

case "${1:-both}" in
  format) format ;;
  tidy) tidy ;;
  both) format && tidy ;;
  *) echo "usage: cmake/lint.sh [format|tidy]" >&2; exit 1 ;;
esac
