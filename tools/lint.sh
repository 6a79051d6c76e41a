#!/bin/sh
# Formatting of .c files must be clang-format's (headers align their tables by hand); shell scripts must parse. Tools that are missing are skipped, and named.
set -u
bad=0
for script in tools/*.sh tests/*.sh tests/cuda/*.sh .ci/run; do
    [ -e "$script" ] || continue
    case $(head -1 "$script") in *bash*) bash -n "$script" || bad=1 ;; *) sh -n "$script" || bad=1 ;; esac
done
if command -v clang-format >/dev/null 2>&1; then
    for file in $(git ls-files '*.c'); do
        clang-format --dry-run -Werror "$file" >/dev/null 2>&1 || { echo "not formatted: $file"; bad=1; }
    done
else
    echo 'SKIP formatting: clang-format was not found'
fi
exit $bad
