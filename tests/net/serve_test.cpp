#include <cove/net/serve.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <support/net.hpp>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using cove::task;

namespace {

// What on_error was told; a plain function has nowhere else to put it.
std::vector<std::string> reported;
void report(std::exception_ptr error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        reported.emplace_back(e.what());
    }
}

cove::serve_options options_that_report() {
    reported.clear();
    cove::serve_options options;
    options.on_error = report;
    return options;
}

// How serve() ended.
struct ending {
    bool canceled = false;
    std::string error;
};

template <class Handler>
task<> serving(cove::tcp_listener listener, Handler handler, cove::serve_options options, ending& how) {
    auto served = cove::serve(std::move(listener), std::move(handler), options);
    try {
        co_await served;
    } catch (const cove::canceled&) {
        how.canceled = true;
        throw;
    } catch (const std::system_error& error) {
        how.error = error.what();
    }
}

task<> echo(cove::tcp_stream peer) {
    char bytes[1024];
    while (const std::size_t count = co_await peer.read(bytes)) co_await peer.write({bytes, count});
}

task<> hold(cove::tcp_stream peer) {
    char byte[1];
    co_await peer.read(byte);
}

task<std::string> ask(cove::address where, std::string_view question) {
    cove::tcp_stream stream = co_await cove::tcp_stream::connect(where);
    co_await stream.write(question);
    stream.shutdown_write();
    const std::string answer = co_await test::read_all(stream);
    co_return answer;
}

}  // namespace

TEST_CASE("every connection gets a handler of its own") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        const cove::address where = listener.local_address();
        ending how;
        cove::task_group server;
        server.spawn(serving(std::move(listener), echo, cove::serve_options(), how));
        cove::task_group clients;
        int answered = 0;
        for (int i = 0; i < 50; ++i)
            clients.spawn([&, i]() -> task<> {
                const std::string question = "question " + std::to_string(i);
                const std::string answer = co_await ask(where, question);
                if (answer == question) ++answered;
            });
        co_await clients.join();
        CHECK(answered == 50);
        server.cancel();
        co_await server.join();
        CHECK(how.canceled);
    });
}

TEST_CASE("a handler's exception ends its own session, is reported, and does not touch the others") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        const cove::address where = listener.local_address();
        int number = 0;
        const auto handler = [&](cove::tcp_stream peer) -> task<> {
            const int mine = ++number;
            char bytes[100];
            const std::size_t count = co_await peer.read(bytes);
            if (mine == 2) throw std::runtime_error("the second fails");
            co_await peer.write({bytes, count});
        };
        ending how;
        cove::task_group server;
        server.spawn(serving(std::move(listener), handler, options_that_report(), how));
        cove::tcp_stream first = co_await cove::tcp_stream::connect(where);
        co_await cove::yield();
        std::string answer = co_await ask(where, "2");
        while (number < 2) co_await cove::yield();
        CHECK(reported == std::vector<std::string>{"the second fails"});
        CHECK(answer.empty());
        answer = co_await ask(where, "3");
        CHECK(answer == "3");
        co_await first.write("1");
        answer = co_await test::read_all(first);
        CHECK(answer == "1");
        server.cancel();
        co_await server.join();
    });
}

TEST_CASE("a handler that throws before it is a coroutine is reported too") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        const cove::address where = listener.local_address();
        ending how;
        cove::task_group server;
        const auto handler = [](cove::tcp_stream) -> task<> { throw std::runtime_error("at once"); };
        server.spawn(serving(std::move(listener), handler, options_that_report(), how));
        const std::string answer = co_await ask(where, "");
        CHECK(answer.empty());
        CHECK(reported == std::vector<std::string>{"at once"});
        server.cancel();
        co_await server.join();
    });
}

