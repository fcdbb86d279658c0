// Hosts that crash, whose processes are killed, and that are started again: who is told of it, and what is left.

#include <cove/net/sim/host.hpp>

#include <cove/net/serve.hpp>
#include <cove/runtime/frames.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/timeout.hpp>

#include <support/sim.hpp>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

using cove::task;
using cove::tcp_stream;
using test::two_hosts;
using namespace std::chrono_literals;

namespace {

task<> serve_echo() { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); }

task<> connect_and_wait(cove::sim::host& server) {
    auto peer = co_await tcp_stream::connect(server.address(80));
    co_await cove::sleep_for(1h);
}

}  // namespace

TEST_CASE("of a crash the peers hear nothing; after the restart their next write is answered by a reset") {
    cove::sim::world world(1);
    auto& server = world.host("server", serve_echo);
    const auto main = [&]() -> task<> {
        auto peer = co_await tcp_stream::connect(server.address(80));
        char some[16];
        co_await cove::sleep_for(10ms);
        server.crash();
        const auto heard = co_await cove::move_on_after(10h, peer.read(some));
        CHECK(!heard);
        CHECK(!server.is_running());
        server.restart();
        const auto silent = co_await cove::move_on_after(10h, peer.read(some));
        CHECK(!silent);
        co_await peer.write("x");
        auto ending = test::ending_of(peer.read(some));
        const std::error_code error = co_await ending;
        CHECK(error == std::errc::connection_reset);
        auto again = co_await tcp_stream::connect(server.address(80));
        co_await again.write("y");
        const std::size_t count = co_await again.read(some);
        CHECK(count == 1);
    };
    world.client("client", main);
    world.run();
    CHECK(server.starts() == 2);
}

TEST_CASE("what was sent to a host without power is answered when it has power again") {
    cove::sim::world world(1);
    auto& server = world.host("server", serve_echo);
    const auto main = [&]() -> task<> {
        auto peer = co_await tcp_stream::connect(server.address(80));
        server.crash();
        co_await cove::sleep_for(1s);
        co_await peer.write("x");
        co_await cove::sleep_for(1s);
        server.restart();
        char some[16];
        auto ending = test::ending_of(peer.read(some));
        const std::error_code error = co_await ending;
        CHECK(error == std::errc::connection_reset);
    };
    world.client("client", main);
    world.run();
}

TEST_CASE("a write to a host that never comes back ends with ETIMEDOUT") {
    cove::sim::world world(1);
    auto& server = world.host("server", serve_echo);
    const auto main = [&]() -> task<> {
        auto peer = co_await tcp_stream::connect(server.address(80));
        server.crash();
        co_await cove::sleep_for(1s);
        co_await peer.write("x");
        char some[16];
        auto ending = test::ending_of(peer.read(some));
        const std::error_code error = co_await ending;
        CHECK(error == std::errc::timed_out);
    };
    world.client("client", main);
    world.run();
}

TEST_CASE("a writer that waits for room is told of a crash, once the host is back") {
    cove::sim::world world(1);
    const auto serve = []() -> task<> {
        auto listener = cove::tcp_listener::bind(":80");
        auto peer = co_await listener.accept();
        co_await cove::sleep_for(10h);
    };
    auto& server = world.host("server", serve);
    world.after(10s, [&] { server.crash(); });
    world.after(20s, [&] { server.restart(); });
    const auto main = [&]() -> task<> {
        auto peer = co_await tcp_stream::connect(server.address(80));
        const std::string much(1'000'000, 'x');
        auto ending = test::ending_of(peer.write(much));
        const std::error_code error = co_await ending;
        CHECK(error == std::errc::connection_reset);
        CHECK(world.time() < 200s);
    };
    world.client("client", main);
    CHECK(test::failure_of(world) == "");
}

TEST_CASE("a crash ends a program as if it had never been: no frame, no descriptor, no port is left of it") {
    const long frames = cove::frames_alive();
    cove::sim::world world(1);
    auto& server = world.host("server", serve_echo);
    const auto main = [&]() -> task<> {
        auto peer = co_await tcp_stream::connect(server.address(80));
        const long before = cove::frames_alive();
        server.crash();
        co_await cove::sleep_for(1ms);
        CHECK(cove::frames_alive() < before);
        CHECK(server.os().create_event() == 3);
        CHECK(server.os().close(3) == 0);
        for (int i = 0; i < 3; ++i) {
            server.restart();
            co_await cove::sleep_for(1ms);
            CHECK(server.is_running());
        }
    };
    world.client("client", main);
    world.run();
    CHECK(cove::frames_alive() == frames);
}

