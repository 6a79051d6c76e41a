#!/bin/sh
# Holds this engine against others: each tests/interop/*_vs_*.py compares `moe` with one of them and skips, with the reason, where it is missing.
#   tools/interop.sh MOE PYTHON
set -u
moe=$1 python=$2 failed=0 count=0
for script in tests/interop/*_vs_*.py; do
    [ -e "$script" ] || { echo 'nothing in tests/interop'; exit 1; }
    count=$((count + 1))
    echo "$script"
    "$python" "$script" "$moe" || failed=$((failed + 1))
done
echo "$((count - failed)) passed, $failed failed"
[ $failed -eq 0 ]
