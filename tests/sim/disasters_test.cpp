// The faults that befall hosts and the network between them, as often as their rates say.

#include <cove/net/sim/world.hpp>

#include <cove/net/serve.hpp>

#include <support/sim.hpp>

#include <chrono>
#include <string>
#include <vector>

using cove::task;
using cove::tcp_stream;
using cove::sim::fault;
using namespace std::chrono_literals;

namespace {

constexpr fault disasters[] = {fault::partition, fault::one_way_partition, fault::crash, fault::kill,
                               fault::pause,     fault::clock_jump};

task<> serve_echo() { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); }

// A server that may crash, and a client that lives for so long.
struct struck {
    struck(fault kind, double rate, cove::duration length, bool immune = false) {
        cove::sim::world_options options;
        options.faults.set(kind, rate);
        cove::sim::world world(1, options);
        cove::sim::host_options on_server, on_client;
        on_server.may_crash = true;
        on_server.immune = on_client.immune = immune;
        auto& server = world.host("server", serve_echo, on_server);
        // By the world's time: the client's clock may leap.
        const auto main = [&world, length]() -> task<> {
            while (world.time() < length) co_await cove::sleep_for(1s);
        };
        auto& client = world.client("client", main, on_client);
        failure = test::failure_of(world);
        count = world.faults()[kind];
        total = world.faults().total();
        server_starts = server.starts();
        client_starts = client.starts();
    }
    std::string failure;
    std::uint64_t count = 0;
    std::uint64_t total = 0;
    unsigned server_starts = 0;
    unsigned client_starts = 0;
};

}  // namespace

TEST_CASE("a disaster strikes as often as its rate says, and no other does") {
    for (const fault kind : disasters) {
        CAPTURE(name_of(kind));
        const struck hosts(kind, 0.1, 10'000s);
        CHECK(hosts.failure == "");
        CHECK(hosts.count == hosts.total);
        CHECK(hosts.count > 400);
        CHECK(hosts.count < 1200);
    }
}

TEST_CASE("a disaster that is next to impossible does not come") {
    for (const double rate : {1e-6, 1e-9, 1.2e-10, 1e-10, 1e-12, 1e-300}) {
        CAPTURE(rate);
        const struck hosts(fault::pause, rate, 1000s);
        CHECK(hosts.failure == "");
        CHECK(hosts.count == 0);
    }
}

TEST_CASE("only hosts that may crash do, and they are started again") {
    for (const fault kind : {fault::crash, fault::kill}) {
        const struck hosts(kind, 0.1, 10'000s);
        CHECK(hosts.server_starts > 100);
        CHECK(hosts.server_starts <= hosts.count + 1);
        CHECK(hosts.client_starts == 1);
    }
}

TEST_CASE("hosts that are immune are struck by no disaster") {
    for (const fault kind : disasters) {
        CAPTURE(name_of(kind));
        CHECK(struck(kind, 0.1, 1000s, true).count == 0);
    }
}

TEST_CASE("faults that are drawn pass an immune host by; those that are ordered do not") {
    cove::sim::world_options options;
    options.faults.set_all_calls(0.3);
    cove::sim::world world(1, options);
    cove::sim::host_options immune;
    immune.immune = true;
    auto& server = world.host("server", serve_echo, immune);
    cove::sim::host* client = nullptr;
    const auto main = [&]() -> task<> {
        auto peer = co_await tcp_stream::connect(server.address(80));
        client->inject(fault::short_write, 2);
        co_await peer.write(test::some_text(1000));
        peer.shutdown_write();
        auto reading = test::read_to_end(peer);
        const std::string back = co_await reading;
        CHECK((back == test::some_text(1000)));
    };
    client = &world.client("client", main, immune);
    world.run();
    CHECK(world.faults().total() == 2);
}

TEST_CASE("what is cut off by a disaster is whole again after a while: every byte comes") {
    for (const fault kind : {fault::partition, fault::one_way_partition, fault::pause}) {
        for (std::uint64_t seed = 1; seed <= 10; ++seed) {
            cove::sim::world_options options;
            options.faults.set(kind, 0.5);
            cove::sim::world world(seed, options);
            auto& server = world.host("server", serve_echo);
            for (int i = 0; i < 3; ++i) {
                world.client("client", [&server]() -> task<> {
                    auto peer = co_await tcp_stream::connect(server.address(80));
                    for (int round = 0; round < 50; ++round) {
                        const std::string text = std::to_string(round);
                        co_await peer.write(text);
                        std::string back(text.size(), ' ');
                        co_await peer.read_exactly(back);
                        CHECK(back == text);
                        co_await cove::sleep_for(200ms);
                    }
                });
            }
            CHECK(test::failure_of(world) == "");
            CHECK(world.faults()[kind] > 0);
        }
    }
}

TEST_CASE("when the clients have ended no disaster keeps the servers from ending") {
    cove::sim::world_options options;
    for (const fault kind : disasters) options.faults.set(kind, 5);
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        cove::sim::world world(seed, options);
        world.allow_errors();
        cove::sim::host_options on_server;
        on_server.may_crash = true;
        for (int i = 0; i < 3; ++i) world.host("server", serve_echo, on_server);
        world.client("client", []() -> task<> { co_await cove::sleep_for(3s); });
        CHECK(test::failure_of(world) == "");
    }
}

TEST_CASE("a partition that somebody makes outlives one that was drawn") {
    cove::sim::world_options options;
    options.faults.set(fault::partition, 1);
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        cove::sim::world world(seed, options);
        auto& server = world.host("server", serve_echo);
        cove::sim::host* client = nullptr;
        const auto main = [&]() -> task<> {
            auto peer = co_await tcp_stream::connect(server.address(80));
            co_await cove::sleep_for(10s);
            world.heal_all();
            world.partition(*client, server);
            const cove::time_point start = cove::now();
            world.after(100s, [&] { world.heal(*client, server); });
            co_await peer.write("x");
            char some[16];
            co_await peer.read(some);
            CHECK(cove::now() - start >= 100s);
        };
        client = &world.client("client", main);
        CHECK(test::failure_of(world) == "");
    }
}