TEST_CASE("a host may crash, be killed or be restarted at any moment of a conversation") {
    const long frames = cove::frames_alive();
    for (int what = 0; what < 4; ++what) {
        for (cove::duration when{}; when < 12ms; when += 97us) {
            cove::sim::world world(static_cast<std::uint64_t>(when.count()) + 1);
            world.allow_errors();
            auto& server = world.host("server", serve_echo);
            const auto talk = [&]() -> task<> {
                for (int i = 0; i < 10; ++i) {
                    auto peer = co_await tcp_stream::connect(server.address(80));
                    co_await peer.write(test::some_text(100'000));
                    peer.shutdown_write();
                    auto reading = test::read_to_end(peer);
                    co_await cove::timeout(1h, std::move(reading));
                }
            };
            auto& client = world.client("client", talk);
            for (cove::sim::host* each : {&server, &client}) {
                world.after(when, [each, what] {
                    if (what == 0) each->crash();
                    if (what == 1) each->kill();
                    if (what == 2) each->restart();
                    if (what == 3) each->signal(SIGTERM);
                });
                world.after(when + 1s, [each] {
                    if (!each->is_running()) each->restart();
                });
            }
            CHECK(test::failure_of(world) == "");
            CHECK(cove::frames_alive() == frames);
        }
    }
}

TEST_CASE("the peers of a process that is killed read the end of the stream, or a reset if it had not read all") {
    for (const bool unread : {false, true}) {
        const auto ask = [&](tcp_stream peer) -> task<> {
            if (unread) co_await peer.write("nobody reads this");
            co_await cove::sleep_for(2s);
            char some[16];
            auto reading = peer.read(some);
            auto ended = co_await cove::as_result(std::move(reading));
            if (unread)
                CHECK(ended.error() == std::errc::connection_reset);
            else
                CHECK((ended && *ended == 0));
        };
        const auto serve = [](tcp_stream peer) -> task<> {
            co_await cove::sleep_for(1h);
            peer.close();
        };
        two_hosts all(serve, ask);
        all.world.after(1s, [&] { all.server.kill(); });
        all.world.run();
        CHECK(!all.server.is_running());
    }
}

TEST_CASE("a client that is killed or crashes has ended") {
    for (const bool crashes : {false, true}) {
        cove::sim::world world(1);
        auto& server = world.host("server", serve_echo);
        auto& client = world.client("client", [&] { return connect_and_wait(server); });
        world.after(1s, [&] { crashes ? client.crash() : client.kill(); });
        world.run();
        CHECK(!client.is_running());
        CHECK(world.time() < 3s);
    }
}

TEST_CASE("what befalls a host on its own request does so after its turn") {
    cove::sim::world world(1);
    cove::sim::host* own = nullptr;
    int reached = 0;
    const auto main = [&]() -> task<> {
        if (own->starts() == 1) own->restart();
        if (own->starts() == 2) own->kill();
        ++reached;
        co_await cove::sleep_for(1s);
        ++reached;
    };
    own = &world.client("own", main);
    world.run();
    CHECK(reached == 2);
    CHECK(own->starts() == 2);
}

TEST_CASE("a host that has crashed before the world runs is off until it is restarted") {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        cove::sim::world world(seed);
        auto& server = world.host("server", serve_echo);
        server.crash();
        const auto main = [&]() -> task<> {
            CHECK(!server.is_running());
            world.after(5s, [&] { server.restart(); });
            auto peer = co_await tcp_stream::connect(server.address(80));
            CHECK(world.time() > 5s);
        };
        world.client("client", main);
        world.run();
        CHECK(server.starts() == 1);
    }
}

TEST_CASE("a restart before the world runs starts a program once") {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        cove::sim::world world(seed);
        cove::sim::host* client = &world.client("client", []() -> task<> { co_await cove::sleep_for(1s); });
        client->restart();
        CHECK(test::failure_of(world) == "");
        CHECK(client->starts() == 1);
        CHECK(world.time() < 2s);
    }
}

TEST_CASE("a host without a program has nothing to start, but power") {
    cove::sim::world world(1);
    auto& machine = world.host("machine");
    const int fd = machine.os().create_event();
    CHECK(fd == 3);
    machine.crash();
    machine.restart();
    world.pass(1s);
    CHECK(machine.starts() == 0);
    CHECK(machine.os().signal_event(fd) == -EBADF);
    machine.kill();
    machine.signal(SIGTERM);
    machine.pause(1s);
    world.pass(1s);
}

TEST_CASE("what is restarted as the clients have ended does not keep the world from its end") {
    for (cove::duration late{}; late < 100ms; late += 3ms) {
        cove::sim::world world(1);
        const auto slow_to_end = []() -> task<> {
            try {
                co_await cove::sleep_for(1h);
            } catch (const cove::canceled&) {
            }
            co_await cove::shield(cove::sleep_for(100ms));
        };
        auto& server = world.host("server", serve_echo);
        world.host("slow", slow_to_end);
        world.after(500ms, [&] { server.crash(); });
        world.after(1s + late, [&] { server.restart(); });
        world.client("client", []() -> task<> { co_await cove::sleep_for(1s); });
        CHECK(test::failure_of(world) == "");
    }
}

TEST_CASE("after its program has ended a host's kernel answers whoever asks it") {
    cove::sim::world world(1);
    auto& machine = world.client("machine", []() -> task<> { co_await cove::sleep_for(1s); });
    world.run();
    cove::run_options options;
    options.os = &machine.os();
    const auto main = []() -> task<> { co_await cove::sleep_for(1h); };
    CHECK(cove::run(main(), options) == 0);
    CHECK(world.time() > 1h);
    CHECK(world.time() < 2h);
}

TEST_CASE("a connection that is never confirmed does not take its place in the backlog for ever") {
    cove::sim::world world(1);
    const auto serve = []() -> task<> {
        cove::listen_options options;
        options.backlog = 1;
        auto listener = cove::tcp_listener::bind(":80", options);
        for (;;) auto peer = co_await listener.accept();
    };
    auto& server = world.host("server", serve);
    std::vector<cove::sim::host*> gone;
    for (int i = 0; i < 4; ++i) {
        gone.push_back(&world.host("gone", [&server]() -> task<> {
            co_await cove::sleep_for(1s);
            auto peer = co_await tcp_stream::connect(server.address(80));
        }));
    }
    const auto main = [&]() -> task<> {
        for (cove::sim::host* each : gone) world.partition_one_way(server, *each);
        co_await cove::sleep_for(2s);
        for (cove::sim::host* each : gone) each->crash();
        co_await cove::sleep_for(10min);
        auto peer = co_await tcp_stream::connect(server.address(80));
    };
    world.client("client", main);
    CHECK(test::failure_of(world) == "");
}
