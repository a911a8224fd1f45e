#!/bin/sh
# build.sh FOLDER TANDEM: builds the fuzz targets in FOLDER, unoptimised, and has the command TANDEM write plans to start from.
set -eu
folder=$1 tandem=$2
cd "$(dirname "$0")/../.."

cmake --preset fuzz -B "$folder" -D CMAKE_CXX_FLAGS_RELWITHDEBINFO=-O0
cmake --build "$folder" --target fuzz

mkdir -p "$folder/corpus/plan"
for model in gemma3_1l_global gemma4_4l; do
  "$tandem" plan "tests/reference/data/$model.gguf" --devices cpu --context 1024 --json >"$folder/corpus/plan/$model"
done
