// Signals reach every receiver, disturb nobody, and leave the process as they found it.

#include <cove/runtime/signals.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/run.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/child.hpp>
#include <support/test_kernel.hpp>

#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

// To this process, whichever thread may take it.
void send_signal(int signo) { REQUIRE(::kill(::getpid(), signo) == 0); }

void (*disposition(int signo))(int) {
    struct sigaction now {};
    ::sigaction(signo, nullptr, &now);
    return now.sa_handler;
}

cove::task<> counts(cove::signal_set& signals, std::vector<int>& seen) {
    for (;;) {
        const int signo = co_await signals.next();
        seen.push_back(signo);
    }
}

cove::task<> takes_one(cove::signal_set& signals, std::vector<int>& seen) {
    const int signo = co_await signals.next();
    seen.push_back(signo);
}

cove::task<> ends_by_sigterm() {
    ::raise(SIGTERM);
    co_await cove::sleep_for(1h);
}

cove::task<int> has_a_result() {
    ::raise(SIGINT);
    co_await cove::sleep_for(1h);
    co_return 1;
}

// Cleans up for ever, so that only the second signal ends it.
cove::task<> hangs_in_clean_up() {
    bool stopped = false;
    ::raise(SIGTERM);
    try {
        co_await cove::sleep_for(1h);
    } catch (const cove::canceled&) {
        stopped = true;
    }
    if (!stopped) ::_exit(2);
    ::raise(SIGTERM);
    ::_exit(3);
}

}  // namespace

TEST_CASE("a signal that comes while somebody waits ends the wait") {
    auto body = []() -> cove::task<> {
        cove::signal_set signals{SIGUSR1, SIGUSR2};
        std::vector<int> seen;
        cove::task_group group;
        group.spawn(counts(signals, seen));
        for (const int signo : {SIGUSR1, SIGUSR2, SIGUSR1}) {
            co_await cove::sleep_for(1s);
            send_signal(signo);
        }
        co_await cove::sleep_for(1s);
        CHECK(seen == std::vector<int>{SIGUSR1, SIGUSR2, SIGUSR1});
    };
    test::run_on_linux(body());
}

TEST_CASE("a signal that came before the wait is kept, several of a kind as one, the lowest number first") {
    auto body = []() -> cove::task<> {
        cove::signal_set signals{SIGUSR1, SIGUSR2};
        for (const int signo : {SIGUSR2, SIGUSR1, SIGUSR2}) send_signal(signo);
        co_await cove::sleep_for(1s);
        CHECK(co_await signals.next() == std::min(SIGUSR1, SIGUSR2));
        CHECK(co_await signals.next() == std::max(SIGUSR1, SIGUSR2));
        CHECK_FALSE(co_await cove::move_on_after(1s, signals.next()));
    };
    test::run_on_linux(body());
}

TEST_CASE("every receiver gets every signal") {
    auto body = []() -> cove::task<> {
        cove::signal_set first{SIGUSR1};
        cove::signal_set second{SIGUSR1, SIGUSR2};
        std::vector<int> seen;
        cove::task_group group;
        group.spawn(takes_one(first, seen));
        group.spawn(takes_one(second, seen));
        co_await cove::yield();
        send_signal(SIGUSR1);
        co_await group.join();
        CHECK(seen == std::vector<int>{SIGUSR1, SIGUSR1});
    };
    test::run_on_linux(body());
}

TEST_CASE("one receiver's end leaves the others their signals") {
    auto body = []() -> cove::task<> {
        cove::signal_set stays{SIGUSR1};
        { const cove::signal_set goes{SIGUSR1, SIGUSR2}; }
        send_signal(SIGUSR1);
        CHECK(co_await cove::timeout(1min, stays.next()) == SIGUSR1);
    };
    test::run_on_linux(body());
}

TEST_CASE("the last receiver restores the signal's disposition") {
    static std::atomic<int> handled{0};
    ::signal(SIGUSR1, [](int) { ++handled; });
    const auto before = disposition(SIGUSR1);
    auto body = [before]() -> cove::task<> {
        auto first = std::make_unique<cove::signal_set>(std::initializer_list<int>{SIGUSR1});
        auto second = std::make_unique<cove::signal_set>(std::initializer_list<int>{SIGUSR1});
        CHECK((disposition(SIGUSR1) != before));
        first.reset();
        CHECK((disposition(SIGUSR1) != before));
        send_signal(SIGUSR1);
        CHECK(co_await second->next() == SIGUSR1);
        CHECK(handled == 0);
        second.reset();
        CHECK((disposition(SIGUSR1) == before));
        send_signal(SIGUSR1);
    };
    test::run_on_linux(body());
    CHECK(handled == 1);
    ::signal(SIGUSR1, SIG_DFL);
}

TEST_CASE("a signal that came for a receiver that has gone is not given to the next one") {
    auto body = []() -> cove::task<> {
        {
            const cove::signal_set gone{SIGUSR1};
            send_signal(SIGUSR1);
        }
        cove::signal_set next{SIGUSR1};
        CHECK_FALSE(co_await cove::move_on_after(1s, next.next()));
    };
    test::run_on_linux(body());
}

