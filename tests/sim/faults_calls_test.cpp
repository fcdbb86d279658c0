// What a program sees of each fault of a call, of epoll, and of its own process, ordered by host::inject().

#include <cove/net/serve.hpp>
#include <cove/runtime/offload.hpp>

#include <support/allocations.hpp>
#include <support/sim.hpp>

#include <chrono>
#include <numeric>
#include <string>
#include <vector>

using cove::task;
using cove::tcp_stream;
using cove::sim::fault;
using test::two_hosts;
using namespace std::chrono_literals;

namespace {

const std::string text = test::some_text(1000);

// Sends the text, at once, and ends.
task<> send_text(tcp_stream peer) { co_await peer.write(text); }

// A client that injects a fault when all of the text has arrived, and then reads it in pieces of up to 4096 bytes.
struct text_reader {
    explicit text_reader(fault kind, unsigned times = 1) : kind_(kind), times_(times) { hosts.world.run(); }

    std::string got;
    std::vector<std::size_t> counts;
    cove::duration took{};

private:
    task<> read(tcp_stream peer) {
        co_await cove::sleep_for(1s);
        hosts.client.inject(kind_, times_);
        const cove::time_point start = cove::now();
        char some[4096];
        while (const std::size_t count = co_await peer.read(some)) {
            counts.push_back(count);
            got.append(some, count);
        }
        took = cove::now() - start;
    }

    fault kind_;
    unsigned times_;

public:
    two_hosts hosts{send_text, [this](tcp_stream peer) { return read(std::move(peer)); }};
};

// A client that writes the text with a fault injected before, to a server that notes it. Returns the error it ends with.
struct text_writer {
    explicit text_writer(fault kind, unsigned times = 1) : kind_(kind), times_(times) { hosts.world.run(); }

    std::string got;
    std::error_code error;
    std::size_t written = 0;

private:
    task<> write(tcp_stream peer) {
        hosts.client.inject(kind_, times_);
        auto writing = peer.write(text, written);
        auto ended = co_await cove::as_result(std::move(writing));
        error = ended.error();
        peer.shutdown_write();
        auto until_read = test::read_to_end(peer);
        co_await until_read;
    }
    task<> read(tcp_stream peer) {
        auto reading = test::read_to_end(peer);
        got = co_await reading;
    }

    fault kind_;
    unsigned times_;

public:
    two_hosts hosts{[this](tcp_stream peer) { return read(std::move(peer)); },
                    [this](tcp_stream peer) { return write(std::move(peer)); }};
};

// A server with a fault injected as its first client comes, and two clients one after the other.
struct served {
    explicit served(fault kind, unsigned times = 1) {
        const auto ask = [this]() -> task<> {
            auto peer = co_await tcp_stream::connect(server.address(80));
            co_await peer.write("hello");
            peer.shutdown_write();
            auto reading = test::read_to_end(peer);
            auto back = co_await cove::as_result(std::move(reading));
            endings.push_back(back ? *back : back.error().message());
        };
        const auto main = [this, kind, times, ask]() -> task<> {
            co_await cove::sleep_for(10ms);
            server.inject(kind, times);
            for (int i = 0; i < 2; ++i) {
                auto asked = ask();
                co_await asked;
            }
        };
        world.client("client", main);
        world.run();
    }

