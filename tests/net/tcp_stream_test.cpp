// Reading from a tcp_stream, its options and its errors. tcp_write_test writes, tcp_close_test closes and cancels.

#include <cove/net/tcp.hpp>

#include <cove/runtime/loop.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <support/net.hpp>

#include <cerrno>
#include <cstring>

using namespace std::chrono_literals;
using cove::task;

namespace {

// Registers the stream with epoll: its reads have waited before.
task<> make_it_wait_once(test::stream_pair& pair) {
    char one = 0;
    cove::task_group group;
    group.spawn([&]() -> task<> { co_await pair.left.read({&one, 1}); });
    co_await cove::yield();
    co_await pair.right.write("1");
    co_await group.join();
}

template <class Value>
Value option_of(const cove::tcp_stream& stream, int level, int name) {
    Value value{};
    socklen_t size = sizeof value;
    CHECK(::getsockopt(stream.native_handle(), level, name, &value, &size) == 0);
    return value;
}

}  // namespace

TEST_CASE("read gives what is there, and 0 once the peer has finished") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        co_await pair.right.write("hello");
        char bytes[100];
        std::size_t count = co_await pair.left.read(bytes);
        CHECK(std::string_view(bytes, count) == "hello");
        pair.right.close();
        for (int i = 0; i < 3; ++i) {
            count = co_await pair.left.read(bytes);
            CHECK(count == 0);
        }
    });
}

TEST_CASE("data and the end of the stream that come together are both read, in pieces of any size") {
    for (const bool registered : {false, true})
        for (std::size_t piece = 1; piece <= 6; ++piece) {
            test::within([&]() -> task<> {
                test::stream_pair pair = co_await test::connected_pair();
                if (registered) co_await make_it_wait_once(pair);
                co_await pair.right.write("hello");
                pair.right.close();
                pair.left.shutdown_write();  // both directions ended: EPOLLHUP comes with the data
                co_await cove::yield();
                std::string all;
                char bytes[6];
                while (const std::size_t count = co_await pair.left.read({bytes, piece})) all.append(bytes, count);
                CHECK(all == "hello");
            });
        }
}

TEST_CASE("data before a reset is all read, and only then comes ECONNRESET") {
    for (const bool registered : {false, true})
        for (const bool reading : {false, true}) {
            test::within([&]() -> task<> {
                test::stream_pair pair = co_await test::connected_pair();
                if (registered) co_await make_it_wait_once(pair);
                std::string all;
                std::error_code error;
                const auto read_on = [&]() -> task<> {
                    char two[2];
                    for (;;) {
                        const auto count = co_await cove::as_result(pair.left.read(two));
                        error = count.error();
                        if (!count || *count == 0) co_return;
                        all.append(two, *count);
                    }
                };
                cove::task_group reader;
                if (reading) reader.spawn(read_on);
                co_await cove::yield();
                co_await pair.right.write("hello");
                test::reset(pair.right);
                // Time for the loop to see the events, which must not cost the socket its error.
                for (int i = 0; i < 3; ++i) co_await cove::sleep_for(1us);
                if (!reading) reader.spawn(read_on);
                co_await reader.join();
                CHECK(all == "hello");
                CHECK(error == std::errc::connection_reset);
            });
        }
}

TEST_CASE("a reset without any data ends a read that waits") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        std::error_code error;
        cove::task_group group;
        group.spawn([&]() -> task<> {
            char byte[1];
            error = (co_await cove::as_result(pair.left.read(byte))).error();
        });
        co_await cove::yield();
        test::reset(pair.right);
        co_await group.join();
        CHECK(error == std::errc::connection_reset);
    });
}

TEST_CASE("a reset, or data, while nobody reads does not keep the loop awake") {
    for (const bool is_reset : {false, true}) {
        test::test_kernel os;
        test::within(
            [&]() -> task<> {
                test::stream_pair pair = co_await test::connected_pair();
                co_await make_it_wait_once(pair);
                if (is_reset)
                    test::reset(pair.right);
                else
                    co_await pair.right.write("x");
                co_await cove::sleep_for(1s);
                const long waits = os.calls["wait"];
                const auto turns = cove::loop::current().counters().turns;
                co_await cove::sleep_for(10s);
                CHECK(os.calls["wait"] - waits < 20);
                CHECK(cove::loop::current().counters().turns - turns < 20);
                char bytes[10];
                const auto count = co_await cove::as_result(pair.left.read(bytes));
                CHECK(count.has_value() != is_reset);
                if (is_reset) CHECK(count.error() == std::errc::connection_reset);
            },
            os);
    }
}

TEST_CASE("reading into nothing gives 0 at once and is not the end of the stream") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        char bytes[10];
        std::size_t count = co_await pair.left.read(std::span<char>());
        CHECK(count == 0);
        co_await pair.left.read_exactly(std::span<char>());
        count = co_await cove::timeout(10s, pair.left.read(std::span<char>()));
        CHECK(count == 0);
        co_await pair.right.write("abc");
        count = co_await pair.left.read(bytes);
        CHECK(count == 3);
    });
}

