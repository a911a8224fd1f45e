#!/usr/bin/env bash
# cmake/lint.sh [format|tidy|deep] [JOBS]: holds the C++ sources against .clang-format and .clang-tidy; fails where they find something.
# tidy takes sources together where the build does, so that what they include is read once, and leaves the analyzer out: six
# minutes of one core.  deep takes each on its own, with the analyzer: many times that.  Not under either: .cu and tests/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${2:-$(nproc)}
clang_tidy=build/venv/bin/clang-tidy  # the version in tests/system/requirements.txt, where ./test has installed it
[ -x "$clang_tidy" ] || clang_tidy=clang-tidy

# tracked or not, but nothing a build made
format() {
  find . -path './build*' -prune -o -path './.*' -prune -o -type f \
    '(' -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' ')' -print0 | xargs -0 clang-format --dry-run -Werror
}

# check FOLDER GROUP [OPTION]: configures FOLDER for clang, so that its options are understood, without OpenMP, whose header
# comes with one version of clang, and runs clang-tidy over every source of it.
check() {
  cmake -B "$1" -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DTANDEM_GROUP="$2" -DTANDEM_STD_THREADS=ON \
    -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON >/dev/null
  cp tests/.clang-tidy "$1/tests/"  # holds for the sources there that include those of a group
  sed -n 's/^ *"file": "\(.*\)",*$/\1/p' "$1/compile_commands.json" | grep -v '\.cu$\|/empty\.cpp$' | sort -u |
    xargs -P "$jobs" -n 1 "$clang_tidy" --quiet -p "$1" --extra-arg=-Wno-unknown-warning-option \
      --extra-arg=-Wno-deprecated-declarations "${@:3}"
}
tidy() { check build/tidy ON --checks=-clang-analyzer-*,-bugprone-suspicious-include; }

case "${1:-both}" in
  format) format ;;
  tidy) tidy ;;
  deep) check build/tidy-deep OFF ;;
  both) format && tidy ;;
  *) echo "usage: cmake/lint.sh [format|tidy|deep] [JOBS]" >&2; exit 1 ;;
esac
