#!/bin/sh
# Runs test programs (cmocka) and scripts, one line each, past failures; shows a failing one's output.
#   tools/run_tests.sh BUILD PROGRAM-OR-SCRIPT...
# A script prints `ok name`, `not ok name`, `SKIP name: reason`. The last line is `N passed, N failed`. Each has TEST_SECONDS=900.
set -u
build=$1
shift
passed=0 failed=0 skipped=0
log=$build/test.log seconds=${TEST_SECONDS:-900}

for test in "$@"; do
    began=$(date +%s%N)
    case $test in
    *.sh) MOE=$build/moe BUILD=$build timeout "$seconds" sh "$test" >"$log" 2>&1 ;;
    *) timeout "$seconds" "$test" >"$log" 2>&1 ;;
    esac
    code=$?
    case $test in
    *.sh) ok=$(grep -c '^ok ' "$log") bad=$(grep -c '^not ok ' "$log") skip=$(grep -c '^SKIP ' "$log") ;;
    *) # "[  PASSED  ] 3 test(s)." once for each group
        ok=$(awk '/^\[  PASSED  \]/ {n += $4} END {print n + 0}' "$log")
        bad=$(awk '/^\[  FAILED  \] [0-9]+ test/ {n += $4} END {print n + 0}' "$log")
        skip=$(awk '/^\[  SKIPPED \] [0-9]+ test/ {n += $4} END {print n + 0}' "$log")
        ;;
    esac
    why=
    if [ $code -eq 124 ]; then why=" (stopped after $seconds s)"; fi
    if [ $code -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1 # a crash, or a sanitizer's report, after or before the summary
        why=${why:- (ended with status $code)}
    fi
    if [ "$ok" -eq 0 ] && [ "$bad" -eq 0 ] && [ "$skip" -eq 0 ]; then
        bad=1
        why=' (ran no test)'
    fi
    ms=$((($(date +%s%N) - began) / 1000000))
    printf '%-32s %4d passed%s%s %d.%d s\n' "$(basename "$test")" "$ok" "$([ "$bad" -gt 0 ] && printf ', %d FAILED%s' "$bad" "$why")" \
        "$([ "$skip" -gt 0 ] && printf ', %d skipped' "$skip")" $((ms / 1000)) $((ms % 1000 / 100))
    grep '^SKIP' "$log" | sed 's/^/    /'
    if [ "$bad" -gt 0 ]; then grep -v -e '^\[ *\(RUN\|OK\) *\]' -e '^ok ' "$log" | tail -40 | sed 's/^/    /'; fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
done
[ $skipped -gt 0 ] && echo "$skipped skipped, each with its reason above"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
