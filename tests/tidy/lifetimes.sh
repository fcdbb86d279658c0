#!/usr/bin/env bash
# Clang warns of what would dangle. Arguments: the compiler and the build tree's include folder.

set -uo pipefail
cd "$(dirname "$0")"
compiler=$1 include=$2
"$compiler" --version | grep -q clang || { echo "lifetimes: not a Clang, nothing to check"; exit 0; }

check() { "$compiler" -std=c++20 -fsyntax-only -Wall -Wextra -DCASE="$1" -I "$include" lifetimes.cpp 2>&1; }
failures=0
output=$(check 0)
[ -z "$output" ] || { echo "lifetimes: a warning where nothing dangles: $output"; failures=1; }
cases=$(grep -c '^#elif CASE' lifetimes.cpp)
for case in $(seq 1 "$cases"); do
    output=$(check "$case")
    grep -qE 'end of the full-expression|no matching constructor|cannot bind to a temporary|ignoring return value' <<<"$output" ||
        { echo "lifetimes: no warning in case $case"; failures=1; }
done
[ "$failures" -eq 0 ] && echo "lifetimes: $cases mistakes caught"
exit "$failures"
