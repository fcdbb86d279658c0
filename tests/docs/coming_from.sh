#!/usr/bin/env bash
# Compiles every snippet of the tables in docs/coming-from.md into one program, and runs it. Arguments: the compiler, the
# build tree.

set -euo pipefail
cd "$(dirname "$0")/../.."
compiler=$1 build=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The snippet is the code in the last cell of a row; the header and the rule have none.
awk -F ' \\| ' '/^\| / && /` \|$/ {
    snippet = $NF; sub(/^`/, "", snippet); sub(/` \|$/, "", snippet)
    printf "%d\t%s\n", FNR, snippet
}' docs/coming-from.md >"$folder/rows"

{
    (cd "$build/include" && ls cove/runtime/*.hpp cove/net/*.hpp) | sed 's/.*/#include <&>/'
    echo '#include "prelude.hpp"'
    while IFS=$'\t' read -r line snippet; do
        echo "#line $line \"coming-from.md\""
        if [[ $snippet == *cove::run\(* ]]; then
            echo "static void row_$line() { $snippet }"
        else
            echo "static void row_$line() { auto row = [](const cove::address& where, cove::tcp_stream& peer, surroundings& here) -> cove::task<> {" \
                "auto& [listener, items, buffer, fd] = here; cove::task_group group; $snippet co_await group.join(); };" \
                "cove::run(within(+row)); }"
        fi
    done <"$folder/rows"
    echo 'int main() { std::setbuf(stdout, nullptr);'
    while IFS=$'\t' read -r line snippet; do
        echo "try { std::puts(\"coming-from.md:$line\"); row_$line(); } catch (const std::exception& error) { std::puts(error.what()); return 1; }"
    done <"$folder/rows"
    echo '}'
} >"$folder/snippets.cpp"

"$compiler" -std=c++20 -O1 -Wall -Wextra -Wno-unused -Wno-subobject-linkage -I "$build/include" -I tests/docs "$folder/snippets.cpp" -o "$folder/snippets" \
    "$build/libcove_net.a" "$build/libcove_runtime.a" -pthread
timeout 120 "$folder/snippets" >"$folder/out" || { tail -n 2 "$folder/out"; echo "docs/coming-from.md: this snippet fails or does not end"; exit 1; }
rows=$(wc -l <"$folder/rows")
[ "$rows" -eq "$(grep -cE '^\| [^-]' docs/coming-from.md | awk '{print $1 - 5}')" ] || { echo "docs/coming-from.md: a row has no snippet"; exit 1; }
echo "coming-from: $rows snippets compiled and run"
