#include <cove/net/sim/detail/network.hpp>

#include <cove/net/serve.hpp>
#include <cove/runtime/task_group.hpp>

#include <support/sim.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

using cove::task;
using cove::tcp_stream;
using cove::sim::fault;
using test::two_hosts;
using namespace std::chrono_literals;

namespace {

// Writes its number of pieces, of one byte each, a millisecond apart.
task<> send_ticks(tcp_stream peer, int count) {
    peer.set_nodelay(true);
    for (int i = 0; i < count; ++i) {
        const char tick = static_cast<char>('a' + i % 26);
        co_await peer.write(std::string_view(&tick, 1));
        co_await cove::sleep_for(1ms);
    }
}

std::string ticks(int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += static_cast<char>('a' + i % 26);
    return all;
}

// How long a byte and its echo take, each time.
task<> measure(tcp_stream& peer, int times, std::vector<cove::duration>& into) {
    for (int i = 0; i < times; ++i) {
        const cove::time_point start = cove::now();
        co_await peer.write("x");
        char some[16];
        co_await peer.read(some);
        into.push_back(cove::now() - start);
    }
}

cove::sim::world_options steady(cove::duration latency = 1ms) {
    cove::sim::world_options options;
    options.latency_min = options.latency_max = latency;
    options.turn_max = 0ns;
    return options;
}

}  // namespace

TEST_CASE("packets take between the least and the most latency, and not always the same") {
    cove::sim::world_options options;
    options.latency_min = 2ms;
    options.latency_max = 5ms;
    options.turn_max = 0ns;
    std::vector<cove::duration> rounds;
    const auto ask = [&](tcp_stream peer) -> task<> {
        auto measuring = measure(peer, 200, rounds);
        co_await measuring;
    };
    two_hosts all(test::echo, ask, options);
    all.world.run();
    const auto [least, most] = std::minmax_element(rounds.begin(), rounds.end());
    CHECK(*least >= 4ms);
    CHECK(*least < 6ms);
    CHECK(*most <= 10ms);
    CHECK(*most > 9ms);
}

TEST_CASE("the latency of a way is what it is set to, of that way only") {
    std::vector<cove::duration> rounds;
    two_hosts* hosts = nullptr;
    const auto ask = [&](tcp_stream peer) -> task<> {
        hosts->world.set_latency(hosts->client, hosts->server, 30ms, 30ms);
        auto measuring = measure(peer, 3, rounds);
        co_await measuring;
    };
    two_hosts all(test::echo, ask, steady());
    hosts = &all;
    all.world.run();
    for (const cove::duration each : rounds) CHECK((each >= 31ms && each < 31ms + 1us));
}

TEST_CASE("where nothing takes time, everything happens at once, and ends") {
    std::string got;
    const auto ask = [&](tcp_stream peer) -> task<> {
        co_await peer.write("hello");
        peer.shutdown_write();
        auto reading = test::read_to_end(peer);
        got = co_await reading;
    };
    two_hosts all(test::echo, ask, steady(0ns));
    all.world.run();
    CHECK(got == "hello");
    CHECK(all.world.time() < 5ms);
}

TEST_CASE("loopback is quick, whatever the latency of the network") {
    cove::sim::world world(1, steady(1s));
    const auto main = [&]() -> task<> {
        auto listener = cove::tcp_listener::bind("127.0.0.1:80");
        const cove::time_point start = cove::now();
        auto left = co_await tcp_stream::connect("127.0.0.1:80");
        auto right = co_await listener.accept();
        co_await left.write("x");
        char some[16];
        co_await right.read(some);
        CHECK(cove::now() - start < 100us);
    };
    world.client("alone", main);
    world.run();
}

TEST_CASE("a connection's bytes come in order, however much their packets' latencies differ") {
    cove::sim::world_options options;
    options.latency_min = 1us;
    options.latency_max = 100ms;
    options.faults.set(fault::slow_packet, 0.2).set(fault::lost_packet, 0.2);
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        std::string got;
        const auto ask = [&](tcp_stream peer) -> task<> {
            auto reading = test::read_to_end(peer);
            got = co_await reading;
        };
        const auto serve = [](tcp_stream peer) { return send_ticks(std::move(peer), 200); };
        two_hosts all(serve, ask, options, seed);
        all.world.run();
        CHECK(got == ticks(200));
        CHECK(all.world.faults()[fault::slow_packet] > 10);
        CHECK(all.world.faults()[fault::lost_packet] > 10);
    }
}

TEST_CASE("a lost packet comes after TCP has sent it again, and what is behind it waits") {
    two_hosts* hosts = nullptr;
    std::vector<cove::duration> rounds;
    const auto ask = [&](tcp_stream peer) -> task<> {
        hosts->client.inject(fault::lost_packet);
        auto measuring = measure(peer, 2, rounds);
        co_await measuring;
    };
    two_hosts all(test::echo, ask, steady());
    hosts = &all;
    all.world.run();
    CHECK(rounds.at(0) >= 200ms);
    CHECK(rounds.at(0) < 3203ms);
    CHECK(rounds.at(1) < 2ms + 1us);
}

