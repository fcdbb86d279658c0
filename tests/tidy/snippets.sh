#!/usr/bin/env bash
# Compiles every ```cpp block of the README and docs/. A block with its own #include or main() is a file; any other one is
# the inside of a coroutine in which `peer`, a tcp_stream, and `listener` exist. Arguments: the compiler, the build tree's
# include folder.

set -euo pipefail
cd "$(dirname "$0")/../.."
compiler=$1 include=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

awk -v folder="$folder" '
    /^```cpp/ { block = sprintf("%s/%03d.snippet", folder, ++count); printf "%s:%d\n", FILENAME, FNR > (block ".where"); inside = 1; next }
    /^```/ { inside = 0 }
    inside { print > block }
' README.md docs/*.md

compile() {
    local snippet=$1 compiler=$2 include=$3 file=$1.cpp
    if grep -qE '^#include|main\(' "$snippet"; then
        cp "$snippet" "$file"
    else
        {
            (cd "$include" && ls cove/runtime/*.hpp cove/net/*.hpp) | sed 's/.*/#include <&>/'
            echo 'using namespace std::chrono_literals;'
            echo 'cove::task<> snippet([[maybe_unused]] cove::tcp_stream& peer, [[maybe_unused]] cove::tcp_listener& listener) {'
            cat "$snippet"
            echo 'co_return; }'
        } >"$file"
    fi
    "$compiler" -std=c++20 -fsyntax-only -Wall -Wextra -Wno-unused -I "$include" "$file" || { echo "snippet at $(cat "$snippet.where") does not compile"; return 1; }
}
export -f compile
ls "$folder"/*.snippet | xargs -P "$(nproc)" -I{} bash -c 'compile "$@"' _ {} "$compiler" "$include"
echo "snippets: $(ls "$folder"/*.snippet | wc -l) compiled"
