#include <cove/net/tcp.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/when_all.hpp>

#include <string_view>

cove::task<> answer(cove::tcp_listener& listener) {
    auto peer = co_await listener.accept();
    co_await peer.write("installed\n");
}

cove::task<bool> ask(const cove::address& where) {
    auto server = co_await cove::tcp_stream::connect(where);
    auto said = co_await server.receive();
    co_return said.view() == "installed\n";
}

cove::task<int> both() {
    auto listener = cove::tcp_listener::bind("127.0.0.1:0");
    auto [answered, right] = co_await cove::when_all(answer(listener), ask(listener.local_address()));
    co_return right ? 0 : 1;
}

int main() { return cove::run(both()); }
