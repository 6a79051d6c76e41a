#!/bin/sh
# Runs each fuzzer for so long over small files made by make_tiny, or the published configurations; what it finds stays in FOLDER.
#   tools/fuzz.sh SECONDS FOLDER MAKE_TINY FUZZER...
set -eu
seconds=$1 folder=$2 make_tiny=$3
shift 3
mkdir -p "$folder/seeds"
"$make_tiny" "$folder/seeds"
for fuzzer; do
    name=$(basename "$fuzzer")
    seeds=$folder/seeds
    if [ "$name" = fuzz_config ]; then seeds=data/models; fi
    mkdir -p "$folder/$name"
    # A file may not ask for more memory than its own size explains: 512 MB is far above what these seeds need.
    "$fuzzer" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=512 -max_len=20480 -print_final_stats=1 \
        -artifact_prefix="$folder/$name-" "$folder/$name" "$seeds"
    echo "ok $name: $seconds s"
done
