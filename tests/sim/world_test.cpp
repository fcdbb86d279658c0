// Runs of a world that end well.

#include <cove/net/sim/world.hpp>

#include <cove/net/serve.hpp>
#include <cove/runtime/loop_handle.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/task_group.hpp>

#include <support/sim.hpp>

#include <chrono>
#include <ctime>
#include <set>
#include <string>
#include <vector>

using cove::task;
using cove::tcp_stream;
using namespace std::chrono_literals;

namespace {

task<> serve_echo() { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); }

task<> say(std::string where, std::string what) {
    auto peer = co_await tcp_stream::connect(where);
    co_await peer.write(what);
    peer.shutdown_write();
    auto reading = test::read_to_end(peer);
    const std::string back = co_await reading;
    CHECK((back == what));
}

double seconds_of_cpu() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

TEST_CASE("a world ends with the last of its clients, and its servers are told to end then") {
    cove::sim::world world(1);
    auto& server = world.host("server", serve_echo);
    for (int i = 1; i <= 3; ++i) {
        world.client("client", [&server, i]() -> task<> {
            co_await cove::sleep_for(1min * i);
            auto saying = say(server.address(80), "hello");
            co_await saying;
        });
    }
    world.run();
    CHECK(!server.is_running());
    CHECK(world.time() > 3min);
    CHECK(world.time() < 3min + 5s);
}

TEST_CASE("a world without clients ends when all its programs have") {
    cove::sim::world world(1);
    auto& one = world.host("one", []() -> task<> { co_await cove::sleep_for(1s); });
    auto& other = world.host("other", []() -> task<> { co_await cove::sleep_for(2s); });
    world.run();
    CHECK((!one.is_running() && !other.is_running()));
    CHECK(world.time() >= 2s);
    CHECK(world.time() < 3s);
}

TEST_CASE("a world without programs, or without hosts, ends at once") {
    cove::sim::world none(1);
    none.run();
    cove::sim::world idle(1);
    idle.host("idle");
    idle.run();
    CHECK(idle.time() < 1s);
}

TEST_CASE("a world that never runs leaves nothing behind, whatever was planned in it") {
    cove::sim::world world(1);
    auto& server = world.host("server", serve_echo);
    auto& client = world.client("client", [&] { return say(server.address(80), "hello"); });
    server.crash();
    client.pause(1s);
    client.jump_clock(1h);
    server.signal(15);
    server.restart();
    world.partition(server, client);
    world.after(1s, [&] { world.heal_all(); });
}

TEST_CASE("a world whose programs are in the midst of something when it is destroyed leaves nothing behind") {
    for (cove::duration passed{}; passed < 3ms; passed += 100us) {
        cove::sim::world world(1);
        auto& server = world.host("server", serve_echo);
        world.client("client", [&]() -> task<> {
            for (;;) {
                auto saying = say(server.address(80), test::some_text(10'000));
                co_await saying;
            }
        });
        struct enough {};
        world.after(passed, [] { throw enough(); });
        CHECK_THROWS_AS(world.run(), enough);
    }
}

TEST_CASE("servers listen before the first client comes, in the order in which they are there or not") {
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        cove::sim::world world(seed);
        std::vector<std::string> servers;
        world.client("client", [&]() -> task<> {
            for (const std::string& each : servers) {
                auto saying = say(each, "hello");
                co_await saying;
            }
        });
        for (int i = 0; i < 5; ++i) servers.push_back(world.host("server", serve_echo).address(80));
        world.run();
    }
}

TEST_CASE("after() calls when its time has come, in the order of the times") {
    cove::sim::world world(1);
    std::vector<int> order;
    world.after(2s, [&] { order.push_back(2); });
    world.after(1s, [&] {
        order.push_back(1);
        CHECK(world.time() == 1s);
        world.after(3s, [&] { order.push_back(4); });
    });
    world.after(3s, [&] { order.push_back(3); });
    world.after(-1s, [&] { order.push_back(0); });
    world.after(cove::duration::max(), [&] { order.push_back(9); });
    world.pass(3999ms);
    CHECK(order == std::vector<int>{0, 1, 2, 3});
    CHECK(world.time() == 3999ms);
    world.pass(1ms);
    CHECK(order.back() == 4);
    CHECK(world.time() == 4s);
}

TEST_CASE("what is to happen at the same moment happens in an order that the seed draws") {
    const auto order_of = [](std::uint64_t seed) {
        cove::sim::world world(seed);
        std::string order;
        for (char each = 'a'; each <= 'h'; ++each) world.after(1s, [&order, each] { order += each; });
        world.pass(1s);
        return order;
    };
    std::set<std::string> orders;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CHECK(order_of(seed) == order_of(seed));
        orders.insert(order_of(seed));
    }
    CHECK(orders.size() > 15);
}

