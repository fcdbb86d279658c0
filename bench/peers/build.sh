#!/usr/bin/env bash
# Builds the servers of the benchmark, all or those named, and the load generator: build.sh OUT_DIR [PEER...]. Makes
# OUT_DIR/PEER/echo and OUT_DIR/PEER/chat, and prints for each echo server what a clean build of it alone costs, dependencies
# not counted: PEER compile_seconds N binary_bytes M. Scripts (node, uvloop) run from where they are.

set -euo pipefail
peers=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift

cxx="g++ -std=c++20 -O2 -DNDEBUG -ffunction-sections -static-libstdc++ -static-libgcc -Wl,--gc-sections"
cc="gcc -std=gnu11 -O2 -DNDEBUG"

# Runs a build of PEER's echo server and says what it took.
timed() { # PEER COMMAND...
    local peer=$1 begin=${EPOCHREALTIME/[.,]/} microseconds
    shift
    "$@"
    microseconds=$((${EPOCHREALTIME/[.,]/} - begin))
    strip "$out/$peer/echo"
    printf '%s compile_seconds %d.%03d binary_bytes %d\n' "$peer" $((microseconds / 1000000)) \
        $((microseconds / 1000 % 1000)) "$(stat -c %s "$out/$peer/echo")"
}

# The library is built once, as users have it: by CMake, in its release configuration.
cove_library() {
    cmake -S "$peers/../.." -B "$out/library" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCOVE_BUILD_TESTS=OFF \
        -DCOVE_BUILD_EXAMPLES=OFF >/dev/null
    cmake --build "$out/library" -- --quiet >&2
    cove="-I$out/library/include"
    cove_libraries="$out/library/libcove_net.a $out/library/libcove_runtime.a -pthread"
}

cove_servers() {
    timed cove $cxx $cove -o "$out/cove/echo" "$peers/../../examples/echo_server.cpp" $cove_libraries
    $cxx $cove -o "$out/cove/chat" "$peers/cove/chat.cpp" $cove_libraries
    $cxx $cove -o "$out/cove_busy_poll/echo" "$peers/cove/echo_busy_poll.cpp" $cove_libraries
    $cxx $cove -o "$out/cove_with_work/echo" "$peers/cove/echo_with_work.cpp" $cove_libraries
}

hand_written() { # edge or level
    timed "c_$1" $cc -o "$out/c_$1/echo" "$peers/c/echo_$1.c"
    [ "$1" = level ] || $cc -o "$out/c_$1/chat" "$peers/c/chat.c"
}

asio() { # callbacks or coroutines
    timed "asio_$1" $cxx -o "$out/asio_$1/echo" "$peers/asio/echo_$1.cpp"
    $cxx -o "$out/asio_$1/chat" "$peers/asio/chat_$1.cpp"
}

# The libraries are linked statically, so that the size says what the program needs, as it does for the others.
c_library() { # PEER LIBRARY...
    local peer=$1
    shift
    timed "$peer" $cc -o "$out/$peer/echo" "$peers/$peer/echo.c" "$@"
    $cc -o "$out/$peer/chat" "$peers/$peer/chat.c" "$@"
}

# Debian's cargo, rustc and crates: no registry is asked, and no toolchain of the user's is used. Cargo writes a lock
# file beside the sources, so it builds a copy.
cargo_build() { # PROFILE BINARY
    (
        cd "$out/tokio/source"
        export CARGO_HOME=$out/tokio/home CARGO_TARGET_DIR=$out/tokio/target RUSTC=/usr/bin/rustc
        /usr/bin/cargo build --quiet --offline --profile "$1" --bin "$2" \
            --config 'source.crates-io.replace-with = "debian"' \
            --config 'source.debian.directory = "/usr/share/cargo/registry"'
    )
}

tokio() {
    mkdir -p "$out/tokio/source"
    cp "$peers"/tokio/* "$out/tokio/source"
    for server in echo chat; do
        cargo_build release $server
        cp "$out/tokio/target/release/$server" "$out/tokio"
    done
    cargo_build no-lto chat  # compiles the dependencies
    timed tokio cargo_build no-lto echo
}

go_build() { # BINARY
    GOCACHE=$out/go/cache GOPATH=$out/go/path GOFLAGS= CGO_ENABLED=0 /usr/bin/go build -o "$out/go/$1" "$peers/go/$1.go"
}

go() {
    rm -rf "$out/go/cache"
    go_build chat  # compiles those packages of the standard library that Debian does not ship compiled
    timed go go_build echo
}

cove_library
$cxx $cove -o "$out/load" "$peers"/load/*.cpp $cove_libraries
$cxx -o "$out/core_distance" "$peers/core_distance.cpp" -pthread
for peer in ${*:-cove c_edge c_level asio_callbacks asio_coroutines libuv libevent tokio go node uvloop}; do
    mkdir -p "$out/$peer"
    rm -f "$out/$peer/"{echo,chat}
    case $peer in
        cove)
            mkdir -p "$out/cove_busy_poll" "$out/cove_with_work"
            cove_servers
            ;;
        c_*) hand_written "${peer#c_}" ;;
        asio_*) asio "${peer#asio_}" ;;
        libuv) c_library libuv -l:libuv_a.a -pthread -ldl ;;
        libevent) c_library libevent -l:libevent_core.a ;;
        tokio | go) $peer ;;
        node | uvloop) ;;
        *)
            echo "build.sh: no peer named $peer" >&2
            exit 1
            ;;
    esac
done