    cove::sim::world world{1};
    cove::sim::host& server =
        world.host("server", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
    std::vector<std::string> endings;
};

}  // namespace

TEST_CASE("a short read gives fewer bytes than there are, and the rest follows by an edge") {
    const text_reader reader(fault::short_read, 3);
    CHECK((reader.got == text));
    REQUIRE(reader.counts.size() == 4);
    for (int i = 0; i < 3; ++i) CHECK(reader.counts[static_cast<std::size_t>(i)] <= 64);
    CHECK(reader.took < 5ms);
    CHECK(reader.hosts.world.faults()[fault::short_read] == 3);
}

TEST_CASE("a read that would block although there is something waits for an edge that comes") {
    const text_reader reader(fault::would_block, 3);
    CHECK((reader.got == text));
    CHECK(reader.took > 0s);
    CHECK(reader.took < 5ms);
    CHECK(reader.hosts.world.faults()[fault::would_block] == 3);
}

TEST_CASE("an interrupted read is made again, and nobody sees it") {
    const text_reader reader(fault::interrupted, 5);
    CHECK((reader.got == text));
    CHECK(reader.hosts.world.faults()[fault::interrupted] == 5);
}

TEST_CASE("a short write sends a part, and the rest follows by an edge") {
    const text_writer writer(fault::short_write, 3);
    CHECK((writer.got == text));
    CHECK(!writer.error);
    CHECK(writer.hosts.world.faults()[fault::short_write] == 3);
}

TEST_CASE("a write that would block although there is room waits for an edge that comes") {
    const text_writer writer(fault::would_block, 3);
    CHECK((writer.got == text));
    CHECK(!writer.error);
    CHECK(writer.hosts.world.faults()[fault::would_block] == 3);
}

TEST_CASE("an interrupted write is made again, and nobody sees it") {
    const text_writer writer(fault::interrupted, 5);
    CHECK((writer.got == text));
    CHECK(!writer.error);
}

TEST_CASE("a write for which there is no memory is told so, and has sent nothing") {
    for (const auto& [kind, error] : {std::pair(fault::no_buffers, std::errc::no_buffer_space),
                                      std::pair(fault::no_memory, std::errc::not_enough_memory)}) {
        const text_writer writer(kind);
        CHECK(writer.error == error);
        CHECK(writer.written == 0);
        CHECK(writer.got.empty());
    }
}

TEST_CASE("a server that runs out of something as it accepts goes on, and no client is lost") {
    for (const fault kind : {fault::no_descriptor, fault::no_file, fault::no_buffers, fault::no_memory}) {
        CAPTURE(name_of(kind));
        const served all(kind);
        CHECK(all.endings == std::vector<std::string>{"hello", "hello"});
        CHECK(all.world.faults()[kind] == 1);
    }
}

TEST_CASE("accept is not lost by EAGAIN and EINTR that the kernel makes up") {
    for (const fault kind : {fault::would_block, fault::interrupted}) {
        CAPTURE(name_of(kind));
        const served all(kind, 4);
        CHECK(all.endings == std::vector<std::string>{"hello", "hello"});
        CHECK(all.world.faults()[kind] == 4);
    }
}

TEST_CASE("a connection that is aborted before it was accepted is reset, and the next one is served") {
    const served all(fault::connection_aborted);
    REQUIRE(all.endings.size() == 2);
    CHECK(all.endings[0] == std::make_error_code(std::errc::connection_reset).message());
    CHECK(all.endings[1] == "hello");
}

TEST_CASE("a socket that cannot be had is told to who connects") {
    const std::pair<fault, std::errc> all[] = {{fault::no_descriptor, std::errc::too_many_files_open},
                                               {fault::no_file, std::errc::too_many_files_open_in_system},
                                               {fault::no_buffers, std::errc::no_buffer_space},
                                               {fault::no_memory, std::errc::not_enough_memory}};
    for (const auto& [kind, expected] : all) {
        cove::sim::world world(1);
        auto& server = world.host("server", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
        std::error_code error;
        cove::sim::host* client = nullptr;
        const auto main = [&, kind = kind]() -> task<> {
            client->inject(kind);
            auto ending = test::ending_of(tcp_stream::connect(server.address(80)));
            error = co_await ending;
        };
        client = &world.client("client", main);
        world.run();
        CAPTURE(name_of(kind));
        CHECK(error == expected);
    }
}

TEST_CASE("a connect that nothing answers ends with ETIMEDOUT after 127 seconds") {
    cove::sim::world world(1);
    auto& server = world.host("server", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
    std::error_code error;
    cove::duration took{};
    cove::sim::host* client = nullptr;
    const auto main = [&]() -> task<> {
        client->inject(fault::connect_timeout);
        const cove::time_point start = cove::now();
        auto ending = test::ending_of(tcp_stream::connect(server.address(80)));
        error = co_await ending;
        took = cove::now() - start;
        auto second = test::ending_of(tcp_stream::connect(server.address(80)));
        const std::error_code none = co_await second;
        CHECK(!none);
    };
    client = &world.client("client", main);
    world.run();
    CHECK(error == std::errc::timed_out);
    CHECK(took >= 127s);
    CHECK(took < 127s + 1ms);
}

TEST_CASE("an interrupted connect goes on all the same") {
    cove::sim::world world(1);
    auto& server = world.host("server", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
    cove::sim::host* client = nullptr;
    const auto main = [&]() -> task<> {
        client->inject(fault::interrupted);
        auto peer = co_await tcp_stream::connect(server.address(80));
        CHECK(world.faults()[fault::interrupted] == 1);
    };
    client = &world.client("client", main);
    world.run();
}

TEST_CASE("an event that comes late comes all the same, within 10 ms") {
    cove::duration waited{};
    two_hosts* hosts = nullptr;
    const auto ask = [&](tcp_stream peer) -> task<> {
        co_await cove::sleep_for(10ms);
        hosts->client.inject(fault::delayed_event);
        const cove::time_point start = cove::now();
        char some[4096];
        const std::size_t count = co_await peer.read(some);
        waited = cove::now() - start;
        CHECK(count == text.size());
    };
    const auto serve = [](tcp_stream peer) -> task<> {
        co_await cove::sleep_for(50ms);
        co_await peer.write(text);
        co_await cove::sleep_for(1s);
    };
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        two_hosts all(serve, ask, cove::sim::world_options(), seed);
        hosts = &all;
        all.world.run();
        CHECK(all.world.faults()[fault::delayed_event] == 1);
        CHECK(waited < 65ms);
    }
}

TEST_CASE("edges that come late are merged, and nothing is lost with them") {
    const auto ask = [](tcp_stream peer) -> task<> {
        auto reading = test::read_to_end(peer);
        const std::string got = co_await reading;
        CHECK(got == test::some_text(1000));
    };
    const auto serve = [](tcp_stream peer) -> task<> {
        for (std::size_t i = 0; i < text.size(); i += 100) {
            co_await peer.write(std::string_view(text).substr(i, 100));
            co_await cove::sleep_for(1ms);
        }
    };
    cove::sim::world_options options;
    options.faults.set(fault::delayed_event, 1);
    two_hosts all(serve, ask, options);
    all.world.run();
    CHECK(all.world.faults()[fault::delayed_event] > 3);
}

TEST_CASE("an event for nothing is taken for nothing") {
    cove::sim::world_options options;
    options.faults.set(fault::spurious_event, 1);
    const auto ask = [](tcp_stream peer) -> task<> {
        const cove::time_point start = cove::now();
        char some[4096];
        const std::size_t count = co_await peer.read(some);
        CHECK(count == text.size());
        CHECK(cove::now() - start > 40ms);
    };
    const auto serve = [](tcp_stream peer) -> task<> {
        co_await cove::sleep_for(50ms);
        co_await peer.write(text);
    };
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        two_hosts all(serve, ask, options, seed);
        all.world.run();
        CHECK(all.world.faults()[fault::spurious_event] > 10);
    }
}

TEST_CASE("an allocation fails where it is told to, as std::bad_alloc, and only there") {
    if (!test::counts_allocations) return;
    cove::sim::world_options options;
    options.fail_allocation = test::fail_allocation_after;
    cove::sim::world world(1, options);
    int failed = 0;
    cove::sim::host* client = nullptr;
    const auto main = [&]() -> task<> {
        for (int i = 0; i < 100; ++i) {
            client->inject(fault::no_allocation);
            co_await cove::sleep_for(1ms);
            try {
                for (int j = 0; j < 40; ++j) test::escape(std::vector<int>(1).data());
            } catch (const std::bad_alloc&) {
                ++failed;
            }
        }
    };
    client = &world.client("client", main);
    world.run();
    CHECK(failed == 100);
    CHECK(world.faults()[fault::no_allocation] == 100);
    CHECK(test::fail_allocation_after(-1) == -1);
}

TEST_CASE("the kernel has memory while the program has none") {
    if (!test::counts_allocations) return;
    cove::sim::world_options options;
    options.fail_allocation = test::fail_allocation_after;
    options.faults.set(fault::no_allocation, 0.2);
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        cove::sim::world world(seed, options);
        world.allow_errors();
        auto& server = world.host("server", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
        world.client("client", [&server]() -> task<> {
            auto peer = co_await tcp_stream::connect(server.address(80));
            co_await peer.write(text);
            peer.shutdown_write();
            auto reading = test::read_to_end(peer);
            const std::string back = co_await reading;
        });
        CHECK(test::failure_of(world) == "");
    }
}

TEST_CASE("a program that has no memory may offload calls and wake loops, or is told that it cannot") {
    if (!test::counts_allocations) return;
    cove::sim::world_options options;
    options.fail_allocation = test::fail_allocation_after;
    options.faults.set(fault::no_allocation, 1);
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        cove::sim::world world(seed, options);
        world.allow_errors();
        world.client("client", []() -> task<> {
            for (int i = 0; i < 20; ++i) {
                try {
                    co_await cove::offload([] {});
                } catch (const std::bad_alloc&) {
                }
            }
        });
        CHECK(test::failure_of(world) == "");
    }
}