TEST_CASE("no more than connections_max sessions run at once, and the others come when there is room") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        const cove::address where = listener.local_address();
        int running = 0, most = 0, ended = 0;
        const auto handler = [&](cove::tcp_stream peer) -> task<> {
            most = std::max(most, ++running);
            co_await echo(std::move(peer));
            --running;
            ++ended;
        };
        cove::serve_options options;
        options.connections_max = 3;
        ending how;
        cove::task_group server;
        server.spawn(serving(std::move(listener), handler, options, how));
        std::vector<test::raw_client> clients;
        for (int i = 0; i < 10; ++i) clients.emplace_back(where);
        for (int i = 0; i < 20; ++i) co_await cove::yield();
        CHECK(running == 3);
        while (!clients.empty()) {
            clients.erase(clients.begin());
            for (int i = 0; i < 20; ++i) co_await cove::yield();
        }
        while (ended < 10) co_await cove::yield();
        CHECK(most == 3);
        server.cancel();
        co_await server.join();
        CHECK(how.canceled);
    });
}

TEST_CASE("running out of descriptors or memory is waited out without spinning, and reported each time") {
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
        test::test_kernel os;
        test::within(
            [&]() -> task<> {
                cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
                const cove::address where = listener.local_address();
                os.fault = [&](std::string_view call, int) -> std::optional<long> {
                    return call == "accept" ? std::optional<long>(-error) : std::nullopt;
                };
                int sessions = 0;
                const auto handler = [&](cove::tcp_stream peer) -> task<> {
                    ++sessions;
                    co_await hold(std::move(peer));
                };
                ending how;
                cove::task_group server;
                server.spawn(serving(std::move(listener), handler, options_that_report(), how));
                const test::raw_client client(where);
                const long waits = os.calls["wait"];
                co_await cove::sleep_for(10s);
                CHECK(sessions == 0);
                CHECK(os.calls["accept"] >= 90);
                CHECK(os.calls["accept"] <= 101);
                CHECK(os.calls["wait"] - waits < 600);
                CHECK(reported.size() == static_cast<std::size_t>(os.calls["accept"]));
                CHECK(reported.at(0).starts_with("accept " + where.to_string() + ": "));
                os.fault = nullptr;
                co_await cove::sleep_for(200ms);
                CHECK(sessions == 1);
                os.fault = [&](std::string_view call, int) -> std::optional<long> {
                    return call == "accept" ? std::optional<long>(-error) : std::nullopt;
                };
                const test::raw_client another(where);
                co_await cove::sleep_for(1s);
                server.cancel();  // while it waits to accept again
                co_await server.join();
                CHECK(how.canceled);
            },
            os);
    }
}

TEST_CASE("where epoll has no room for the listener serve() tries again, and accepts then") {
    for (const int error : {ENOSPC, ENOMEM}) {
        test::test_kernel os;
        test::within(
            [&]() -> task<> {
                cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
                const cove::address where = listener.local_address();
                os.fault = [&](std::string_view call, int) -> std::optional<long> {
                    return call == "control" ? std::optional<long>(-error) : std::nullopt;
                };
                int sessions = 0;
                const auto handler = [&](cove::tcp_stream peer) -> task<> {
                    ++sessions;
                    co_await hold(std::move(peer));
                };
                ending how;
                cove::task_group server;
                server.spawn(serving(std::move(listener), handler, options_that_report(), how));
                co_await cove::sleep_for(1s);
                CHECK(reported.size() >= 1);
                os.fault = nullptr;
                const test::raw_client client(where);
                co_await cove::sleep_for(1s);
                CHECK(sessions == 1);
                server.cancel();
                co_await server.join();
                CHECK(how.canceled);
            },
            os);
    }
}

