// Partitions: what is held, what comes again, and who is told of it after how long.

#include <cove/net/sim/world.hpp>

#include <cove/net/serve.hpp>
#include <cove/runtime/timeout.hpp>

#include <support/sim.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <string>

using cove::task;
using cove::tcp_stream;
using test::two_hosts;
using namespace std::chrono_literals;

namespace {

task<> send_ticks(tcp_stream peer) {
    for (int i = 0; i < 100; ++i) {
        co_await peer.write("tick,");
        co_await cove::sleep_for(1ms);
    }
}

std::string all_ticks() {
    std::string all;
    for (int i = 0; i < 100; ++i) all += "tick,";
    return all;
}

// When each of the ticks that a server sends has come; the faults are what arrange(hosts) makes of them.
template <class Arrange>
cove::duration time_to_read_ticks(Arrange arrange, std::uint64_t seed = 1) {
    std::string got;
    cove::duration took{};
    const auto ask = [&](tcp_stream peer) -> task<> {
        const cove::time_point start = cove::now();
        auto reading = test::read_to_end(peer);
        got = co_await reading;
        took = cove::now() - start;
    };
    two_hosts all(send_ticks, ask, cove::sim::world_options(), seed);
    arrange(all);
    all.world.run();
    CHECK(got == all_ticks());
    return took;
}

}  // namespace

TEST_CASE("without partitions a tenth of a second of ticks takes a tenth of a second") {
    const auto took = time_to_read_ticks([](two_hosts&) {});
    CHECK(took < 200ms);
}

TEST_CASE("what is sent into a partition comes in order once it has healed") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const auto took = time_to_read_ticks(
            [](two_hosts& all) {
                all.world.after(50ms, [&all] { all.world.partition(all.server, all.client); });
                all.world.after(10s, [&all] { all.world.heal(all.server, all.client); });
            },
            seed);
        CHECK(took > 9s);
        CHECK(took < 11s);
    }
}

TEST_CASE("one way cut off, the other way's packets come") {
    // The acknowledgements are lost, not the ticks, of which there are few enough to need none.
    const auto took = time_to_read_ticks(
        [](two_hosts& all) { all.world.after(50ms, [&all] { all.world.partition_one_way(all.client, all.server); }); });
    CHECK(took < 200ms);
    const auto other = time_to_read_ticks([](two_hosts& all) {
        all.world.after(50ms, [&all] { all.world.partition_one_way(all.server, all.client); });
        all.world.after(1s, [&all] { all.world.heal_one_way(all.server, all.client); });
    });
    CHECK(other > 900ms);
}

TEST_CASE("two partitions between the same hosts have both to heal") {
    const auto took = time_to_read_ticks([](two_hosts& all) {
        all.world.after(50ms, [&all] { all.world.partition(all.server, all.client); });
        all.world.after(60ms, [&all] { all.world.partition(all.server, all.client); });
        all.world.after(1s, [&all] { all.world.heal(all.server, all.client); });
        all.world.after(2s, [&all] { all.world.heal(all.server, all.client); });
    });
    CHECK(took > 1900ms);
    CHECK(took < 3s);
}

TEST_CASE("heal_all() ends every partition, however many there are, and healing what is whole does nothing") {
    const auto took = time_to_read_ticks([](two_hosts& all) {
        all.world.heal(all.server, all.client);
        for (int i = 0; i < 5; ++i) all.world.after(50ms, [&all] { all.world.partition(all.server, all.client); });
        all.world.after(1s, [&all] { all.world.heal_all(); });
        all.world.after(1s + 1ms, [&all] { all.world.heal(all.server, all.client); });
    });
    CHECK(took > 900ms);
    CHECK(took < 2s);
}

