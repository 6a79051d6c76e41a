#!/bin/sh
# A training run that is killed (SIGKILL) at odd moments and started again gives the bits of one that is left alone; Ctrl-C and SIGTERM save.
# Uses $MOE, build/moe by default. Prints `ok name` or `not ok name`.
set -u
moe=${MOE:-build/moe}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
export OMP_WAIT_POLICY=passive
failed=0

check() { # what is claimed, then a command that must succeed
    claim=$1
    shift
    if ("$@") >/dev/null 2>&1; then echo "ok $claim"; else
        echo "not ok $claim"
        failed=1
    fi
}

i=0
while [ $i -lt 400 ]; do
    echo "Line $i: the number $((i * 7919 % 1000)) follows $((i * 31 % 97)), and the cat sat on the mat."
    i=$((i + 1))
done >"$work/text.txt"

train() { # run's name, further flags; takes the place of the (sub)shell, so that a signal meets the program itself
    run=$1
    shift
    mkdir -p "$work/$run"
    exec "$moe" train --text "$work/text.txt" --out "$work/$run/model.gguf" --log "$work/$run/log.csv" --steps 120 --layers 2 --dim 32 --experts 4 --context 32 \
        --batch 4 --vocab 300 --log-every 1 --validate-every 7 --rule noisy-topk --threads 1 "$@"
}
same_log() { # all columns but the speed
    cut -d, -f1-6,8- "$work/$1/log.csv" >"$work/a" && cut -d, -f1-6,8- "$work/$2/log.csv" >"$work/b" && cmp -s "$work/a" "$work/b"
}

check 'undisturbed run' train whole
# Killed after a time that differs from round to round, sometimes in the middle of a save; the last start is left alone.
round=0 killed=0
while [ ! -e "$work/killed/model.gguf" ] && [ $round -lt 25 ]; do
    train killed --save-every 2 >/dev/null 2>&1 &
    process=$!
    sleep 0.$((10 + round * 37 % 23))
    kill -KILL $process 2>/dev/null && killed=$((killed + 1))
    wait $process 2>/dev/null
    round=$((round + 1))
done
# Also when it was killed after the model was written and before the checkpoint was removed.
[ -e "$work/killed/model.gguf" ] && [ ! -e "$work/killed/model.gguf.checkpoint" ] || (train killed --save-every 2) >/dev/null 2>&1
check 'killed at least twice' [ $killed -ge 2 ]
check 'killed and resumed: the same model' cmp "$work/whole/model.gguf" "$work/killed/model.gguf"
check 'killed and resumed: the same log' same_log whole killed
leftovers=$(find "$work/killed" -name '*.part' -o -name '*.checkpoint')
check "no half-written file is left${leftovers:+: $leftovers}" [ -z "$leftovers" ]

stopped_by() { # SIGNAL, expected exit code: a run stopped by it after its first steps, then finished
    code=0 tries=0
    while [ $code -eq 0 ] && [ $tries -lt 40 ]; do # 0: it was done before the signal came, as happens on a busy machine
        : >"$work/err" # the steps of the try before are not this one's
        (train "$1" --save-every 1000 --fresh) >/dev/null 2>"$work/err" &
        process=$!
        while kill -0 $process && ! grep -q '^step' "$work/err"; do sleep 0.01; done
        kill -"$1" $process
        wait $process
        code=$?
        tries=$((tries + 1))
    done
    [ $code -eq "$2" ] && grep -q 'the same command goes on' "$work/err" && [ -e "$work/$1/model.gguf.checkpoint" ] && (train "$1" --resume) &&
        cmp -s "$work/whole/model.gguf" "$work/$1/model.gguf" && same_log whole "$1"
}
check 'Ctrl-C saves, exit code 130; resumed: the same bits' stopped_by INT 130
check 'SIGTERM saves, exit code 143; resumed: the same bits' stopped_by TERM 143
exit $failed