TEST_CASE("a process without a descriptor to spare accepts again the moment one is closed") {
    test::test_kernel os;
    os.jump = false;
    test::within(
        [&]() -> task<> {
            cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
            const cove::address where = listener.local_address();
            int sessions = 0;
            const auto handler = [&](cove::tcp_stream peer) -> task<> {
                ++sessions;
                co_await hold(std::move(peer));
            };
            cove::serve_options options = options_that_report();
            options.retry_after = 1h;
            ending how;
            cove::task_group server;
            server.spawn(serving(std::move(listener), handler, options, how));
            co_await cove::yield();
            {
                // UBSan takes a descriptor when it first sees a class with virtual functions: let it see all of them before.
                const test::raw_client early(where);
                while (sessions < 1) co_await cove::sleep_for(1us);
                sessions = 0;
                const long accepted_before = os.calls["accept"];
                const test::raw_client one(where), two(where);
                cove::descriptor spare(::fcntl(one.number(), F_DUPFD_CLOEXEC, 0));
                CHECK(spare.is_open());
                rlimit before{};
                CHECK(::getrlimit(RLIMIT_NOFILE, &before) == 0);
                const rlimit low{static_cast<rlim_t>(spare.number()) + 1, before.rlim_max};
                CHECK(::setrlimit(RLIMIT_NOFILE, &low) == 0);
                while (reported.empty()) co_await cove::sleep_for(1us);
                for (int i = 0; i < 3; ++i) co_await cove::sleep_for(1us);
                CHECK(sessions == 0);
                CHECK(reported.size() == 1);
                CHECK(os.calls["accept"] - accepted_before <= 3);
                spare.close();
                while (sessions < 1 || reported.size() < 2) co_await cove::sleep_for(1us);
                CHECK(sessions == 1);  // there was a descriptor for one of them
                CHECK(reported.size() == 2);
                CHECK(::setrlimit(RLIMIT_NOFILE, &before) == 0);
                cove::descriptor any(::fcntl(one.number(), F_DUPFD_CLOEXEC, 0));
                any.close();
                while (sessions < 2) co_await cove::sleep_for(1us);
            }
            server.cancel();
            co_await server.join();
        },
        os);
}

TEST_CASE("an error that will not pass ends serve with that error, after the grace of its sessions") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
            const cove::address where = listener.local_address();
            bool session_canceled = false;
            const auto handler = [&](cove::tcp_stream peer) -> task<> {
                try {
                    co_await hold(std::move(peer));
                } catch (const cove::canceled&) {
                    session_canceled = true;
                    throw;
                }
            };
            ending how;
            cove::task_group server;
            server.spawn(serving(std::move(listener), handler, cove::serve_options(), how));
            const test::raw_client one(where);
            co_await cove::sleep_for(1ms);
            os.fault = [&](std::string_view call, int) -> std::optional<long> {
                return call == "accept" ? std::optional<long>(-EINVAL) : std::nullopt;
            };
            const test::raw_client two(where);
            const cove::time_point start = cove::now();
            co_await server.join();
            CHECK(how.error == "accept " + where.to_string() + ": Invalid argument");
            CHECK(session_canceled);
            CHECK(cove::now() - start >= 1s);
            CHECK(cove::now() - start < 2s);
        },
        os);
}

TEST_CASE("canceled, serve stops accepting, gives its sessions their grace, and cancels those that are left") {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
            const cove::address where = listener.local_address();
            std::vector<std::string> ends;
            const auto handler = [&](cove::tcp_stream peer) -> task<> {
                char byte[1];
                co_await peer.read(byte);
                try {
                    co_await cove::sleep_for(byte[0] == 'q' ? 2s : 100s);
                    ends.push_back("finished");
                } catch (const cove::canceled&) {
                    ends.push_back("canceled");
                    throw;
                }
            };
            cove::serve_options options;
            options.grace = 5s;
            ending how;
            cove::task_group server;
            server.spawn(serving(std::move(listener), handler, options, how));
            const test::raw_client quick(where), slow(where), silent(where);
            quick.send("q");
            slow.send("s");
            co_await cove::sleep_for(10ms);
            const cove::time_point start = cove::now();
            server.cancel();
            co_await cove::yield();
            co_await cove::yield();
            const std::error_code error = co_await test::error_of(cove::tcp_stream::connect(where));
            CHECK(error == std::errc::connection_refused);
            co_await server.join();
            CHECK(how.canceled);
            CHECK(cove::now() - start >= 5s);
            CHECK(cove::now() - start < 6s);
            CHECK(ends == std::vector<std::string>{"finished", "canceled"});
        },
        os);
}

