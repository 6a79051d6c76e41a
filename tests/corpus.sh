#!/bin/sh
# The generator as a program: one seed's text to the byte, labels that cover it, flags. Prints `ok name` or `not ok name`.
set -u
corpus=$BUILD/corpus
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
check() { # name, then what must succeed
    name=$1
    shift
    if "$@"; then echo "ok $name"; else echo "not ok $name" && failed=1; fi
}

"$corpus" --seed 1 --bytes 8000000 --out "$scratch/train.txt" --labels "$scratch/labels.txt"

# The shipped model was trained on this seed: a change of one byte of the text is a change of the model's training.
sum() { [ "$(sha256sum <"$scratch/train.txt")" = "659abab041bd75b9c12a32bc123a097b80597c779aed78e38d146b417f125505  -" ]; }
check seed_1_gives_the_known_text sum

same() { "$corpus" --seed 1 --bytes 8000000 | cmp -s - "$scratch/train.txt"; }
check standard_output_gives_the_same same

prefix() { "$corpus" --seed 1 --bytes 100000 >"$scratch/short.txt" && head -c "$(wc -c <"$scratch/short.txt")" "$scratch/train.txt" | cmp -s - "$scratch/short.txt"; }
check a_longer_text_begins_with_the_shorter prefix

sample() { head -c "$(wc -c <data/sample.txt)" "$scratch/train.txt" | cmp -s - data/sample.txt; }
check the_sample_is_its_beginning sample

# every label begins where the one before it ended, and the last ends with the text
covered() { awk -v bytes="$(wc -c <"$scratch/train.txt")" '$1 != end || NF != 4 {exit 1} {end = $1 + $2} END {exit end != bytes}' "$scratch/labels.txt"; }
check labels_cover_the_text covered

differs() { "$corpus" --seed 2 --bytes 100000 | cmp -s - "$scratch/short.txt" && return 1 || return 0; }
check another_seed_another_text differs

refused() { timeout 20 "$corpus" "$@" >/dev/null 2>"$scratch/error" && return 1; [ $? -eq 2 ] && grep -q -e "$1" "$scratch/error"; }
check bad_number_is_refused refused --bytes many
check unknown_flag_is_refused refused --colour red
check huge_seed_is_refused refused --seed 99999999999999999999
check huge_number_is_refused refused --bytes 99999999999999999999999
check empty_name_is_refused refused --out ''
check missing_value_is_refused refused --out

# one line that says why, this exit code, and no new file in the folder: line CODE 'words' COMMAND...
line() {
    code=$1 words=$2 before=$(ls "$scratch/files")
    shift 2
    timeout 20 "$@" 2>"$scratch/error"
    [ $? -eq "$code" ] && [ "$(wc -l <"$scratch/error")" -eq 1 ] && grep -q -e "$words" "$scratch/error" && [ "$(ls "$scratch/files")" = "$before" ]
}
mkdir "$scratch/files" "$scratch/files/folder"
files=$scratch/files
ln -s folder "$files/other"
echo old >"$files/there.txt"
ln "$files/there.txt" "$files/hard"
ln -s there.txt "$files/soft"
check usage_is_one_line line 2 'corpus --help' "$corpus" --colour red
one='expected two files, found one'
twice() { line 2 "$one" "$corpus" --out "$1" --labels "$2" --bytes 1000; }
check one_new_file_for_both twice "$files/a.txt" "$files/a.txt"
check one_new_file_spelt_twice twice "$files/a.txt" "$files/./folder/../a.txt"
check one_new_file_in_a_linked_folder twice "$files/folder/a.txt" "$files/other/a.txt"
check one_file_and_its_link twice "$files/there.txt" "$files/soft"
check one_file_and_its_hard_link twice "$files/there.txt" "$files/hard"
two() { "$corpus" --out "$files/a.txt" --labels "$files/b.txt" --bytes 1000 && [ -s "$files/a.txt" ] && [ -s "$files/b.txt" ]; }
check two_files two
help() { "$corpus" "$1" | grep -q '^usage: corpus'; }
check help_is_printed help --help
check short_help_is_printed help -h

# a disk that is full, or a limit that is reached: at once, and nothing half written stays
if [ -e /dev/full ]; then
    full() { line 1 'cannot write standard output' "$corpus" "$@" >/dev/full; }
    check words_on_a_full_disk full --words
    check help_on_a_full_disk full --help
    check text_on_a_full_disk full --bytes 1000
    check endless_text_on_a_full_disk full --bytes 99999999999999
fi
limited() { (ulimit -f 100 && line 1 'cannot write .*; what was there before is unchanged' "$corpus" --bytes "$@"); }
check text_beyond_a_limit limited 99999999999999 --out "$files/there.txt"
check labels_beyond_a_limit limited 99999999999999 --labels "$files/there.txt" --out "$files/new.txt"
check what_was_there_stays test "$(cat "$files/there.txt")" = old
exit $failed
