#include <cove/net/serve.hpp>
#include <cove/runtime/run.hpp>

cove::task<> echo(cove::tcp_stream peer) {
    char buffer[16 * 1024];
    while (std::size_t n = co_await peer.read(buffer))  // 0 = the peer has finished sending
        co_await peer.write({buffer, n});               // the whole span, or an exception
}

int main() { return cove::run(cove::serve(cove::tcp_listener::bind(":8080"), echo)); }