// as_result() does not ask the operation's await_ready() yet.
TEST_CASE("as_result gives the same for nothing to read or write as the operation does") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            const auto exactly = co_await cove::as_result(pair.left.read_exactly(std::span<char>()));
            CHECK(exactly.has_value());
            const auto written = co_await cove::as_result(pair.left.write(""));
            CHECK(written.has_value());
            const auto count = co_await cove::move_on_after(1s, cove::as_result(pair.left.read(std::span<char>())));
            CHECK(count.has_value());
        },
        os);
}

TEST_CASE("a second reader gets busy at once, and the first is not disturbed") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        std::size_t count = 0;
        char first[10];
        cove::task_group group;
        group.spawn([&]() -> task<> { count = co_await pair.left.read(first); });
        co_await cove::yield();
        char second[10];
        const auto refused = co_await cove::as_result(pair.left.read(second));
        CHECK(refused.error() == cove::errc::busy);
        const auto also_refused = co_await cove::as_result(pair.left.receive());
        CHECK(also_refused.error() == cove::errc::busy);
        co_await pair.left.write("writing is another direction");
        co_await pair.right.write("abc");
        co_await group.join();
        CHECK(count == 3);
    });
}

TEST_CASE("urgent data does not hold up the normal data around it") {
    for (const bool between : {false, true})
        for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{100}}) {
            test::within([&]() -> task<> {
                test::stream_pair pair = co_await test::connected_pair();
                std::string all;
                cove::task_group group;
                group.spawn([&]() -> task<> {
                    char bytes[100];
                    while (all.size() < 9) all.append(bytes, co_await pair.left.read({bytes, piece}));
                });
                co_await cove::yield();
                const int peer = pair.right.native_handle();
                CHECK(::send(peer, "abc", 3, 0) == 3);
                if (between) co_await cove::sleep_for(1us);
                CHECK(::send(peer, "!", 1, MSG_OOB) == 1);
                if (between) co_await cove::sleep_for(1us);
                CHECK(::send(peer, "def", 3, 0) == 3);
                if (between) co_await cove::sleep_for(1us);
                CHECK(::send(peer, "?", 1, MSG_OOB) == 1);
                CHECK(::send(peer, "ghi", 3, 0) == 3);
                co_await group.join();  // the peer stays open: no other event helps
                // The kernel keeps one urgent byte only; an older one becomes normal data.
                CHECK((all.starts_with("abcdef") || all.starts_with("abc!def")));
            });
        }
}

TEST_CASE("an event without data behind it goes unnoticed") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            std::string got;
            cove::task_group group;
            group.spawn([&]() -> task<> {
                char bytes[10];
                got.append(bytes, co_await pair.left.read(bytes));
            });
            co_await cove::yield();
            // Somebody else takes the bytes between the event and the read.
            int stolen = 0;
            os.fault = [&](std::string_view call, int fd) -> std::optional<long> {
                char byte[10];
                if (call == "receive" && stolen == 0) stolen = static_cast<int>(::recv(fd, byte, sizeof byte, 0));
                return std::nullopt;
            };
            co_await pair.right.write("lost");
            while (stolen == 0) co_await cove::yield();
            co_await cove::yield();
            CHECK(got.empty());
            co_await pair.right.write("data");
            co_await group.join();
            CHECK(got == "data");
        },
        os);
}

TEST_CASE("read_exactly fills the span, and says how far it came when canceled or at the end of the stream") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            char bytes[5];
            std::size_t got = 99;
            co_await pair.right.write("abc");
            const bool finished = co_await cove::move_on_after(1s, pair.left.read_exactly(bytes, got));
            CHECK(!finished);
            CHECK(got == 3);
            co_await pair.right.write("defghij");
            co_await pair.left.read_exactly(bytes, got);
            CHECK(got == 5);
            CHECK(std::string_view(bytes, 5) == "defgh");
            pair.right.close();
            const std::string message = co_await test::message_of(pair.left.read_exactly(bytes, got));
            CHECK(got == 2);
            CHECK(std::string_view(bytes, 2) == "ij");
            CHECK(message.ends_with(": the stream ended too early"));
            CHECK(message.starts_with("read_exactly 127.0.0.1:"));
        },
        os);
}

TEST_CASE("receive gives what is there in a buffer, holds none while it waits, and an empty one is the end") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        std::string got;
        cove::task_group group;
        group.spawn([&]() -> task<> {
            while (cove::buffer received = co_await pair.left.receive()) got += received.view();
        });
        char* next_of_pool = nullptr;
        {
            cove::buffer probe = cove::buffer::take();
            next_of_pool = probe.data();
        }
        co_await cove::yield();  // the pool is last in, first out: the receive tried with this very block
        {
            cove::buffer probe = cove::buffer::take();
            CHECK(probe.data() == next_of_pool);
        }
        co_await pair.right.write("some ");
        co_await cove::yield();
        co_await pair.right.write("bytes");
        pair.right.close();
        co_await group.join();
        CHECK(got == "some bytes");
    });
}

