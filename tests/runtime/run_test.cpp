// From main() into the loop and back: what run gives, what it throws, and what it leaves.

#include <cove/runtime/run.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<> nothing() { co_return; }
cove::task<int> number(int value) {
    co_await cove::yield();
    co_return value;
}
cove::task<std::unique_ptr<std::string>> owned() { co_return std::make_unique<std::string>("text"); }

cove::task<> fails() {
    co_await cove::yield();
    throw std::runtime_error("out of run");
}

void (*disposition(int signo))(int) {
    struct sigaction now {};
    ::sigaction(signo, nullptr, &now);
    return now.sa_handler;
}

// Looks, when its frame is destroyed, whether that happens under a loop.
struct looks_for_loop {
    explicit looks_for_loop(bool& f) noexcept : found(&f) {}
    looks_for_loop(const looks_for_loop&) = delete;
    looks_for_loop& operator=(const looks_for_loop&) = delete;
    ~looks_for_loop() { *found = cove::detail::this_thread.running != nullptr; }
    bool* found;
};

}  // namespace

TEST_CASE("run gives the task's result, and 0 for a task without one") {
    CHECK(cove::run(number(7)) == 7);
    static_assert(std::is_same_v<decltype(cove::run(nothing())), int>);
    CHECK(cove::run(nothing()) == 0);
    const auto text = cove::run(owned());
    REQUIRE(text);
    CHECK(*text == "text");
}

TEST_CASE("run throws what the task throws, and can be called again") {
    CHECK_THROWS_WITH_AS(cove::run(fails()), "out of run", std::runtime_error);
    CHECK(cove::run(number(1)) == 1);
}

TEST_CASE("a main task that was canceled without a signal ends with canceled") {
    auto cancels_root = []() -> cove::task<> {
        cove::loop::current().root_scope().cancel();
        co_await cove::sleep_for(1h);
    };
    CHECK_THROWS_AS(cove::run(cancels_root()), cove::canceled);
    auto throws_canceled = []() -> cove::task<int> {
        throw cove::canceled();
        co_return 1;
    };
    CHECK_THROWS_AS(cove::run(throws_canceled()), cove::canceled);
}

TEST_CASE("run waits for the main task alone, whose groups end with it") {
    auto body = []() -> cove::task<int> {
        cove::task_group group;
        auto never_ends = []() -> cove::task<> {
            for (;;) co_await cove::sleep_for(1h);
        };
        group.spawn(never_ends());
        co_await cove::sleep_for(2h);
        co_return 3;
    };
    CHECK(test::run(body()) == 3);
}

TEST_CASE("by the options run uses another kernel and leaves the signals alone") {
    test::test_kernel os;
    cove::run_options options;
    options.os = &os;
    options.stop_on_signals = false;
    auto body = [&os, terminate = disposition(SIGTERM)]() -> cove::task<> {
        CHECK(&cove::loop::current().os() == &os);
        CHECK((disposition(SIGTERM) == terminate));
        co_await cove::sleep_for(24h);
    };
    cove::run(body(), options);
    CHECK(os.calls["create_poller"] == 1);
    CHECK(os.calls["close"] == 2);
}

TEST_CASE("every thread may run a loop of its own") {
    std::vector<std::thread> threads;
    std::vector<int> results(4);
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([i, &results] { results[static_cast<std::size_t>(i)] = cove::run(number(i)); });
    for (std::thread& each : threads) each.join();
    CHECK(results == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("the main task's frame is destroyed under its loop when it has ended") {
    bool found = false;
    auto body = [&found]() -> cove::task<> {
        const looks_for_loop looker(found);
        co_await cove::yield();
    };
    test::run(body());
    CHECK(found);
}

TEST_CASE("the main task's frame is destroyed under its loop when run throws a deadlock") {
    bool found = false;
    auto body = [&found]() -> cove::task<> {
        const looks_for_loop looker(found);
        cove::wait_queue nobody;
        co_await nobody.wait();
    };
    CHECK_THROWS_AS(test::run(body()), cove::deadlock_error);
    CHECK(found);
}
