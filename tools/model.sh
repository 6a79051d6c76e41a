#!/bin/sh
# The shipped model and its two dense twins, from nothing: the same tokens in the same order, the same seed, the same schedule.
#   tools/model.sh BUILD [FOLDER]      writes model, dense_active, dense_total (.gguf, and the log as .csv) into FOLDER, data without one
# Killed and started again, it goes on from the last checkpoint. STEPS=N trains for another number of steps.
set -eu
build=$1 folder=${2:-data}
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
"$build/corpus" --seed 1 --bytes 40000000 --out "$build/train.txt"
"$build/corpus" --seed 2 --bytes 600000 --out "$build/validation.txt" # another seed: other documents

train() {
    name=$1
    shift
    echo "== $folder/$name.gguf"
    "$build/moe" train --text "$build/train.txt" --validation "$build/validation.txt" --vocab 1024 --paragraphs 0.75 --steps "${STEPS:-16000}" \
        --log-every 20 --validate-every 250 --seed 1 --out "$folder/$name.gguf" --log "$folder/$name.csv" "$@"
}
train model                                # 8 experts of width 256, 2 used
train dense_active --dense --dense-dim 512 # as wide as the experts that one token visits
train dense_total --dense --dense-dim 2048 # as wide as all experts together