TEST_CASE("a host that is cut off from another one reaches the others") {
    cove::sim::world world(1);
    auto& near = world.host("near", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
    auto& far = world.host("far", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
    cove::sim::host* client = nullptr;
    const auto main = [&]() -> task<> {
        world.partition(*client, far);
        auto ending = test::ending_of(tcp_stream::connect(near.address(80)));
        const std::error_code none = co_await ending;
        CHECK(!none);
        const auto reached = co_await cove::move_on_after(10s, tcp_stream::connect(far.address(80)));
        CHECK(!reached);
    };
    client = &world.client("client", main);
    world.run();
}

TEST_CASE("a connect into a partition ends with ETIMEDOUT after 127 seconds, or when it heals before") {
    cove::sim::world world(1);
    auto& server = world.host("server", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
    cove::sim::host* client = nullptr;
    const auto main = [&]() -> task<> {
        world.partition(*client, server);
        const cove::time_point start = cove::now();
        auto ending = test::ending_of(tcp_stream::connect(server.address(80)));
        const std::error_code error = co_await ending;
        CHECK(error == std::errc::timed_out);
        CHECK(cove::now() - start >= 127s);
        CHECK(cove::now() - start < 127s + 1ms);
        world.after(60s, [&] { world.heal(*client, server); });
        auto second = test::ending_of(tcp_stream::connect(server.address(80)));
        const std::error_code none = co_await second;
        CHECK(!none);
        CHECK(cove::now() - start < 127s + 61s);
    };
    client = &world.client("client", main);
    world.run();
}

namespace {

// Writes a byte, waits, is cut off, and writes another one. Returns after how long a read has ended, with what.
struct cut_off_writer {
    explicit cut_off_writer(cove::duration quiet, cove::duration heals_after = cove::duration::max()) {
        two_hosts* hosts = nullptr;
        const auto ask = [&](tcp_stream peer) -> task<> {
            co_await peer.write("x");
            co_await cove::sleep_for(quiet);
            hosts->world.partition(hosts->client, hosts->server);
            if (heals_after != cove::duration::max()) hosts->world.after(heals_after, [&] { hosts->world.heal_all(); });
            const cove::time_point start = cove::now();
            co_await peer.write("y");
            char some[16];
            // The first is the echo of what was sent before.
            co_await peer.read(some);
            auto ending = test::ending_of(peer.read(some));
            error = co_await ending;
            took = cove::now() - start;
        };
        two_hosts all(test::echo, ask);
        hosts = &all;
        all.world.run();
    }
    std::error_code error;
    cove::duration took{};
};

}  // namespace

TEST_CASE("a write into a long partition ends with ETIMEDOUT after 924 seconds") {
    for (const cove::duration quiet : {cove::duration(10ms), cove::duration(500s), cove::duration(2000s)}) {
        const cut_off_writer writer(quiet);
        CHECK(writer.error == std::errc::timed_out);
        CHECK(writer.took >= 924s);
        CHECK(writer.took < 925s);
    }
}

TEST_CASE("a short partition after a long silence is no time-out") {
    const cut_off_writer writer(900s, 60s);
    CHECK(!writer.error);
    CHECK(writer.took < 61s);
}

TEST_CASE("a writer whose peer has no room, and then cannot be reached, is told so") {
    cove::duration took{};
    std::error_code error;
    two_hosts* hosts = nullptr;
    const auto ask = [&](tcp_stream peer) -> task<> {
        hosts->world.after(100s, [&] { hosts->world.partition(hosts->client, hosts->server); });
        const std::string much(1'000'000, 'x');
        auto ending = test::ending_of(peer.write(much));
        error = co_await ending;
        took = cove::now().time_since_epoch();
    };
    const auto serve = [](tcp_stream peer) -> task<> {
        co_await cove::sleep_for(10h);
        (void)peer;
    };
    two_hosts all(serve, ask);
    hosts = &all;
    CHECK(test::failure_of(all.world) == "");
    CHECK(error == std::errc::timed_out);
    CHECK(took > 900s);
    CHECK(took < 1200s);
}

TEST_CASE("a writer waits for ever for a peer that has no room, but is there") {
    const std::string much = test::some_text(1'000'000);
    const auto ask = [&](tcp_stream peer) -> task<> {
        co_await peer.write(much);
        peer.shutdown_write();
        auto reading = test::read_to_end(peer);
        co_await reading;
    };
    const auto serve = [&](tcp_stream peer) -> task<> {
        co_await cove::sleep_for(10h);
        auto reading = test::read_to_end(peer);
        const std::string got = co_await reading;
        CHECK((got == much));
    };
    two_hosts all(serve, ask);
    all.world.run();
    CHECK(all.world.time() > 10h);
}

TEST_CASE("what was sent over an earlier connection of the same ports never comes on a later one") {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        cove::sim::world world(seed);
        cove::sim::host* client = nullptr;
        std::string got;
        const auto serve = [&]() -> task<> {
            auto listener = cove::tcp_listener::bind(":80");
            for (;;) {
                auto peer = co_await listener.accept();
                auto reading = test::read_to_end(peer);
                const auto read = co_await cove::as_result(std::move(reading));
                if (read) got += *read + ';';
            }
        };
        auto& server = world.host("server", serve);
        const auto main = [&]() -> task<> {
            cove::kernel& os = cove::kernel::current();
            const auto from = cove::address::parse("10.0.0.2:5000"), to = cove::address::parse("10.0.0.1:80");
            for (const std::string_view said : {"old", "new"}) {
                const int fd = os.socket(AF_INET, SOCK_STREAM, 0);
                const int yes = 1;
                CHECK(os.set_option(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
                CHECK(os.bind(fd, from.data(), from.size()) == 0);
                CHECK(os.connect(fd, to.data(), to.size()) == -EINPROGRESS);
                co_await cove::sleep_for(5s);
                if (said == "old") world.partition(*client, server);
                const long sent = os.send(fd, said.data(), said.size());
                CHECK(sent == 3);
                if (said == "new") {
                    co_await cove::sleep_for(5s);
                    os.close(fd);
                    co_await cove::sleep_for(5s);
                    break;
                }
                const linger none{1, 0};
                CHECK(os.set_option(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
                os.close(fd);
                co_await cove::sleep_for(1s);
                world.after(1s, [&] { world.heal_all(); });
            }
        };
        client = &world.client("client", main);
        world.allow_errors();
        CHECK(test::failure_of(world) == "");
        CAPTURE(got);
        CHECK(!test::contains(got, "oldnew"));
        CHECK(!test::contains(got,
                              "new"
                              "old"));
        CHECK(!test::contains(got, "old"));
    }
}

TEST_CASE("a socket that connects again, after it was refused, has all of the time again") {
    cove::sim::world world(1);
    auto& client = world.host("client");
    auto& server = world.host("server");
    cove::kernel& os = client.os();
    const auto where = cove::address::parse(server.address(80));
    const auto error_of = [&os](int fd) {
        int error = -1;
        unsigned size = sizeof error;
        CHECK(os.get_option(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0);
        return error;
    };
    const int fd = os.socket(AF_INET, SOCK_STREAM, 0);
    CHECK(os.connect(fd, where.data(), where.size()) == -EINPROGRESS);
    world.pass(900ms);
    CHECK(os.connect(fd, where.data(), where.size()) == -ECONNREFUSED);
    world.partition(client, server);
    CHECK(os.connect(fd, where.data(), where.size()) == -EINPROGRESS);
    world.pass(126900ms);
    CHECK(error_of(fd) == 0);
    world.pass(200ms);
    CHECK(error_of(fd) == ETIMEDOUT);
}
