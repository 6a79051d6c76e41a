#!/bin/sh
# Shell completions, written from the tables that the program reads its flags by: `moe help` and `moe COMMAND --help=table`.
#   tools/completions.sh MOE FOLDER [MOE_VIZ]      writes moe.bash, _moe (zsh) and moe.fish
set -eu
moe=$1 folder=$2 viz=${3:-}
commands=$("$moe" help | awk '/^  [a-z]/ && $1 != "moe" {print $1}')

# Lines of command, flag, argument, choices, help, between tabs; one for each spelling of a flag.
rows() { awk -F '\t' -v OFS='\t' -v c="$1" '{n = split($1, names, ","); for (i = 1; i <= n; i++) print c, names[i], $2, $3, $4}'; }
all=$(for command in $commands; do "$moe" "$command" --help=table | rows "$command"; done)
table() { printf '%s\n' "$all"; }
viz_table() { if [ -n "$viz" ]; then "$viz" --help=table | rows viz; fi; }
summary() { "$moe" help | awk -v c="$1" '$1 == c {sub(/^ *[a-z]+ */, ""); print; exit}'; }
flags_of() { table | awk -F '\t' -v c="$1" '$1 == c {printf "%s ", $2}'; }

{
    echo '# bash completion for moe'
    echo '_moe() {'
    echo '    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}'
    echo "    if [ \"\$COMP_CWORD\" -eq 1 ]; then COMPREPLY=(\$(compgen -W '$(echo $commands) help --help --version' -- \"\$word\")); return; fi"
    echo '    case "$command $before" in'
    table | awk -F '\t' '$4 != "" {printf "    \"%s %s\") COMPREPLY=($(compgen -W \"%s\" -- \"$word\")); return ;;\n", $1, $2, $4}'
    table | awk -F '\t' '$3 ~ /FILE/ {printf "    \"%s %s\") COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n", $1, $2}'
    table | awk -F '\t' '$3 != "" && $3 !~ /FILE/ && $4 == "" {printf "    \"%s %s\") return ;;\n", $1, $2}'
    echo '    esac'
    echo '    case $command in'
    for command in $commands; do echo "    $command) COMPREPLY=(\$(compgen -W '$(flags_of "$command")' -- \"\$word\") \$(compgen -f -- \"\$word\")) ;;"; done
    echo "    help) COMPREPLY=(\$(compgen -W '$(echo $commands)' -- \"\$word\")) ;;"
    echo '    esac'
    echo '}'
    echo 'complete -o filenames -F _moe moe'
    [ -z "$viz" ] || echo "complete -o default -W '$(viz_table | awk -F '\t' '{printf "%s ", $2}')' moe-viz"
} >"$folder/moe.bash"

# zsh and fish show the help beside the flag; quotes and brackets in it would end the string.
plain() { sed "s/[]['\"\`:\\\\]//g"; }
zsh_flags() {
    awk -F '\t' '{h = $5; gsub(/[][\x27"`:\\]/, "", h)
        value = $4 != "" ? ":" $3 ":(" $4 ")" : $3 ~ /FILE/ ? ":" $3 ":_files" : $3 != "" ? ":" $3 ":" : ""
        gsub(/ or /, "-", value)
        printf " \\\n        \x27%s[%s]%s\x27", $2, h, value}'
}
{
    echo '#compdef moe moe-viz'
    if [ -n "$viz" ]; then
        printf "if [[ \$service == moe-viz ]]; then\n    _arguments"
        viz_table | zsh_flags
        printf '\n    return\nfi\n'
    fi
    echo 'if (( CURRENT == 2 )); then'
    printf '    local -a commands=('
    for command in $commands; do printf "'%s:%s' " "$command" "$(summary "$command" | plain)"; done
    echo "help:'the list of commands')"
    echo '    _describe command commands'
    echo '    return'
    echo 'fi'
    echo 'case $words[2] in'
    for command in $commands; do
        echo "$command)"
        printf '    _arguments'
        table | awk -F '\t' -v c="$command" '$1 == c' | zsh_flags
        printf " \\\\\n        '*:file:_files' ;;\n"
    done
    echo 'esac'
} >"$folder/_moe"

fish_flags() {
    awk -F '\t' -v to="$1" '{h = $5; gsub(/[\x27"\\]/, "", h); name = $2; kind = "-s"
        if (sub(/^--/, "", name)) kind = "-l"; else sub(/^-/, "", name)
        value = $4 != "" ? " -x -a \x27" $4 "\x27" : $3 ~ /FILE/ ? " -r -F" : $3 != "" ? " -x" : " -f"
        printf "complete -c %s %s %s%s -d \x27%s\x27\n", to, kind, name, value, h}'
}
{
    echo '# fish completion for moe'
    echo 'complete -c moe -n __fish_use_subcommand -f -l version -d "the version"'
    for command in $commands; do
        printf "complete -c moe -n __fish_use_subcommand -f -a %s -d '%s'\n" "$command" "$(summary "$command" | plain)"
        table | awk -F '\t' -v c="$command" '$1 == c' | fish_flags "moe -n '__fish_seen_subcommand_from $command'"
    done
    viz_table | fish_flags moe-viz
} >"$folder/moe.fish"