TEST_CASE("a burst of ten thousand signals is told at least once and breaks nothing") {
    auto body = []() -> cove::task<> {
        cove::signal_set signals{SIGUSR1};
        std::vector<int> seen;
        cove::task_group group;
        group.spawn(counts(signals, seen));
        co_await cove::yield();
        for (int i = 0; i < 10'000; ++i) send_signal(SIGUSR1);
        co_await cove::sleep_for(1s);
        CHECK_FALSE(seen.empty());
        const std::size_t so_far = seen.size();
        send_signal(SIGUSR1);
        co_await cove::sleep_for(1s);
        CHECK(seen.size() == so_far + 1);
    };
    test::run_on_linux(body());
}

TEST_CASE("two loops on two threads are both told") {
    std::atomic<int> listening{0};
    std::atomic<int> told{0};
    auto body = [&]() -> cove::task<> {
        cove::signal_set signals{SIGUSR1};
        listening.fetch_add(1);
        co_await signals.next();
        told.fetch_add(1);
    };
    cove::run_options options;
    options.stop_on_signals = false;
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back([&] { cove::run(body(), options); });
    while (listening.load() < 2) std::this_thread::yield();
    send_signal(SIGUSR1);
    for (std::thread& each : threads) each.join();
    CHECK(told.load() == 2);
}

TEST_CASE("receivers that come and go while signals rain on other threads are safe") {
    std::atomic<bool> stop{false};
    const auto previous = ::signal(SIGUSR1, SIG_IGN);
    std::thread rain([&stop] {
        while (!stop.load()) ::kill(::getpid(), SIGUSR1);
    });
    auto body = []() -> cove::task<> {
        for (int i = 0; i < 500; ++i) {
            cove::signal_set signals{SIGUSR1};
            co_await signals.next();
        }
    };
    cove::run_options options;
    options.stop_on_signals = false;
    std::thread other([&] { cove::run(body(), options); });
    cove::run(body(), options);
    other.join();
    stop.store(true);
    rain.join();
    ::signal(SIGUSR1, previous);
}

TEST_CASE("a second wait on one receiver is busy, and a canceled wait takes no signal") {
    auto body = []() -> cove::task<> {
        cove::signal_set signals{SIGUSR1};
        std::vector<int> seen;
        cove::task_group group;
        group.spawn(takes_one(signals, seen));
        co_await cove::yield();
        const auto second = co_await cove::as_result(signals.next());
        CHECK(second.error() == cove::errc::busy);
        group.cancel();
        co_await group.join();
        send_signal(SIGUSR1);
        CHECK(co_await signals.next() == SIGUSR1);
        CHECK(seen.empty());
    };
    test::run_on_linux(body());
}

TEST_CASE("what is no signal, or cannot be caught, is refused, and nothing stays subscribed") {
    auto body = []() -> cove::task<> {
        const auto before = disposition(SIGUSR1);
        for (const int refused : {0, -1, 65, 1000, SIGKILL, SIGSTOP}) {
            CAPTURE(refused);
            std::error_code code;
            try {
                const cove::signal_set impossible{SIGUSR1, refused};
            } catch (const std::system_error& error) {
                code = error.code();
            }
            CHECK(code == std::errc::invalid_argument);
            CHECK((disposition(SIGUSR1) == before));
        }
        co_return;
    };
    test::run_on_linux(body());
}

TEST_CASE("waiting for a signal is no deadlock") {
    auto body = []() -> cove::task<> {
        cove::signal_set signals{SIGUSR1};
        CHECK(co_await signals.next() == SIGUSR1);
    };
    test::test_kernel os;
    os.fault = [](std::string_view call, int) -> std::optional<long> {
        if (call == "wait") ::kill(::getpid(), SIGUSR1);
        return {};
    };
    test::run(body(), os);
}

TEST_CASE("waiting for a signal is a deadlock where it was declared not to count") {
    auto body = []() -> cove::task<> {
        cove::signal_set signals{SIGUSR1};
        signals.unref();
        co_await signals.next();
    };
    CHECK(test::in_child([&body] {
              try {
                  test::run_on_linux(body());
              } catch (const cove::deadlock_error&) {
                  return 42;
              }
              return 1;
          }).status == 42);
}

TEST_CASE("run turns SIGTERM into a cancellation, and a task<> that ends by it has ended in order") {
    CHECK(test::in_child([] { return cove::run(ends_by_sigterm()); }).status == 0);
}

TEST_CASE("run throws canceled where a signal ended a task that should have had a result") {
    CHECK(test::in_child([] {
              try {
                  cove::run(has_a_result());
              } catch (const cove::canceled&) {
                  return 42;
              }
              return 1;
          }).status == 42);
}

TEST_CASE("a second SIGTERM ends the process as it would without cove") {
    CHECK(test::in_child([] { return cove::run(hangs_in_clean_up()); }).status == -SIGTERM);
}

TEST_CASE("run leaves the process's signals as they were") {
    const auto interrupt = disposition(SIGINT);
    const auto terminate = disposition(SIGTERM);
    auto body = [terminate]() -> cove::task<> {
        co_await cove::yield();
        CHECK((disposition(SIGTERM) != terminate));
    };
    CHECK(cove::run(body()) == 0);
    CHECK((disposition(SIGINT) == interrupt));
    CHECK((disposition(SIGTERM) == terminate));
}
