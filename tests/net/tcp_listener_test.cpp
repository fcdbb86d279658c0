#include <cove/net/tcp.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <support/net.hpp>

#include <cerrno>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using cove::task;

namespace {

task<> accept_once(cove::tcp_listener& listener, std::vector<std::error_code>& ended) {
    const auto accepted = co_await cove::as_result(listener.accept());
    ended.push_back(accepted.error());
}

std::string bind_error(std::string_view where, const cove::listen_options& options = cove::listen_options()) {
    try {
        (void)cove::tcp_listener::bind(where, options);
    } catch (const std::system_error& error) {
        return error.what();
    }
    return "no error";
}

}  // namespace

TEST_CASE("port 0 is one that the kernel chooses, and local_address says which") {
    const cove::tcp_listener one = cove::tcp_listener::bind("127.0.0.1:0");
    const cove::tcp_listener two = cove::tcp_listener::bind("127.0.0.1:0");
    CHECK(one.local_address().port() != 0);
    CHECK(two.local_address().port() != 0);
    CHECK(one.local_address() != two.local_address());
}

TEST_CASE("an address in use, or not of this host, is an error that names it") {
    const cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
    const std::string taken = listener.local_address().to_string();
    // Two sockets may be bound to one address with SO_REUSEADDR until one listens, and this one does.
    CHECK(bind_error(taken) == "bind " + taken + ": Address already in use");
    CHECK(bind_error("192.0.2.1:0") == "bind 192.0.2.1:0: Cannot assign requested address");
    CHECK(bind_error("nowhere").find("\"nowhere\"") != std::string::npos);
}

TEST_CASE("reuse_port lets several listeners share a port") {
    cove::listen_options options;
    options.reuse_port = true;
    const cove::tcp_listener one = cove::tcp_listener::bind("127.0.0.1:0", options);
    const cove::tcp_listener two = cove::tcp_listener::bind(one.local_address(), options);
    CHECK(one.local_address() == two.local_address());
    CHECK(bind_error(one.local_address().to_string()).ends_with("Address already in use"));
}

TEST_CASE("an IPv6 listener takes IPv4 connections as well, unless told not to") {
    for (const bool dual_stack : {true, false}) {
        test::within([&]() -> task<> {
            cove::listen_options options;
            options.dual_stack = dual_stack;
            cove::tcp_listener listener = cove::tcp_listener::bind("[::]:0", options);
            const std::string port = std::to_string(listener.local_address().port());
            const std::error_code error = co_await test::error_of(cove::tcp_stream::connect("127.0.0.1:" + port));
            CHECK((dual_stack ? !error : error == std::errc::connection_refused));
            cove::tcp_stream six = co_await cove::tcp_stream::connect("[::1]:" + port);
            cove::tcp_stream accepted = co_await listener.accept();
            CHECK(accepted.peer_address().to_string().starts_with(dual_stack ? "[::ffff:127.0.0.1]:" : "[::1]:"));
        });
    }
}

TEST_CASE("on a host without IPv6 every address means every IPv4 address, and an IPv6 one is an error") {
    test::test_kernel os;
    os.jump = false;
    os.fault = [](std::string_view call, int) -> std::optional<long> {
        return call == "socket" ? std::optional<long>(-EAFNOSUPPORT) : std::nullopt;
    };
    test::within(
        [&]() -> task<> {
            CHECK(bind_error("[::1]:0") == "socket for [::1]:0: Address family not supported by protocol");
            int sockets = 0;
            os.fault = [&](std::string_view call, int) -> std::optional<long> {
                return call == "socket" && ++sockets == 1 ? std::optional<long>(-EAFNOSUPPORT) : std::nullopt;
            };
            cove::tcp_listener listener = cove::tcp_listener::bind(":0");
            CHECK(listener.local_address().family() == AF_INET);
            CHECK(listener.local_address().is_any());
            co_return;
        },
        os);
}

TEST_CASE("what the kernel refuses while a listener is made names the step and the address") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            for (const std::string_view refused : {"socket", "set_option", "bind", "listen"}) {
                os.fault = [=](std::string_view call, int) -> std::optional<long> {
                    return call == refused ? std::optional<long>(-EACCES) : std::nullopt;
                };
                const std::string message = bind_error("127.0.0.1:0");
                CHECK(message.ends_with(" 127.0.0.1:0: Permission denied"));
            }
            os.fault = nullptr;
            co_return;
        },
        os);
}

TEST_CASE("accept waits for a connection, and takes it") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        std::vector<std::error_code> ended;
        cove::task_group group;
        group.spawn(accept_once(listener, ended));
        co_await cove::yield();
        CHECK(ended.empty());
        const test::raw_client client(listener.local_address());
        co_await group.join();
        CHECK(ended == std::vector<std::error_code>(1));
    });
}

