#!/usr/bin/env bash
# What the house rules say and a compiler does not check. Arguments: the compiler and the build tree's include folder.

set -uo pipefail
cd "$(dirname "$0")/../.."
compiler=$1 include=$2
failures=0
fail() {
    echo "tidy: $*"
    failures=$((failures + 1))
}
each() { while read -r line; do fail "$1: $line"; done; }

headers=$(ls runtime/*.hpp runtime/detail/*.hpp net/*.hpp net/detail/*.hpp net/sim/*.hpp net/sim/detail/*.hpp)
sources=$(ls runtime/*.cpp runtime/detail/*.cpp net/*.cpp net/detail/*.cpp net/sim/*.cpp net/sim/detail/*.cpp)

# Includes point downward, and epoll has one home.
grep -nE '#include [<"](cove/)?net/' $(ls runtime/*.?pp runtime/detail/*.?pp) | each "runtime includes net"
grep -nE '#include <cove/net/sim/' $(ls net/*.?pp net/detail/*.?pp examples/*.?pp) | each "what serves in earnest includes the simulation"
grep -nE '#include <cove/runtime/detail/' $(ls net/*.?pp net/detail/*.?pp net/sim/*.?pp net/sim/detail/*.?pp examples/*.?pp) | each "only the public runtime may be included here"
grep -lE '#include <sys/(epoll|eventfd|signalfd|timerfd).h>' $headers $sources | grep -v '^runtime/linux_kernel.cpp$' | each "epoll and eventfd belong in runtime/linux_kernel.cpp"
grep -nE '(^|[^a-z_:>.])::(recv|send|sendmsg|read|write|accept4|connect|close|epoll_[a-z0-9]+|clock_gettime)\(' $sources |
    grep -v '^runtime/linux_kernel.cpp:' | each "an I/O system call outside the kernel"
grep -nE '#include <(iostream|functional|regex|filesystem|iomanip|sstream|thread|mutex)>' $headers | grep -v '^net/sim/' | each "a heavy standard header in a header"

# Leftovers, and tests that sleep on the real clock.
grep -nE 'TODO|FIXME|XXX|#if 0' $headers $sources examples/* bench/*.?pp bench/peers/*/*.?pp bench/peers/*/*.c tests/*/*.?pp | each "leftover"
grep -nE 'sleep_for\(std::|usleep|nanosleep|this_thread::sleep' tests/*/*.cpp | each "a test sleeps on the real clock"

# A test for each unit that has code of its own.
for source in $sources $(ls runtime/*.hpp net/*.hpp net/sim/*.hpp); do
    unit=$(basename "${source%.*}")
    case $source in net/sim/*) floor=sim ;; *) floor=${source%%/*} ;; esac
    ls tests/$floor/ | grep -qE "^($unit|[a-z_]*_?$unit|${unit}_[a-z_]*)_test.cpp$" ||
        case $unit in
            tcp | stream_operations | pass_operations | socket_operation | kernel | inbox | execution) ;; # tested through tcp_*, linux_kernel, loop_handle, pass_through, task
            attributes) ;; # by lifetimes.sh
            calls | kernel_events | kernel_pipes | endpoint | poller | socket_options | tcp_arrival | tcp_socket | tcp_stack) ;; # by sim/conformance_*
            command | plan) ;; # by the scenarios
            *) fail "no test for $source" ;;
        esac
done

# Every header compiles alone.
check_header() { echo "#include <cove/$3>" | "$1" -std=c++20 -fsyntax-only -Wall -Wextra -Werror -I "$2" -x c++ - || echo "$3" >>"$4"; }
export -f check_header
broken=$(mktemp)
printf '%s\n' $headers | xargs -P "$(nproc)" -I{} bash -c 'check_header "$@"' _ "$compiler" "$include" {} "$broken"
each "does not compile alone" <"$broken"
rm -f "$broken"

# Paths that documents and comments name exist.
grep -ohE '`(runtime|net|examples|bench|tests|docs)/[A-Za-z0-9_./-]+`' README.md CONTRIBUTING.md CHANGELOG.md docs/*.md $headers $sources | tr -d '`' | sort -u |
    while read -r path; do [ -e "$path" ] || echo "$path"; done | each "a document names a path that does not exist"

[ "$failures" -eq 0 ] && echo "tidy: nothing to complain about"
exit $((failures > 0))
