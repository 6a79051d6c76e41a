#!/bin/sh
# What the shipped model and its twins write, judged; then what is known of real text. Needs Python 3, nothing else.
#   tools/judge.sh BUILD PYTHON
set -u
build=$1 python=$2 bad=0
command -v "$python" >/dev/null 2>&1 || { echo "SKIP the judge: $python was not found"; exit 1; }
for model in data/model.gguf data/dense_*.gguf; do
    [ -e "$model" ] || { echo "there is no $model: 'make model' trains it"; bad=1; continue; }
    echo "== $model"
    "$python" tools/judge.py model --moe "$build/moe" --model "$model" --samples "${SAMPLES:-300}" || bad=1
done
exit $bad