TEST_CASE(
    "many connections that came by one event are all accepted, with one more call to learn that there are no more") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
            std::vector<cove::tcp_stream> accepted;
            cove::task_group group;
            group.spawn([&]() -> task<> {
                while (accepted.size() < 100) accepted.push_back(co_await listener.accept());
            });
            co_await cove::yield();  // its event is still to come
            const long calls = os.calls["accept"];
            std::vector<test::raw_client> clients;
            for (int i = 0; i < 100; ++i) clients.emplace_back(listener.local_address());
            co_await group.join();
            CHECK(os.calls["accept"] == calls + 100);
            std::optional<cove::tcp_stream> more = co_await cove::move_on_after(1ms, listener.accept());
            CHECK(!more);
            CHECK(os.calls["accept"] == calls + 101);
            CHECK(os.calls["control"] < 10);
        },
        os);
}

TEST_CASE("errors that concern one connection are passed over") {
    for (const int error :
         {ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, ENETUNREACH, EINTR}) {
        test::test_kernel os;
        os.jump = false;
        test::within(
            [&]() -> task<> {
                cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
                const test::raw_client client(listener.local_address());
                long left = 3;
                os.fault = [&](std::string_view call, int) -> std::optional<long> {
                    return call == "accept" && left-- > 0 ? std::optional<long>(-error) : std::nullopt;
                };
                (void)co_await listener.accept();
                CHECK(os.calls["accept"] == 4);
            },
            os);
    }
}

TEST_CASE("a listener that reports nothing but aborted connections does not keep the others from running") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
            os.fault = [](std::string_view call, int) -> std::optional<long> {
                return call == "accept" ? std::optional<long>(-ECONNABORTED) : std::nullopt;
            };
            std::vector<std::error_code> ended;
            cove::task_group group;
            group.spawn(accept_once(listener, ended));
            for (int i = 0; i < 3; ++i) co_await cove::sleep_for(1ms);
            listener.close();
            co_await group.join();
            CHECK(ended == std::vector<std::error_code>(1, cove::errc::closed));
        },
        os);
}

TEST_CASE("errors that concern the process are thrown, and the connection is still there") {
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
        test::test_kernel os;
        os.jump = false;
        test::within(
            [&]() -> task<> {
                cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
                const test::raw_client client(listener.local_address());
                os.fault = [&](std::string_view call, int) -> std::optional<long> {
                    return call == "accept" ? std::optional<long>(-error) : std::nullopt;
                };
                const auto refused = co_await cove::as_result(listener.accept());
                CHECK(refused.error() == std::error_code(error, std::generic_category()));
                os.fault = nullptr;
                (void)co_await listener.accept();
            },
            os);
    }
}

TEST_CASE("a connection that was reset before it was accepted does no harm") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        {
            const test::raw_client gone(listener.local_address());
            gone.make_close_reset();
        }
        const test::raw_client here(listener.local_address());
        cove::tcp_stream first = co_await listener.accept();
        CHECK(first.peer_address() == cove::address());
        char byte[1];
        const std::error_code error = co_await test::error_of(first.read(byte));
        CHECK(error == std::errc::connection_reset);
        cove::tcp_stream second = co_await listener.accept();
        CHECK(second.peer_address().port() != 0);
    });
}

TEST_CASE("closing a listener ends an accept that waits with closed, once") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        std::vector<std::error_code> ended;
        cove::task_group group;
        group.spawn(accept_once(listener, ended));
        co_await cove::yield();
        listener.close();
        listener.close();
        co_await group.join();
        CHECK(ended == std::vector<std::error_code>(1, cove::errc::closed));
        co_await accept_once(listener, ended);
        CHECK(ended == std::vector<std::error_code>(2, cove::errc::closed));
        CHECK(!listener.is_open());
    });
}

TEST_CASE("closing a listener resets the connections that nobody has taken") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        cove::tcp_stream client = co_await cove::tcp_stream::connect(listener.local_address());
        listener.close();
        char byte[1];
        const std::error_code error = co_await test::error_of(client.read(byte));
        CHECK(error == std::errc::connection_reset);
    });
}

TEST_CASE("an accept that is canceled as a connection arrives leaves it to the next accept") {
    for (int turns = 0; turns < 4; ++turns) {
        test::within([&]() -> task<> {
            cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
            cove::cancel_scope scope;
            std::optional<cove::tcp_stream> taken;
            cove::task_group group;
            group.spawn([&]() -> task<> { taken = co_await scope.run(listener.accept()); });
            co_await cove::yield();
            const test::raw_client client(listener.local_address());
            for (int i = 0; i < turns; ++i) co_await cove::yield();
            scope.cancel();
            co_await group.join();
            if (turns == 0) CHECK(!taken);
            if (!taken) taken = co_await cove::timeout(10s, listener.accept());
            CHECK(taken->is_open());
        });
    }
}

TEST_CASE("a second accept at the same time gets busy") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        std::vector<std::error_code> ended;
        cove::task_group group;
        group.spawn(accept_once(listener, ended));
        co_await cove::yield();
        const std::error_code error = co_await test::error_of(listener.accept());
        CHECK(error == cove::errc::busy);
        group.cancel();
        co_await group.join();
    });
}

TEST_CASE("accept on a socket that does not listen throws EINVAL, naming its address") {
    test::within([]() -> task<> {
        cove::kernel& os = cove::kernel::current();
        cove::tcp_listener listener(cove::descriptor(os.socket(AF_INET, SOCK_STREAM, 0)));
        const std::string message = co_await test::message_of(listener.accept());
        CHECK(message == "accept 0.0.0.0:0: Invalid argument");
    });
}
