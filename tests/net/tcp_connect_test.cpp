#include <cove/net/tcp.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <support/net.hpp>

#include <cerrno>
#include <optional>
#include <string>

using namespace std::chrono_literals;
using cove::task;

namespace {

// An address of this host where nobody listens.
cove::address nobody() {
    const cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
    return listener.local_address();
}

// A listener that takes no connections: its queue is full, and the kernel drops what else comes.
class black_hole {
public:
    black_hole() : listener_(cove::tcp_listener::bind("127.0.0.1:0", options())), first_(cove::descriptor()) {}

    task<> fill() { first_ = co_await cove::tcp_stream::connect(address()); }
    cove::address address() const { return listener_.local_address(); }

private:
    static cove::listen_options options() {
        cove::listen_options made;
        made.backlog = 0;
        return made;
    }

    cove::tcp_listener listener_;
    cove::tcp_stream first_;
};

}  // namespace

TEST_CASE("connect connects, by an address or its text, with one system call of that name") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
            cove::tcp_stream by_address = co_await cove::tcp_stream::connect(listener.local_address());
            CHECK(os.calls["connect"] == 1);
            cove::tcp_stream accepted = co_await listener.accept();
            CHECK(by_address.peer_address() == listener.local_address());
            CHECK(by_address.local_address() == accepted.peer_address());
            cove::tcp_stream by_text = co_await cove::tcp_stream::connect(listener.local_address().to_string());
            cove::tcp_stream also_accepted = co_await listener.accept();
            co_await by_text.write("hello");
            by_text.close();
            const std::string all = co_await test::read_all(also_accepted);
            CHECK(all == "hello");
            CHECK(os.calls["connect"] == 2);
        },
        os);
}

TEST_CASE("connect over IPv6 connects") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("[::1]:0");
        cove::tcp_stream stream = co_await cove::tcp_stream::connect(listener.local_address());
        CHECK(stream.peer_address().to_string().starts_with("[::1]:"));
    });
}

TEST_CASE("a text that is no address is refused before anything is asked of the kernel") {
    CHECK_THROWS_AS((void)cove::tcp_stream::connect("nowhere"), std::system_error);
}

TEST_CASE("where nobody listens connect throws ECONNREFUSED, naming the address") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            const cove::address where = nobody();
            const std::string message = co_await test::message_of(cove::tcp_stream::connect(where));
            CHECK(message == "connect " + where.to_string() + ": Connection refused");
            const std::error_code error = co_await test::error_of(cove::tcp_stream::connect(where));
            CHECK(error == std::errc::connection_refused);
            CHECK(os.calls["connect"] == 2);
        },
        os);
}

TEST_CASE("a connect that nobody answers lasts as long as its timeout, and leaves no descriptor") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            black_hole hole;
            co_await hole.fill();
            const long closed = os.calls["close"];
            const cove::time_point start = cove::now();
            const std::string message =
                co_await test::message_of(cove::timeout(30s, cove::tcp_stream::connect(hole.address())));
            CHECK(message == "not finished within 30s: timed out");
            CHECK(cove::now() - start >= 30s);
            CHECK(os.calls["close"] == closed + 1);
            CHECK(os.calls["connect"] == 2);
        },
        os);
}

TEST_CASE("a connect that is canceled, before it began or while it waits, throws and closes its descriptor") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            black_hole hole;
            co_await hole.fill();
            const long sockets = os.calls["socket"], closed = os.calls["close"];
            cove::cancel_scope scope;
            std::optional<cove::tcp_stream> connected;
            bool ended = false;
            cove::task_group group;
            group.spawn([&]() -> task<> {
                connected = co_await scope.run(cove::tcp_stream::connect(hole.address()));
                ended = true;
            });
            co_await cove::yield();
            CHECK(!ended);
            CHECK(os.calls["socket"] == sockets + 1);
            scope.cancel();
            co_await group.join();
            CHECK(!connected);
            CHECK(os.calls["close"] == closed + 1);
            connected = co_await scope.run(cove::tcp_stream::connect(hole.address()));
            CHECK(!connected);
            CHECK(os.calls["socket"] == sockets + 1);
        },
        os);
}

TEST_CASE("destroying a coroutine that connects closes its descriptor") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            black_hole hole;
            co_await hole.fill();
            const long closed = os.calls["close"];
            {
                cove::task_group group;
                group.spawn([&]() -> task<> { (void)co_await cove::tcp_stream::connect(hole.address()); });
                co_await cove::yield();
            }
            CHECK(os.calls["close"] == closed + 1);
        },
        os);
}

