#!/bin/sh
# run.sh FOLDER TARGET SECONDS: runs a fuzz target built in FOLDER, from the inputs in the repository and those in FOLDER.
set -eu
folder=$1 target=$2 seconds=$3
corpus=$(dirname "$0")/corpus/$target

mkdir -p "$folder/corpus/$target"
found=$(mktemp -d)
trap 'rm -r "$found"' EXIT
"$folder/fuzz_$target" -max_total_time="$seconds" -timeout=25 -artifact_prefix="$folder/$target-" \
  "$found" "$corpus" "$folder/corpus/$target"
