// An echo server that computes for some 20 us for each message, on so many loops: ./echo PORT LOOPS.

#include <cove/net/serve_evenly.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

namespace {

// The same for each message: 20,000 steps that depend on one another.
std::uint64_t compute(std::uint64_t state) {
    for (int step = 0; step < 20'000; ++step) {
        state ^= state << 13;
        state ^= state >> 7;
    }
    return state;
}

cove::task<> echo(cove::tcp_stream peer) {
    while (cove::buffer data = co_await peer.receive()) {
        if (compute(data.size()) != 0) co_await peer.write(data.view());
    }
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 3) return 2;
    const auto loops = static_cast<unsigned>(std::atoi(argv[2]));
    cove::shard_listeners listeners(std::string("127.0.0.1:") + argv[1], loops);
    return cove::run_sharded(loops, [&](cove::shard& self) { return cove::serve_evenly(self, listeners, echo); });
} catch (const std::exception& error) {
    std::fprintf(stderr, "echo: %s\n", error.what());
    return 1;
}