TEST_CASE("connect interrupted by a signal goes on, and is not begun again") {
    for (const bool refused : {false, true}) {
        test::test_kernel os;
        os.jump = false;
        test::within(
            [&]() -> task<> {
                std::optional<cove::tcp_listener> listener = cove::tcp_listener::bind("127.0.0.1:0");
                const cove::address where = listener->local_address();
                if (refused) listener.reset();
                os.fault = [&](std::string_view call, int fd) -> std::optional<long> {
                    if (call != "connect") return std::nullopt;
                    (void)::connect(fd, where.data(), where.size());
                    return -EINTR;
                };
                const std::error_code error = co_await test::error_of(cove::tcp_stream::connect(where));
                CHECK((refused ? error == std::errc::connection_refused : !error));
                CHECK(os.calls["connect"] == 1);
            },
            os);
    }
}

TEST_CASE("an event for a socket that has no peer yet is not a connection") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
            int asked = 0;
            os.fault = [&](std::string_view call, int) -> std::optional<long> {
                return call == "peer_address" && ++asked == 1 ? std::optional<long>(-ENOTCONN) : std::nullopt;
            };
            std::optional<cove::tcp_stream> connected;
            cove::task_group group;
            group.spawn([&]() -> task<> { connected = co_await cove::tcp_stream::connect(listener.local_address()); });
            cove::tcp_stream accepted = co_await listener.accept();
            while (asked == 0) co_await cove::yield();
            co_await cove::yield();
            CHECK(!connected);
            co_await accepted.write("x");  // brings another event
            co_await group.join();
            CHECK(connected.has_value());
            CHECK(asked == 2);
        },
        os);
}

TEST_CASE("a connection that is there at once is one, or is waited for where its peer is not known yet") {
    for (const bool has_peer : {true, false}) {
        test::test_kernel os;
        os.jump = false;
        test::within(
            [&]() -> task<> {
                cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
                const cove::address where = listener.local_address();
                int asked = 0;
                os.fault = [&](std::string_view call, int fd) -> std::optional<long> {
                    if (call == "peer_address" && !has_peer && ++asked == 1) return -ENOTCONN;
                    if (call != "connect") return std::nullopt;
                    (void)::connect(fd, where.data(), where.size());
                    return 0;
                };
                const std::error_code error = co_await test::error_of(cove::tcp_stream::connect(where));
                CHECK(error != std::errc::resource_unavailable_try_again);
                if (has_peer) CHECK(!error);
            },
            os);
    }
}

TEST_CASE("a socket that the kernel has connected to itself was refused") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            const cove::address where = nobody();
            // What the kernel does by chance when it chooses the local port: the very one that is being connected to.
            os.fault = [&](std::string_view call, int fd) -> std::optional<long> {
                if (call == "connect") CHECK(::bind(fd, where.data(), where.size()) == 0);
                return std::nullopt;
            };
            const std::string message = co_await test::message_of(cove::tcp_stream::connect(where));
            CHECK(message == "connect " + where.to_string() + ": Connection refused");
        },
        os);
}

TEST_CASE("what the kernel refuses is thrown once, and no descriptor is left") {
    struct refusal {
        const char* call;
        int error;
        const char* text;
    };
    for (const refusal each : {refusal{"socket", EMFILE, "Too many open files"},
                               refusal{"connect", EADDRNOTAVAIL, "Cannot assign requested address"},
                               refusal{"connect", ENETUNREACH, "Network is unreachable"},
                               refusal{"connect", EAGAIN, "Resource temporarily unavailable"},
                               refusal{"peer_address", ENOBUFS, "No buffer space available"},
                               refusal{"set_option", ENOMEM, "Cannot allocate memory"},
                               refusal{"control", ENOSPC, "No space left on device"},
                               refusal{"get_option", ENOMEM, "Cannot allocate memory"}}) {
        test::test_kernel os;
        os.jump = false;
        test::within(
            [&]() -> task<> {
                cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
                os.calls.clear();
                os.fault = [&](std::string_view call, int) -> std::optional<long> {
                    return call == each.call ? std::optional<long>(-each.error) : std::nullopt;
                };
                const std::string where = listener.local_address().to_string();
                const std::string message = co_await test::message_of(cove::tcp_stream::connect(where));
                CHECK(message == "connect " + where + ": " + each.text);
                CHECK(os.calls[each.call] == 1);
                CHECK(os.calls["connect"] <= 1);
                CHECK(os.calls["close"] == (each.call == std::string_view("socket") ? 0 : 1));
                os.fault = nullptr;
            },
            os);
    }
}

TEST_CASE("a peer that resets at once is an error of connect or of the first read, never a hang") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        std::error_code error;
        cove::task_group group;
        group.spawn([&]() -> task<> {
            auto connected = co_await cove::as_result(cove::tcp_stream::connect(listener.local_address()));
            error = connected.error();
            if (!connected) co_return;
            char byte[1];
            error = (co_await cove::as_result(connected->read(byte))).error();
        });
        co_await cove::yield();
        cove::tcp_stream accepted = co_await listener.accept();
        test::reset(accepted);
        co_await group.join();
        CHECK(error == std::errc::connection_reset);
    });
}
