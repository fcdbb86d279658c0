// What the tests of the simulation share: two hosts with one connection between them, and failures as text.

#pragma once

#include <cove/net/sim/world.hpp>
#include <cove/net/tcp.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <system_error>
#include <utility>

namespace test {

// A client that connects to a server, and what each of them does with its end. The server takes one connection.
class two_hosts {
public:
    using talk = std::function<cove::task<>(cove::tcp_stream)>;

    two_hosts(talk serving, talk asking, const cove::sim::world_options& options = cove::sim::world_options(),
              std::uint64_t seed = 1)
        : world(seed, options), serving_(std::move(serving)), asking_(std::move(asking)) {}

    cove::sim::world world;

private:
    cove::task<> serve_one() {
        auto listener = cove::tcp_listener::bind(":80");
        auto taken = co_await listener.accept();
        auto talked = serving_(std::move(taken));
        co_await talked;
    }
    cove::task<> ask() {
        auto made = co_await cove::tcp_stream::connect(server.address(80));
        auto talked = asking_(std::move(made));
        co_await talked;
    }

    talk serving_;
    talk asking_;

public:
    cove::sim::host& server = world.host("server", [this] { return serve_one(); });
    cove::sim::host& client = world.client("client", [this] { return ask(); });
};

// What failed_run says of a run; empty: it passed.
inline std::string failure_of(cove::sim::world& world) {
    try {
        world.run();
        return {};
    } catch (const cove::sim::failed_run& failure) {
        return failure.what();
    }
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

// Some text in which no two stretches are alike.
inline std::string some_text(std::size_t size) {
    std::string text;
    while (text.size() < size) text += std::to_string(text.size()) + ',';
    text.resize(size);
    return text;
}

// Reads until the peer has finished sending.
inline cove::task<std::string> read_to_end(cove::tcp_stream& from) {
    std::string all;
    char some[4096];
    while (const std::size_t count = co_await from.read(some)) all.append(some, count);
    co_return all;
}

// Says nothing, and hears all that the peer says.
inline cove::task<> only_listen(cove::tcp_stream peer) {
    auto reading = read_to_end(peer);
    co_await reading;
}

// Sends back all it gets.
inline cove::task<> echo(cove::tcp_stream peer) {
    char some[4096];
    while (const std::size_t count = co_await peer.read(some)) co_await peer.write({some, count});
}

// The error that an operation ends with.
template <class Operation>
cove::task<std::error_code> ending_of(Operation operation) {
    auto ended = co_await cove::as_result(std::move(operation));
    co_return ended.error();
}

}  // namespace test
