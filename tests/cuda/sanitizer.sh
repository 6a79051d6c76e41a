#!/bin/sh
# sanitizer.sh: the kernels' tests again under NVIDIA's compute-sanitizer: memcheck (who reads or writes what is not his) and racecheck (who does not wait).
# On a GPU alone; the emulator has guards and orders of its own. Where the tool is missing, or refuses this machine, SKIP with its reason. It slows tests
# down many times: SANITIZER_SECONDS=600 for all of them; what is not done by then is SKIP, too. 0: none.
set -u
seconds=${SANITIZER_SECONDS:-600}
gpu=$("$BUILD/obj/cuda/gpu")
tool=$(command -v compute-sanitizer || { [ -x /usr/local/cuda/bin/compute-sanitizer ] && echo /usr/local/cuda/bin/compute-sanitizer; })
case $gpu in
emulated*) echo 'SKIP compute-sanitizer: these kernels ran on the emulator' && exit 0 ;;
esac
if [ -z "$tool" ]; then
    echo 'SKIP compute-sanitizer: it was not found; it comes with the CUDA toolkit'
    exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bad=0 end=$(($(date +%s) + seconds))
for check in memcheck racecheck; do
    for name in test_router test_topk test_dispatch test_few_tokens double_combine double_products double_experts double_blocks; do
        left=$((end - $(date +%s)))
        if [ $left -le 0 ]; then
            echo "SKIP $check of $name: the $seconds s are over (SANITIZER_SECONDS)"
            continue
        fi
        timeout "$left" "$tool" --tool "$check" --error-exitcode 99 "$BUILD/obj/cuda/$name" >"$log" 2>&1
        code=$?
        if ! grep -q 'SUMMARY' "$log"; then
            echo "SKIP $check of $name: $(if [ $code -eq 124 ]; then echo "stopped after $left s (SANITIZER_SECONDS=$seconds)"; else grep -m 1 '=========' "$log" || echo "the tool ended with status $code"; fi)"
        elif [ $code -eq 0 ]; then
            echo "ok $check of $name"
        else
            grep '=========' "$log" | head -20
            echo "not ok $check of $name"
            bad=1
        fi
    done
done
exit $bad
