// Runs of a world that go wrong, and what failed_run says of them.

#include <cove/net/sim/world.hpp>

#include <cove/net/serve.hpp>
#include <cove/runtime/event.hpp>
#include <cove/runtime/timeout.hpp>

#include <support/sim.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

using cove::task;
using cove::tcp_stream;
using test::contains;
using test::failure_of;
using namespace std::chrono_literals;

namespace {

task<> for_ever() { co_await cove::sleep_for(cove::duration::max()); }

// What comes of a client with this program, in a world with a server that serves.
template <class Main>
std::string outcome_of(Main main, bool errors_allowed = false) {
    cove::sim::world world(7);
    world.host("server", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
    world.client("client", main);
    if (errors_allowed) world.allow_errors();
    return failure_of(world);
}

}  // namespace

TEST_CASE("a program that throws fails the run, with its name, the reason, the seed and the last events") {
    const std::string failure = outcome_of([]() -> task<> {
        co_await cove::sleep_for(1s);
        throw std::runtime_error("for a reason");
    });
    CHECK(failure.starts_with("client ended with: for a reason\nseed 7; the last events:\n"));
    CHECK(contains(failure, " client     end\n"));
    CHECK(std::count(failure.begin(), failure.end(), '\n') > 5);
}

TEST_CASE("a program that throws before it first waits, or is none at all, fails the run") {
    CHECK(contains(outcome_of([]() -> task<> {
                       throw std::runtime_error("at once");
                       co_return;
                   }),
                   "client ended with: at once"));
    CHECK(contains(outcome_of([]() -> task<> { throw std::runtime_error("no coroutine"); }),
                   "client ended with: no coroutine"));
    CHECK(contains(outcome_of([]() -> task<> {
                       throw 42;
                       co_return;
                   }),
                   "client ended with an exception that is no std::exception"));
}

TEST_CASE("a server that throws fails the run as a client does") {
    cove::sim::world world(1);
    world.host("server", []() -> task<> {
        co_await cove::sleep_for(1s);
        throw std::runtime_error("for a reason");
    });
    world.client("client", []() -> task<> { co_await cove::sleep_for(10s); });
    CHECK(contains(failure_of(world), "server ended with: for a reason"));
    CHECK(world.time() < 2s);
}

TEST_CASE("of several failures the first is told") {
    cove::sim::world world(1);
    world.client("later", []() -> task<> {
        co_await cove::sleep_for(2s);
        throw std::runtime_error("second");
    });
    world.client("sooner", []() -> task<> {
        co_await cove::sleep_for(1s);
        throw std::runtime_error("first");
    });
    CHECK(failure_of(world).starts_with("sooner ended with: first"));
}

TEST_CASE("errors that are allowed are those of the system and of memory") {
    const auto throws = [](auto error) {
        return [error]() -> task<> {
            throw error;
            co_return;
        };
    };
    const std::system_error reset(std::make_error_code(std::errc::connection_reset));
    CHECK(contains(outcome_of(throws(reset)), "client ended with: "));
    CHECK(outcome_of(throws(reset), true) == "");
    CHECK(contains(outcome_of(throws(std::bad_alloc())), "client ended with std::bad_alloc"));
    CHECK(outcome_of(throws(std::bad_alloc()), true) == "");
    CHECK(contains(outcome_of(throws(std::logic_error("wrong")), true), "client ended with: wrong"));
    CHECK(contains(outcome_of(throws(7), true), "no std::exception"));
}

TEST_CASE("a program that waits for what cannot come is found at once, by where it waits") {
    for (const bool allowed : {false, true}) {
        const std::string failure = outcome_of(
            []() -> task<> {
                cove::event never;
                co_await never.wait();
            },
            allowed);
        CHECK(contains(failure, "client: run: "));
        CHECK(contains(failure, "world_failures_test.cpp"));
    }
}

TEST_CASE("where nothing can happen any more, all that wait are told") {
    cove::sim::world world(1);
    world.host("server", []() -> task<> {
        auto listener = cove::tcp_listener::bind(":80");
        auto peer = co_await listener.accept();
        char some[16];
        co_await peer.read(some);
    });
    world.client("client", []() -> task<> {
        auto peer = co_await tcp_stream::connect("10.0.0.1:80");
        char some[16];
        co_await peer.read(some);
    });
    const std::string failure = failure_of(world);
    CHECK(failure.starts_with("nothing can happen any more:\nserver:\nread fd"));
    CHECK(contains(failure, "client:\nread fd"));
    CHECK(contains(failure, "seed 1"));
}

TEST_CASE("a run that takes longer than it may hangs") {
    cove::sim::world_options options;
    options.time_max = 10min;
    cove::sim::world world(1, options);
    auto& host = world.client("client", []() -> task<> {
        for (;;) co_await cove::sleep_for(1s);
    });
    CHECK(contains(failure_of(world), "it hangs:\nclient:\n"));
    CHECK(host.turns() < 2000);
    CHECK(world.time() < 11min);
}

TEST_CASE("a server that does not end when it is told to hangs") {
    cove::sim::world world(1);
    world.host("server", []() -> task<> { co_await cove::shield(cove::sleep_for(48h)); });
    world.client("client", []() -> task<> { co_await cove::sleep_for(1s); });
    CHECK(contains(failure_of(world), "it hangs:\nserver:\n"));
}

TEST_CASE("a loop that always has something to do spins") {
    cove::sim::world_options options;
    options.turn_max = 0ns;
    cove::sim::world world(1, options);
    world.client("client", []() -> task<> {
        for (;;) co_await cove::sleep_for(0ns);
    });
    CHECK(contains(failure_of(world), "client spins: "));
    CHECK(world.time() < 1s);
}

TEST_CASE("a descriptor that a program leaves open fails the run") {
    const std::string failure = outcome_of([]() -> task<> {
        const int fd = cove::kernel::current().socket(AF_INET, SOCK_STREAM, 0);
        CHECK(fd > 2);
        co_return;
    });
    CHECK(contains(failure, "client left open: fd "));
    const std::string connected = outcome_of([]() -> task<> {
        cove::kernel& os = cove::kernel::current();
        const auto where = cove::address::parse("10.0.0.1:80");
        const int begun = os.connect(os.socket(AF_INET, SOCK_STREAM, 0), where.data(), where.size());
        CHECK(begun == -EINPROGRESS);
        co_return;
    });
    CHECK(contains(connected, " - 10.0.0.1:80)"));
}

TEST_CASE("a coroutine that a program leaves behind fails the run") {
    std::vector<task<>> left;
    const std::string failure = outcome_of([&]() -> task<> {
        left.push_back(for_ever());
        co_return;
    });
    CHECK(contains(failure, "1 coroutine frames are left"));
    const auto silent = cove::set_unawaited_handler([](const char*) {});
    left.clear();
    cove::set_unawaited_handler(silent);
}

TEST_CASE("a failed run says which call was made to fail") {
    cove::sim::plan which(3);
    which.failing = {5, ENOMEM};
    CHECK(to_string(which) == "seed 3, call 5 fails with errno 12");
    cove::sim::world world(which);
    world.client("client", []() -> task<> { throw std::logic_error("no"); });
    CHECK(contains(failure_of(world), "seed 3, call 5 fails with errno 12; the last events"));
}

TEST_CASE("after a failure the world can be taken down, with all that is under way in it") {
    for (int i = 0; i < 30; ++i) {
        cove::sim::world world(static_cast<std::uint64_t>(i) + 1);
        auto& server = world.host("server", [] { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); });
        world.client("client", [&]() -> task<> {
            auto peer = co_await tcp_stream::connect(server.address(80));
            co_await peer.write(test::some_text(1'000'000));
        });
        world.client("bad", [i]() -> task<> {
            co_await cove::sleep_for(100us * i);
            throw std::runtime_error("bad");
        });
        CHECK(failure_of(world).starts_with("bad ended with: bad"));
    }
}
