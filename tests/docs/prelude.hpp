// What the snippets of docs/coming-from.md use, as its head describes it.

#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

inline cove::task<int> f() {
    co_await cove::yield();
    co_return 1;
}
inline cove::task<int> g() {
    co_await cove::sleep_for(1ms);
    co_return 2;
}
inline cove::task<> work(int) { co_await cove::yield(); }
inline int blocking(int i) { return i; }
inline cove::async_generator<int> count_to(int last) {
    for (int i = 1; i <= last; ++i) co_yield i;
}
inline cove::task<> echo(cove::tcp_stream peer) {
    char some[1024];
    while (std::size_t n = co_await peer.read(some)) co_await peer.write({some, n});
}

struct surroundings {
    cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
    std::vector<int> items{1, 2, 3};
    char buffer[1024];
    int fd = ::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    ~surroundings() { ::close(fd); }
};

// Runs one snippet beside an echo server, with a connection to it.
inline cove::task<> within(cove::task<> (*snippet)(const cove::address&, cove::tcp_stream&, surroundings&)) {
    surroundings here;
    cove::tcp_listener echo_listener = cove::tcp_listener::bind("127.0.0.1:0");
    const cove::address where = echo_listener.local_address();
    cove::task_group servers;
    servers.spawn(cove::serve(std::move(echo_listener), echo));
    cove::tcp_stream peer = co_await cove::tcp_stream::connect(where);
    co_await cove::timeout(10s, snippet(where, peer, here));
    peer.close();
    servers.cancel();
    co_await servers.join();
}
