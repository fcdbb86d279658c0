// Passing bytes on: exact, with back-pressure, with no pipe where none is needed, and ended by whatever ends a side.

#include <cove/net/pass_through.hpp>

#include <cove/net/serve.hpp>
#include <cove/runtime/detail/frame_recycler.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/when_all.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/net.hpp>
#include <support/sim.hpp>
#include <support/sweep.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using cove::task;

namespace {

constexpr std::size_t mebibyte = 1024 * 1024;

char byte_at(std::uint64_t position) { return static_cast<char>((position * 0x9E37'79B9'7F4A'7C15U) >> 56); }

// Two connections with something between them: client - front | back - server.
struct relay {
    relay(test::stream_pair first, test::stream_pair second) noexcept
        : client(std::move(first.right)),
          front(std::move(first.left)),
          back(std::move(second.right)),
          server(std::move(second.left)) {}
    cove::tcp_stream client, front, back, server;
};

task<relay> make_relay() {
    test::stream_pair first = co_await test::connected_pair();
    test::stream_pair second = co_await test::connected_pair();
    co_return relay(std::move(first), std::move(second));
}

task<relay> make_narrow_relay() { co_return relay(test::make_narrow_pair(), test::make_narrow_pair()); }

task<> send(cove::tcp_stream& to, std::uint64_t total, std::size_t piece_max) {
    std::string piece;
    for (std::uint64_t sent = 0; sent < total; sent += piece.size()) {
        piece.resize(std::min<std::uint64_t>(piece_max, total - sent));
        for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = byte_at(sent + i);
        co_await to.write(piece);
    }
    to.shutdown_write();
}

// Reads to the end, with that many turns for the others between one piece and the next. `right` counts the bytes before the
// first wrong one.
task<> check(cove::tcp_stream& from, std::size_t piece_max, int turns_between, std::uint64_t& right) {
    std::vector<char> bytes(piece_max);
    bool is_right = true;
    while (const std::size_t count = co_await from.read(bytes)) {
        for (std::size_t i = 0; i < count && is_right; ++i) {
            is_right = bytes[i] == byte_at(right);
            if (is_right) ++right;
        }
        for (int i = 0; i < turns_between; ++i) co_await cove::yield();
    }
}

task<> pass(cove::tcp_stream& from, cove::tcp_stream& to, std::uint64_t& passed) {
    co_await cove::pass_through(from, to, passed);
    to.shutdown_write();
}

struct transfer {
    std::uint64_t total = 0;
    std::size_t written_piece_max = 0;
    std::size_t read_piece_max = 0;
    int turns_between = 0;
    bool is_narrow = false;
};

// Passes so much from client to server, and checks each byte and the count.
void pass_and_check(test::test_kernel& os, const transfer& what) {
    os.jump = false;
    std::uint64_t passed = 0, right = 0;
    test::within(
        [&]() -> task<> {
            auto made = what.is_narrow ? make_narrow_relay() : make_relay();
            relay all = co_await made;
            cove::task_group group;
            group.spawn(send(all.client, what.total, what.written_piece_max));
            group.spawn(pass(all.front, all.back, passed));
            group.spawn(check(all.server, what.read_piece_max, what.turns_between, right));
            co_await group.join();
        },
        os);
    CHECK(right == what.total);
    CHECK(passed == what.total);
}

std::function<std::optional<long>(std::string_view, int)> refuse(std::string_view refused, long error) {
    return [refused, error](std::string_view call, int) -> std::optional<long> {
        if (call == refused) return error;
        return std::nullopt;
    };
}

}  // namespace

TEST_CASE("64 MiB for a reader that is slow arrive exactly, by one pipe and without passing through the program") {
    test::test_kernel os;
    pass_and_check(os, {64 * mebibyte, 300'000, 50'000, 3, false});
    CHECK(os.calls["create_pipe"] == 1);
    CHECK(os.calls["receive_to_pipe"] > 10);
    CHECK(os.calls["send_from_pipe"] > 10);
}

TEST_CASE("single bytes arrive exactly, and take no pipe") {
    test::test_kernel os;
    pass_and_check(os, {3000, 1, 1, 0, false});
    pass_and_check(os, {3000, 1, 1, 0, true});
    CHECK(os.calls["create_pipe"] == 0);
}

TEST_CASE("pieces of every size through the smallest buffers arrive exactly") {
    test::test_kernel os;
    for (const std::size_t size : {7U, 1000U, 100'000U})
        pass_and_check(os, {200'000, size, 100'000 / size + 1, 0, true});
}

TEST_CASE("without descriptors for a pipe the bytes are copied") {
    test::test_kernel os;
    os.fault = refuse("create_pipe", -EMFILE);
    pass_and_check(os, {8 * mebibyte, 300'000, 300'000, 0, false});
    CHECK(os.calls["create_pipe"] > 1);
    CHECK(os.calls["receive_to_pipe"] == 0);
}

TEST_CASE("where a socket cannot be spliced the bytes are copied, and that is not tried again") {
    for (const long error : {-EINVAL, -ENOSYS}) {
        test::test_kernel os;
        os.fault = refuse("receive_to_pipe", error);
        pass_and_check(os, {8 * mebibyte, 300'000, 300'000, 0, false});
        CHECK(os.calls["receive_to_pipe"] == 1);
    }
}

TEST_CASE("both directions go at once, and a stream may be passed through to itself") {
    constexpr std::uint64_t total = 8 * mebibyte;
    std::uint64_t to = 0, fro = 0, there = 0, right = 0;
    test::within([&]() -> task<> {
        relay all = co_await make_relay();
        cove::task_group group;
        group.spawn(send(all.client, total, 200'000));
        group.spawn(pass(all.front, all.back, to));
        group.spawn(pass(all.server, all.server, there));
        group.spawn(pass(all.back, all.front, fro));
        group.spawn(check(all.client, 100'000, 0, right));
        co_await group.join();
    });
    CHECK(right == total);
    CHECK(to == total);
    CHECK(there == total);
    CHECK(fro == total);
}

TEST_CASE("after the end of one direction the other one goes on") {
    test::within([&]() -> task<> {
        relay all = co_await make_relay();
        std::uint64_t to = 0, fro = 0;
        cove::task_group group;
        group.spawn(pass(all.front, all.back, to));
        group.spawn(pass(all.back, all.front, fro));
        co_await all.client.write("a question");
        all.client.shutdown_write();
        const std::string asked = co_await test::read_all(all.server);
        CHECK(asked == "a question");
        co_await all.server.write("an answer");
        all.server.shutdown_write();
        const std::string answered = co_await test::read_all(all.client);
        CHECK(answered == "an answer");
        co_await group.join();
        CHECK(to == 10);
        CHECK(fro == 9);
    });
}

TEST_CASE("what came before a reset is passed on, and the error names the side it came from") {
    for (const std::size_t size : {10U, 200'000U}) {
        test::within([&]() -> task<> {
            relay all = co_await make_relay();
            std::uint64_t passed = 0, right = 0;
            cove::task_group group;
            group.spawn(check(all.server, 100'000, 0, right));
            std::string error;
            group.spawn([&]() -> task<> {
                error = co_await test::message_of(cove::pass_through(all.front, all.back, passed));
                all.back.shutdown_write();
            });
            std::string text(size, ' ');
            for (std::size_t i = 0; i < size; ++i) text[i] = byte_at(i);
            co_await all.client.write(text);
            while (passed < size) co_await cove::yield();
            test::reset(all.client);
            co_await group.join();
            CHECK(error.starts_with("pass_through from "));
            CHECK(error.ends_with(": Connection reset by peer"));
            CHECK(passed == size);
            CHECK(right == size);
        });
    }
}

TEST_CASE("a reset of the side that is written to ends it with an error that names this side") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            relay all = co_await make_relay();
            std::uint64_t passed = 0;
            cove::task_group group;
            std::string error;
            group.spawn([&]() -> task<> {
                error = co_await test::message_of(cove::pass_through(all.front, all.back, passed));
                all.front.close();
            });
            group.spawn([&]() -> task<> { co_await test::error_of(send(all.client, 64 * mebibyte, 300'000)); });
            while (os.calls["send_from_pipe"] == 0) co_await cove::yield();
            test::reset(all.server);
            co_await group.join();
            CHECK(error.starts_with("pass_through to "));
            CHECK((error.ends_with("Connection reset by peer") || error.ends_with("Broken pipe")));
        },
        os);
}

TEST_CASE("splicing to a socket that sends no more gives EPIPE, and no SIGPIPE") {
    test::test_kernel os;
    os.jump = false;
    const auto before = std::signal(SIGPIPE, SIG_DFL);
    os.fault = [](std::string_view call, int fd) -> std::optional<long> {
        if (call == "send_from_pipe") ::shutdown(fd, SHUT_WR);
        return std::nullopt;
    };
    test::within(
        [&]() -> task<> {
            relay all = co_await make_relay();
            cove::task_group group;
            group.spawn([&]() -> task<> { co_await test::error_of(send(all.client, 64 * mebibyte, 300'000)); });
            group.spawn([&]() -> task<> { co_await test::read_all(all.server); });
            const auto error = co_await test::error_of(cove::pass_through(all.front, all.back));
            CHECK(error == std::errc::broken_pipe);
            CHECK(os.calls["send_from_pipe"] == 1);
            all.front.close();
            co_await group.join();
            CHECK(cove::loop::current().pipes().size() == 0);  // it had bytes in it
        },
        os);
    std::signal(SIGPIPE, before);
}

TEST_CASE("closing either side, by another coroutine, ends it with errc::closed") {
    for (const bool closes_front : {true, false}) {
        test::within([&]() -> task<> {
            relay all = co_await make_relay();
            cove::task_group group;
            std::error_code error;
            group.spawn([&]() -> task<> { co_await test::error_of(send(all.client, 64 * mebibyte, 300'000)); });
            group.spawn([&]() -> task<> {
                error = co_await test::error_of(cove::pass_through(all.front, all.back));
                all.front.close();
                all.back.close();
            });
            // Nobody reads at the other end, so that it waits for room; closing `from` is found out after that.
            for (int i = 0; i < 1000; ++i) co_await cove::yield();
            (closes_front ? all.front : all.back).close();
            group.spawn([&]() -> task<> {
                if (closes_front) co_await test::read_all(all.server);
            });
            co_await group.join();
            CHECK(error == cove::errc::closed);
        });
    }
}

TEST_CASE("a second one in the same direction is refused") {
    test::within([&]() -> task<> {
        relay all = co_await make_relay();
        cove::task_group group;
        group.spawn(cove::pass_through(all.front, all.back));
        co_await cove::yield();
        const auto error = co_await test::error_of(cove::pass_through(all.front, all.back));
        CHECK(error == cove::errc::busy);
        group.cancel();
        co_await group.join();
    });
}

TEST_CASE("a connection that is idle holds no pipe, and waits without calls") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            relay all = co_await make_relay();
            std::uint64_t passed = 0, right = 0;
            cove::task_group group;
            group.spawn(pass(all.front, all.back, passed));
            group.spawn(check(all.server, 100'000, 0, right));
            std::string bulk(4 * mebibyte, ' ');
            for (std::size_t i = 0; i < bulk.size(); ++i) bulk[i] = byte_at(i);
            co_await all.client.write(bulk);
            while (right < bulk.size()) co_await cove::yield();
            CHECK(os.calls["create_pipe"] == 1);
            CHECK(cove::loop::current().pipes().size() == 1);
            const long calls = os.calls["receive_to_pipe"] + os.calls["receive"];
            for (int i = 0; i < 1000; ++i) co_await cove::yield();
            CHECK(os.calls["receive_to_pipe"] + os.calls["receive"] <= calls + 2);
            all.client.shutdown_write();
            co_await group.join();
        },
        os);
}

TEST_CASE("a canceled wait has taken nothing") {
    test::within([&]() -> task<> {
        relay all = co_await make_relay();
        std::uint64_t passed = 0;
        cove::task_group group;
        group.spawn(cove::pass_through(all.front, all.back, passed));
        for (int i = 0; i < 3; ++i) co_await cove::yield();
        co_await all.client.write("still there");
        group.cancel();
        co_await group.join();
        CHECK(passed == 0);
        all.client.shutdown_write();
        const std::string all_of_it = co_await test::read_all(all.front);
        CHECK(all_of_it == "still there");
    });
}

TEST_CASE("struck at any moment it has passed on just what it counts, in order") {
    test::sweep(
        [](test::stage& stage) {
            struct shared {
                relay all{make_wide(), test::make_narrow_pair()};
                std::uint64_t passed = 0;
                std::string read;
                bool closed = false;

                // Of Unix sockets with room for a bulk.
                static test::stream_pair make_wide() {
                    int ends[2];
                    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
                        throw std::system_error(errno, std::generic_category());
                    return {cove::tcp_stream(cove::descriptor(ends[0])), cove::tcp_stream(cove::descriptor(ends[1]))};
                }
                static void finish(cove::tcp_stream& end) {
                    try {
                        if (end.is_open()) end.shutdown_write();
                    } catch (const std::system_error& error) {
                        CHECK(error.code() == std::errc::not_connected);
                    }
                }
            };
            auto& here = stage.make<shared>();
            stage.actor([&here]() -> task<> {
                co_await test::error_of(send(here.all.client, 150'000, 50'000));
                shared::finish(here.all.client);
            });
            stage.actor([&here]() -> task<> {
                const auto error =
                    co_await test::error_of(cove::pass_through(here.all.front, here.all.back, here.passed));
                CHECK((!error || error == cove::errc::closed || error == std::errc::broken_pipe ||
                       error == std::errc::connection_reset));
                here.all.front.close();
                shared::finish(here.all.back);
            });
            stage.actor([&here]() -> task<> {
                char some[2000];
                for (;;) {
                    const auto count = co_await cove::as_result(here.all.server.read(some));
                    if (!count || *count == 0) break;
                    here.read.append(some, *count);
                }
                if (here.closed) here.all.server.close();
            });
            const auto close = [&here](cove::tcp_stream& end) {
                here.closed = true;
                end.close();
            };
            stage.mishap([&here, close] { close(here.all.front); });
            stage.mishap([&here, close] { close(here.all.back); });
            stage.mishap([&here, close] { close(here.all.server); });
            stage.unblock([&here, &stage, close] {
                shared::finish(here.all.client);
                if (!stage.is_alive(1)) {
                    here.all.front.close();
                    shared::finish(here.all.back);
                }
                if (!stage.is_alive(2)) close(here.all.server);
            });
            stage.check([&here] {
                bool is_right = true;
                char rest[4096];
                if (here.all.server.is_open())
                    for (ssize_t count = 0;
                         (count = ::recv(here.all.server.native_handle(), rest, sizeof rest, MSG_DONTWAIT)) > 0;)
                        here.read.append(rest, static_cast<std::size_t>(count));
                for (std::size_t i = 0; i < here.read.size(); ++i) is_right = is_right && here.read[i] == byte_at(i);
                CHECK(is_right);
                if (!here.closed) CHECK(here.read.size() == here.passed);
            });
        },
        5ms);
}

#ifndef COVE_ADDRESS_SANITIZER  // under which every coroutine frame comes from the heap

TEST_CASE("passing on allocates nothing, be it by copying or by a pipe" * doctest::skip(!test::counts_allocations)) {
    for (const std::size_t size : {100U, 200'000U}) {
        long start = 0, made = -1;
        test::test_kernel os;
        os.jump = false;
        test::within(
            [&]() -> task<> {
                relay all = co_await make_relay();
                cove::task_group group;
                group.spawn(cove::pass_through(all.front, all.back));
                const std::string message(size, 'm');
                std::string answer(size, ' ');
                for (int i = 0; i < 600; ++i) {
                    if (i == 100) start = test::allocations();
                    cove::task_group both;
                    auto writing = all.client.write(message);
                    auto reading = all.server.read_exactly(answer);
                    co_await cove::when_all(std::move(writing), std::move(reading));
                }
                made = test::allocations() - start;
                all.client.close();
                co_await group.join();
            },
            os);
        CHECK(made == 0);
        CHECK((os.calls["send_from_pipe"] > 100) == (size > 100));
        CHECK(os.calls["create_pipe"] <= 1);
    }
}

#endif

namespace {

// A client, a proxy and an echo server, each on a host of its own.
struct proxied_world {
    proxied_world(std::uint64_t seed, const cove::sim::world_options& options, bool may_fail)
        : world(seed, options), may_fail_(may_fail) {}

    cove::sim::world world;
    std::uint64_t right = 0;
    bool failed = false;
    std::uint64_t total = 0;

private:
    static task<> echo(cove::tcp_stream peer) {
        co_await cove::pass_through(peer, peer);
        co_await peer.close_gracefully();
    }
    task<> session(cove::tcp_stream front) {
        auto server = co_await cove::tcp_stream::connect(target.address(80));
        std::uint64_t to = 0, fro = 0;
        front.set_linger(0s);
        server.set_linger(0s);
        cove::task_group both;
        both.spawn(pass(front, server, to));
        both.spawn(pass(server, front, fro));
        co_await both.join();
        front.set_linger(-1s);
        server.set_linger(-1s);
    }
    task<> converse() {
        auto server = co_await cove::tcp_stream::connect(proxy.address(80));
        cove::task_group both;
        both.spawn(send(server, total, 100'000));
        both.spawn(check(server, 30'000, 0, right));
        co_await both.join();
    }
    task<> ask() {
        total = 300'000;
        const auto ended = co_await cove::as_result(cove::timeout(1h, converse()));
        failed = !ended;
        if (!may_fail_) CHECK_MESSAGE(!failed, ended.error().message());
    }

    bool may_fail_;

public:
    cove::sim::host& target = world.host("target", [] { return cove::serve(cove::tcp_listener::bind(":80"), echo); });
    cove::sim::host& proxy = world.host("proxy", [this] {
        auto begin = [this](cove::tcp_stream front) { return session(std::move(front)); };
        return cove::serve(cove::tcp_listener::bind(":80"), begin);
    });
    cove::sim::host& client = world.client("client", [this] { return ask(); });
};

}  // namespace

TEST_CASE("in a simulated world a proxy passes each byte on once and in order, whatever the weather") {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        cove::sim::world_options options;
        options.faults.set_harmless(0.03);
        proxied_world here(seed, options, false);
        here.world.run();
        CHECK(here.right == here.total);
    }
}

TEST_CASE("in a simulated world with resets each byte arrives once and in order, or an error does") {
    int failures = 0;
    for (std::uint64_t seed = 1; seed <= 120; ++seed) {
        CAPTURE(seed);
        cove::sim::world_options options;
        options.faults.set_harmless(0.01).set(cove::sim::fault::reset, 0.01);
        proxied_world here(seed, options, true);
        here.world.run();
        failures += here.failed ? 1 : 0;
        if (!here.failed) CHECK(here.right == here.total);
    }
    CHECK(failures > 0);
    CHECK(failures < 120);
}
