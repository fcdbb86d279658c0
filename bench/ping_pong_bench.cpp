// A message of 64 bytes there and back, both ends in one loop, over a socket pair and over TCP; and the same four system
// calls without any runtime, as the floor.

#include <cove/net/tcp.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/when_all.hpp>

#include <benchmark/benchmark.h>

#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr std::size_t message_bytes = 64;

cove::task<> echo(cove::tcp_stream& peer) {
    char data[4096];
    while (const std::size_t count = co_await peer.read(data)) co_await peer.write({data, count});
}

cove::task<> ping_pong(benchmark::State& state, cove::tcp_stream& near, cove::tcp_stream& far) {
    cove::task_group server;
    server.spawn(echo(far));
    char data[message_bytes] = {};
    for (auto _ : state) {
        co_await near.write({data, sizeof data});
        co_await near.read_exactly(data);
    }
    state.SetItemsProcessed(state.iterations());
}

cove::task<> over_socket_pair(benchmark::State& state) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0) co_return;
    cove::tcp_stream near{cove::descriptor(ends[0])};
    cove::tcp_stream far{cove::descriptor(ends[1])};
    co_await ping_pong(state, near, far);
}

cove::task<> over_tcp(benchmark::State& state) {
    auto listener = cove::tcp_listener::bind("127.0.0.1:0");
    auto [near, far] = co_await cove::when_all(cove::tcp_stream::connect(listener.local_address()), listener.accept());
    co_await ping_pong(state, near, far);
}

void ping_pong_socket_pair(benchmark::State& state) { cove::run(over_socket_pair(state)); }
BENCHMARK(ping_pong_socket_pair);
void ping_pong_tcp(benchmark::State& state) { cove::run(over_tcp(state)); }
BENCHMARK(ping_pong_tcp);

void bare_system_calls_socket_pair(benchmark::State& state) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0) return;
    char data[message_bytes] = {};
    for (auto _ : state) {
        for (const int from : {0, 1}) {
            benchmark::DoNotOptimize(::send(ends[from], data, sizeof data, MSG_NOSIGNAL));
            benchmark::DoNotOptimize(::recv(ends[1 - from], data, sizeof data, 0));
        }
    }
    ::close(ends[0]);
    ::close(ends[1]);
}
BENCHMARK(bare_system_calls_socket_pair);

}  // namespace
