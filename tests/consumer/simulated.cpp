#include <cove/net/sim/world.hpp>
#include <cove/net/tcp.hpp>

#include <stdexcept>
#include <string>

cove::task<> answer() {
    auto listener = cove::tcp_listener::bind(":80");
    auto peer = co_await listener.accept();
    co_await peer.write("installed\n");
}

cove::task<> ask(std::string where) {
    auto server = co_await cove::tcp_stream::connect(where);
    auto said = co_await server.receive();
    if (said.view() != "installed\n") throw std::runtime_error("not installed");
}

int main() {
    cove::sim::world world(1);
    auto& server = world.host("server", answer);
    world.client("client", [&] { return ask(server.address(80)); });
    world.run();
}
