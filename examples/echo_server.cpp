// Sends back whatever it is sent.
//
//   ./echo_server [ADDRESS]        ADDRESS is :8080 unless given
//   nc 127.0.0.1 8080              one of many clients at once

#include <cove/net/serve.hpp>

#include <cstdio>
#include <exception>

namespace {

cove::task<> echo(cove::tcp_stream peer) {
    while (cove::buffer data = co_await peer.receive())  // empty: the peer has finished sending
        co_await peer.write(data.view());                // all of it, or an exception, which ends this session only
}

}  // namespace

int main(int argc, char** argv) try {
    auto listener = cove::tcp_listener::bind(argc > 1 ? argv[1] : ":8080");
    std::printf("echo: listening on %s\n", listener.local_address().to_string().c_str());
    std::fflush(stdout);
    return cove::run(cove::serve(std::move(listener), echo));
} catch (const std::exception& error) {
    std::fprintf(stderr, "echo: %s\n", error.what());
    return 1;
}
