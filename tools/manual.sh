#!/bin/sh
# The man page: docs/moe.1 with the line `.\" COMMANDS` replaced by what the program says of its commands and flags.
#   tools/manual.sh MOE docs/moe.1 [MOE_VIZ]
set -eu
moe=$1 page=$2 viz=${3:-}
escape() { sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^[.']/\\\\\&&/"; }


# One program or subcommand: its summary, its flags, its example.
section() {
    $1 --help | awk 'NR == 1 {sub(/^moe /, ""); print ".SS " $0} /^usage: / {sub(/^usage: /, ""); print ".PP\n.B " $0}' | sed 's/-/\\-/g'
    $1 --help=table | while read -r line; do
        names=$(printf '%s\n' "$line" | cut -f 1 | sed 's/,/, /g' | escape)
        argument=$(printf '%s\n' "$line" | cut -f 2 | escape)
        choices=$(printf '%s\n' "$line" | cut -f 3 | sed 's/ /, /g' | escape)
        printf '.TP\n.B %s \\fI%s\\fR\n' "$names" "$argument"
        help=$(printf '%s\n' "$line" | cut -f 4 | escape)
        standard=$(printf '%s\n' "$line" | cut -f 5 | escape)
        printf '%s%s%s\n' "$help" "${choices:+: $choices}" "$standard"
    done
    printf '.PP\nExample:\n.PP\n.RS\n.nf\n'
    $1 --help | sed -n '/^example:/,$p' | tail -n +2 | sed 's/^ *//' | escape
    printf '.fi\n.RE\n'
}

sed '/^\.\\" COMMANDS$/,$d' "$page"
for command in $("$moe" help | awk '/^  [a-z]/ && $1 != "moe" {print $1}'); do section "$moe $command"; done
if [ -n "$viz" ]; then section "$viz"; fi
sed '1,/^\.\\" COMMANDS$/d' "$page"
