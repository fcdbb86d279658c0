// The echo server of the examples, but for run_options::busy_poll: ./echo PORT.

#include <cove/net/serve.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

namespace {

cove::task<> echo(cove::tcp_stream peer) {
    while (cove::buffer data = co_await peer.receive()) co_await peer.write(data.view());
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 2) return 2;
    cove::run_options options;
    options.busy_poll = std::chrono::microseconds(50);
    return cove::run(cove::serve(cove::tcp_listener::bind(std::string("127.0.0.1:") + argv[1]), echo), options);
} catch (const std::exception& error) {
    std::fprintf(stderr, "echo: %s\n", error.what());
    return 1;
}