TEST_CASE("canceled, serve ends as soon as its last session has, and at once without any") {
    for (const bool with_session : {false, true}) {
        test::test_kernel os;
        test::within(
            [&]() -> task<> {
                cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
                const cove::address where = listener.local_address();
                cove::serve_options options;
                options.grace = 10h;
                ending how;
                cove::task_group server;
                server.spawn(serving(std::move(listener), echo, options, how));
                std::optional<test::raw_client> client;
                if (with_session) client.emplace(where);
                co_await cove::sleep_for(10ms);
                const cove::time_point start = cove::now();
                server.cancel();
                client.reset();
                co_await server.join();
                CHECK(how.canceled);
                CHECK(cove::now() - start < 1h);
            },
            os);
    }
}

TEST_CASE("canceled from a handler, serve calls no further one, and resets the connections that still wait") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        const cove::address where = listener.local_address();
        cove::task_group server;
        int sessions = 0;
        const auto handler = [&](cove::tcp_stream) -> task<> {
            ++sessions;
            server.cancel();
            co_return;
        };
        cove::serve_options options;
        options.connections_max = 1;
        ending how;
        cove::tcp_stream first = co_await cove::tcp_stream::connect(where);
        cove::tcp_stream second = co_await cove::tcp_stream::connect(where);
        server.spawn(serving(std::move(listener), handler, options, how));
        co_await server.join();
        CHECK(how.canceled);
        CHECK(sessions == 1);
        char byte[1];
        const std::error_code error = co_await test::error_of(second.read(byte));
        CHECK(error == std::errc::connection_reset);
    });
}

TEST_CASE("a flood of connections does not keep a session from its turn") {
    test::within([]() -> task<> {
        cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
        const cove::address where = listener.local_address();
        int sessions = 0, at_first_read = 0;
        const auto handler = [&](cove::tcp_stream peer) -> task<> {
            const int mine = ++sessions;
            char byte[1];
            co_await peer.read(byte);
            if (mine == 1) at_first_read = sessions;
        };
        ending how;
        cove::task_group server;
        server.spawn(serving(std::move(listener), handler, cove::serve_options(), how));
        std::vector<test::raw_client> clients;
        clients.emplace_back(where);
        while (sessions == 0) co_await cove::yield();
        co_await cove::yield();
        for (int i = 0; i < 200; ++i) clients.emplace_back(where);
        clients.front().send("x");
        while (sessions < 201) co_await cove::yield();
        CHECK(at_first_read > 0);
        CHECK(at_first_read < 100);
        clients.clear();
        server.cancel();
        co_await server.join();
    });
}

namespace {

// Twenty sessions that wait, each kind of operation among them, when their server ends.
void end_while_everything_waits(bool destroyed) {
    test::test_kernel os;
    test::within(
        [&]() -> task<> {
            cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
            const cove::address where = listener.local_address();
            int number = 0, ended = 0;
            const auto handler = [&](cove::tcp_stream peer) -> task<> {
                struct count_at_end {
                    int& counted;
                    ~count_at_end() { ++counted; }
                } const guard{ended};
                const std::string much(10'000'000, 'x');
                char byte[1];
                switch (number++ % 5) {
                    case 0: co_await peer.read(byte); break;
                    case 1: (void)co_await peer.receive(); break;
                    case 2: co_await peer.write(much); break;
                    case 3: co_await cove::sleep_for(1000h); break;
                    case 4: co_await cove::timeout(1000h, peer.close_gracefully(1000h)); break;
                }
            };
            ending how;
            {
                cove::task_group server;
                server.spawn(serving(std::move(listener), handler, cove::serve_options(), how));
                std::vector<test::raw_client> clients;
                for (int i = 0; i < 20; ++i) clients.emplace_back(where);
                co_await cove::sleep_for(1s);
                CHECK(number == 20);
                CHECK(ended == 0);
                if (!destroyed) {
                    server.cancel();
                    co_await server.join();
                }
            }
            CHECK(ended == 20);
            CHECK(how.canceled == !destroyed);
        },
        os);
}

}  // namespace

TEST_CASE("stopped while everything waits, a server leaves nothing behind") { end_while_everything_waits(false); }

// serve() destroys session_ended before the sessions that wake it, and crashes.
TEST_CASE("destroyed while everything waits, a server leaves nothing behind") { end_while_everything_waits(true); }