TEST_CASE("where epoll has no room for another descriptor, the read says so, and a later one succeeds") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            os.fault = [](std::string_view call, int) -> std::optional<long> {
                return call == "control" ? std::optional<long>(-ENOSPC) : std::nullopt;
            };
            char bytes[10];
            const auto refused = co_await cove::as_result(pair.left.read(bytes));
            CHECK(refused.error() == std::errc::no_space_on_device);
            os.fault = nullptr;
            co_await pair.right.write("abc");
            const std::size_t count = co_await pair.left.read(bytes);
            CHECK(count == 3);
        },
        os);
}

TEST_CASE("a signal during the system call is invisible") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            bool interrupt = false;
            os.fault = [&](std::string_view call, int) -> std::optional<long> {
                interrupt = !interrupt;
                return interrupt && (call == "receive" || call == "send") ? std::optional<long>(-EINTR) : std::nullopt;
            };
            char bytes[10];
            co_await pair.right.write("abc");
            const std::size_t count = co_await pair.left.read(bytes);
            CHECK(count == 3);
        },
        os);
}

TEST_CASE("an error names the operation and the peer while the kernel knows it, and the descriptor afterwards") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            test::stream_pair pair = co_await test::connected_pair();
            const std::string peer = pair.left.peer_address().to_string();
            char bytes[10];
            os.fault = [](std::string_view call, int) -> std::optional<long> {
                return call == "receive" ? std::optional<long>(-ECONNRESET) : std::nullopt;
            };
            std::string message = co_await test::message_of(pair.left.read(bytes));
            CHECK(message == "read " + peer + ": Connection reset by peer");
            message = co_await test::message_of(pair.left.receive());
            CHECK(message == "receive " + peer + ": Connection reset by peer");
            os.fault = nullptr;
            test::reset(pair.right);
            message = co_await test::message_of(pair.left.read(bytes));
            CHECK(message == "read fd " + std::to_string(pair.left.native_handle()) + ": Connection reset by peer");
            pair.left.close();
            message = co_await test::message_of(pair.left.read(bytes));
            CHECK(message == "read: it is closed");
        },
        os);
}

TEST_CASE("options reach the socket, and on a closed stream they throw closed") {
    test::within([]() -> task<> {
        test::stream_pair pair = co_await test::connected_pair();
        cove::tcp_stream& s = pair.left;
        CHECK(option_of<int>(s, IPPROTO_TCP, TCP_NODELAY) == 1);
        CHECK(option_of<int>(pair.right, IPPROTO_TCP, TCP_NODELAY) == 1);  // inherited from the listener
        s.set_nodelay(false);
        CHECK(option_of<int>(s, IPPROTO_TCP, TCP_NODELAY) == 0);
        s.set_keep_alive(true, 30s, 5s, 3);
        CHECK(option_of<int>(s, SOL_SOCKET, SO_KEEPALIVE) == 1);
        CHECK(option_of<int>(s, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
        CHECK(option_of<int>(s, IPPROTO_TCP, TCP_KEEPINTVL) == 5);
        CHECK(option_of<int>(s, IPPROTO_TCP, TCP_KEEPCNT) == 3);
        s.set_keep_alive(false);
        CHECK(option_of<int>(s, SOL_SOCKET, SO_KEEPALIVE) == 0);
        s.set_linger(7s);
        CHECK(option_of<linger>(s, SOL_SOCKET, SO_LINGER).l_onoff == 1);
        CHECK(option_of<linger>(s, SOL_SOCKET, SO_LINGER).l_linger == 7);
        s.set_linger(-1s);
        CHECK(option_of<linger>(s, SOL_SOCKET, SO_LINGER).l_onoff == 0);
        s.set_receive_buffer(20'000);
        CHECK(option_of<int>(s, SOL_SOCKET, SO_RCVBUF) == 40'000);  // socket(7): the kernel doubles it
        s.set_send_buffer(20'000);
        CHECK(option_of<int>(s, SOL_SOCKET, SO_SNDBUF) == 40'000);
        const std::string refused = "set_keep_alive " + s.peer_address().to_string() + ": Invalid argument";
        CHECK_THROWS_WITH_AS(s.set_keep_alive(true, 0s), refused.c_str(), std::system_error);
        CHECK(s.local_address() == pair.right.peer_address());
        s.close();
        CHECK_THROWS_WITH_AS(s.set_nodelay(true), "set_nodelay: it is closed", std::system_error);
        CHECK(s.local_address() == cove::address());
        co_return;
    });
}
