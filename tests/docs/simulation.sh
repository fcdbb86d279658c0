#!/usr/bin/env bash
# Does what docs/simulation.md tells: compiles its program, sees it fail with the seed that the page names, mends it by the
# page's diff, and sees it pass. Arguments: the compiler, the build tree.

set -euo pipefail
cd "$(dirname "$0")/../.."
compiler=$1 build=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

block() { awk -v kind="$1" '$0 == "```" kind && !seen { inside = seen = 1; next } /^```/ { inside = 0 } inside' docs/simulation.md; }
compile() {
    "$compiler" -std=c++20 -O1 -I "$build/include" "$folder/doubler.cpp" -o "$folder/doubler" \
        "$build/libcove_sim.a" "$build/libcove_net.a" "$build/libcove_runtime.a" -pthread
}
fail() {
    echo "docs/simulation.md: $*"
    exit 1
}

block cpp >"$folder/doubler.cpp"
[ "$(wc -l <"$folder/doubler.cpp")" -lt 60 ] || fail "the example has become longer than 60 lines"
compile
if "$folder/doubler" doubler >"$folder/out"; then fail "the bug is not found"; fi
expected=$(sed -n 's/^doubler FAILED: //p' docs/simulation.md)
grep -q "FAILED: $expected" "$folder/out" || fail "it fails with: $(head -n 1 "$folder/out")"
seed=$(sed -n 's/^seed \([0-9]*\);.*/\1/p' docs/simulation.md)
grep -q "^seed $seed;" "$folder/out" || fail "the seed is another one: $(sed -n 2p "$folder/out")"
"$folder/doubler" doubler --seed "$seed" --trace "$folder/trace" >/dev/null || true
sed -n '/short_read$/,/^```/p' docs/simulation.md | grep -v -e '```' -e '^\$' | while IFS= read -r line; do
    grep -qF -- "$line" "$folder/trace" || fail "no such event: $line"
done

block diff >"$folder/fix.diff"
(cd "$folder" && git apply --unidiff-zero fix.diff) || fail "the diff does not apply"
compile
"$folder/doubler" doubler || fail "the mended program fails"
"$folder/doubler" doubler --every-call || fail "the mended program fails when a call does"