TEST_CASE("a slow packet takes a hundred times as long") {
    two_hosts* hosts = nullptr;
    std::vector<cove::duration> rounds;
    const auto ask = [&](tcp_stream peer) -> task<> {
        hosts->client.inject(fault::slow_packet);
        auto measuring = measure(peer, 2, rounds);
        co_await measuring;
    };
    two_hosts all(test::echo, ask, steady());
    hosts = &all;
    all.world.run();
    CHECK((rounds.at(0) >= 101ms && rounds.at(0) < 101ms + 1us));
    CHECK(rounds.at(1) < 2ms + 1us);
}

TEST_CASE("a megabyte at a megabyte a second takes a second") {
    cove::duration took{};
    const std::string text = test::some_text(1'000'000);
    two_hosts* hosts = nullptr;
    const auto ask = [&](tcp_stream peer) -> task<> {
        hosts->world.set_bandwidth(hosts->server, hosts->client, 1e6);
        const cove::time_point start = cove::now();
        co_await peer.write("!");
        auto reading = test::read_to_end(peer);
        const std::string got = co_await reading;
        took = cove::now() - start;
        CHECK((got == text));
    };
    const auto serve = [&](tcp_stream peer) -> task<> {
        char some[16];
        co_await peer.read(some);
        co_await peer.write(text);
    };
    two_hosts all(serve, ask, steady());
    hosts = &all;
    all.world.run();
    CHECK(took > 1s);
    CHECK(took < 1100ms);
}

TEST_CASE("all connections of a way share its bandwidth") {
    const std::string text = test::some_text(100'000);
    cove::sim::world world(1, steady());
    auto& server = world.host("server", [&text] {
        const auto handler = [&text](tcp_stream peer) -> task<> { co_await peer.write(text); };
        return cove::serve(cove::tcp_listener::bind(":80"), handler);
    });
    const auto one = [&]() -> task<> {
        auto peer = co_await tcp_stream::connect(server.address(80));
        auto reading = test::read_to_end(peer);
        const std::string got = co_await reading;
        CHECK((got == text));
    };
    cove::sim::host* client = nullptr;
    const auto main = [&]() -> task<> {
        world.set_bandwidth(server, *client, 1e6);
        cove::task_group four;
        for (int i = 0; i < 4; ++i) four.spawn(one());
        co_await four.join();
    };
    client = &world.client("client", main);
    world.run();
    CHECK(world.time() > 400ms);
    CHECK(world.time() < 500ms);
}

TEST_CASE("next to no bandwidth is no error") {
    cove::sim::world world(1);
    auto& server = world.host("server", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
    std::error_code error;
    cove::sim::host* client = nullptr;
    const auto main = [&]() -> task<> {
        world.set_bandwidth(*client, server, 1e-15);
        auto ending = test::ending_of(tcp_stream::connect(server.address(80)));
        error = co_await ending;
    };
    client = &world.client("client", main);
    world.run();
    CHECK(error == std::errc::timed_out);
}

TEST_CASE("a reset between the hosts is told to both of them") {
    std::error_code at_client, at_server;
    two_hosts* hosts = nullptr;
    const auto ask = [&](tcp_stream peer) -> task<> {
        hosts->server.inject(fault::reset);
        char some[16];
        auto ending = test::ending_of(peer.read(some));
        at_client = co_await ending;
        co_await cove::sleep_for(1s);
    };
    const auto serve = [&](tcp_stream peer) -> task<> {
        co_await peer.write("x");
        char some[16];
        auto ending = test::ending_of(peer.read(some));
        at_server = co_await ending;
    };
    two_hosts all(serve, ask);
    hosts = &all;
    all.world.run();
    CHECK(at_client == std::errc::connection_reset);
    CHECK(at_server == std::errc::connection_reset);
}

TEST_CASE("resetting the connections of two hosts resets those, and no others") {
    cove::sim::world world(1);
    auto& server = world.host("server", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
    std::error_code ends[2];
    std::vector<cove::sim::host*> clients;
    for (std::error_code& end : ends) {
        const auto main = [&server, &end]() -> task<> {
            auto peer = co_await tcp_stream::connect(server.address(80));
            co_await cove::sleep_for(1s);
            co_await peer.write("x");
            char some[16];
            auto ending = test::ending_of(peer.read(some));
            end = co_await ending;
        };
        clients.push_back(&world.client("client", main));
    }
    world.after(500ms, [&] { world.reset_connections(server, *clients[0]); });
    CHECK(test::contains(test::failure_of(world), "client ended with: write"));
}