TEST_CASE("a thousand hosts are no trouble") {
    const double start = seconds_of_cpu();
    cove::sim::world world(1);
    std::vector<cove::sim::host*> servers;
    for (int i = 0; i < 500; ++i) servers.push_back(&world.host("server", serve_echo));
    for (int i = 0; i < 500; ++i) {
        world.client("client", [&servers, i]() -> task<> {
            for (int j = 0; j < 4; ++j) {
                auto saying = say(servers[static_cast<std::size_t>(i * 7 + j * 31) % 500]->address(80), "hello");
                co_await saying;
            }
        });
    }
    world.run();
    CHECK(seconds_of_cpu() - start < 20);
}

TEST_CASE("a day of waiting costs next to nothing") {
    const double start = seconds_of_cpu();
    cove::sim::world world(1);
    auto& host = world.client("host", []() -> task<> {
        for (int i = 0; i < 24 * 60 - 1; ++i) co_await cove::sleep_for(1min);
    });
    world.run();
    CHECK(world.time() > 23h);
    CHECK(host.turns() < 24 * 60 * 3);
    CHECK(seconds_of_cpu() - start < 1);
}

TEST_CASE("a program may begin where its host's main was never given, by run()") {
    cove::sim::world world(1);
    auto& machine = world.host("machine");
    cove::run_options options;
    options.os = &machine.os();
    const auto main = []() -> task<int> {
        auto listener = cove::tcp_listener::bind("127.0.0.1:0");
        auto left = co_await tcp_stream::connect(listener.local_address());
        auto right = co_await listener.accept();
        co_await left.write("hello");
        char some[16];
        const std::size_t count = co_await right.read(some);
        co_await cove::sleep_for(10h);
        co_return static_cast<int>(count);
    };
    CHECK(cove::run(main(), options) == 5);
    CHECK(world.time() > 10h);
    CHECK(cove::run(main(), options) == 5);
}

TEST_CASE("run() on a simulated kernel finds a deadlock as it does on Linux") {
    cove::sim::world world(1);
    auto& machine = world.host("machine");
    cove::run_options options;
    options.os = &machine.os();
    options.stop_on_signals = false;
    const auto main = []() -> task<> {
        auto listener = cove::tcp_listener::bind("127.0.0.1:0");
        auto accepted = co_await listener.accept();
    };
    CHECK_THROWS_AS(cove::run(main(), options), std::system_error);
}

TEST_CASE("hosts talk over IPv6, and with themselves over loopback of both families") {
    cove::sim::world world(1);
    world.host("server", serve_echo);
    world.client("client", []() -> task<> {
        auto saying = say("[fd00::1]:80", "six");
        co_await saying;
        cove::task_group group;
        group.spawn(serve_echo());
        co_await cove::sleep_for(1ms);
        for (const char* own : {"127.0.0.1:80", "127.0.0.9:80", "[::1]:80", "10.0.0.2:80", "[fd00::2]:80"}) {
            auto echoed = say(own, own);
            co_await echoed;
        }
        group.cancel();
    });
    world.run();
}

TEST_CASE("what a kernel draws at random comes from the seed, and differs from host to host") {
    const auto drawn = [](std::uint64_t seed) {
        cove::sim::world world(seed);
        auto& one = world.host("one");
        auto& other = world.host("other");
        return std::vector<std::uint64_t>{one.os().random(), one.os().random(), other.os().random()};
    };
    const auto first = drawn(1);
    CHECK(first == drawn(1));
    CHECK(first != drawn(2));
    CHECK(std::set<std::uint64_t>(first.begin(), first.end()).size() == 3);
}

TEST_CASE("a run is counted where its plan says: its time, events, calls, turns and faults") {
    cove::sim::totals sum;
    cove::sim::plan which(1);
    which.into = &sum;
    for (int i = 1; i <= 2; ++i) {
        std::vector<cove::sim::call> calls;
        which.calls = &calls;
        cove::sim::world_options options;
        options.faults.set(cove::sim::fault::interrupted, 0.5);
        const cove::sim::totals before = sum;
        {
            cove::sim::world world(which, options);
            auto& server = world.host("server", serve_echo);
            world.client("client", [&] { return say(server.address(80), "hello"); });
            world.run();
            CHECK(world.calls() == calls.size());
        }
        CHECK(sum.runs == before.runs + 1);
        CHECK(sum.calls - before.calls == calls.size());
        CHECK(sum.time > before.time);
        CHECK(sum.events > before.events + 10);
        CHECK(sum.turns > before.turns + 10);
        CHECK(sum.faults[cove::sim::fault::interrupted] > before.faults[cove::sim::fault::interrupted]);
        CHECK((sum.fingerprint == before.fingerprint) == (i == 2));
    }
}

TEST_CASE("a program that works on for long, but in between waits, does not spin") {
    cove::sim::world_options options;
    options.turn_max = 0ns;
    cove::sim::world world(1, options);
    world.client("host", []() -> task<> {
        for (int i = 0; i < 200'000; ++i) co_await cove::sleep_for(i % 2 == 0 ? 0ns : 1us);
    });
    world.run();
}
