#!/usr/bin/env bash
# Installs a build tree and builds a project against it, by find_package and by pkg-config. Arguments: the compiler, the
# build tree.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
compiler=$1 build=$2
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

cmake --install "$build" --prefix "$prefix" >/dev/null
cmake -S "$here" -B "$prefix/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler" >/dev/null
cmake --build "$prefix/build"
"$prefix/build/consumer"
"$prefix/build/simulated"
echo "consumer: find_package works"

export PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name cove.pc)")
"$compiler" "$here/main.cpp" $(pkg-config --define-variable=prefix="$prefix" --cflags --libs cove) -o "$prefix/by-pkg-config"
"$prefix/by-pkg-config"
echo "consumer: pkg-config works"
