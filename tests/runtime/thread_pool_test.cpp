// Threads come with the work and go without it, never too many, and what does not fit is refused.

#include <cove/runtime/thread_pool.hpp>

#include <cove/runtime/clock.hpp>
#include <cove/runtime/offload.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/threads.hpp>

#include <signal.h>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <set>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::thread_pool_options options(std::size_t threads_max, std::size_t queue_max = 1024, cove::duration idle = 10s) {
    cove::thread_pool_options made;
    made.threads_max = threads_max;
    made.queue_max = queue_max;
    made.idle = idle;
    return made;
}

// How many are inside, and how many were at most.
struct gauge {
    std::atomic<int> inside{0};
    std::atomic<int> most{0};

    void enter() {
        const int now_inside = ++inside;
        int before = most.load();
        while (before < now_inside && !most.compare_exchange_weak(before, now_inside)) {
        }
    }
    void leave() { --inside; }
};

cove::task<> call_behind(cove::thread_pool& pool, test::door& begun, test::door& door) {
    auto blocks = [&begun, &door] {
        begun.open();
        door.pass();
    };
    co_await cove::offload(pool, blocks);
}

cove::task<> until_open(test::door& door) {
    while (!door.is_open()) co_await cove::yield();
}

}  // namespace

TEST_CASE("a pool has no thread before there is work, and none for longer than it is idle") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(options(4, 1024, 1ms));
        CHECK(pool.threads() == 0);
        for (int round = 0; round < 3; ++round) {
            test::door begun;
            test::door door;
            cove::task_group group;
            group.spawn(call_behind(pool, begun, door));
            co_await until_open(begun);
            CHECK(pool.threads() == 1);
            door.open();
            co_await group.join();
            while (pool.threads() > 0) co_await cove::yield();
        }
    };
    test::run_real(body());
}

TEST_CASE("as many threads as allowed run at once, and never more") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(options(3));
        gauge calls;
        std::atomic<std::size_t> threads_most{0};
        auto call = [&] {
            calls.enter();
            while (calls.most.load() < 3) std::this_thread::yield();  // so all three are there
            if (const std::size_t there = pool.threads(); there > threads_most.load()) threads_most.store(there);
            calls.leave();
        };
        auto calls_it = [&]() -> cove::task<> { co_await cove::offload(pool, call); };
        cove::task_group group;
        for (int i = 0; i < 200; ++i) group.spawn(calls_it());
        co_await group.join();
        CHECK(calls.most.load() == 3);
        CHECK(threads_most.load() == 3);
    };
    test::run_real(body());
}

TEST_CASE("several loops share the threads of a pool") {
    static constexpr int rounds = 1000 / test::scale;
    cove::thread_pool pool(options(2));
    gauge calls;
    test::threads loops;
    for (int loop = 0; loop < 4; ++loop) {
        loops.start_loop([&pool, &calls, loop]() -> cove::task<> {
            auto call = [&calls](int value) {
                calls.enter();
                calls.leave();
                return value + 1;
            };
            bool all_right = true;
            for (int i = 0; i < rounds; ++i) {
                const int value = loop * rounds + i;
                all_right = all_right && co_await cove::offload(pool, call, value) == value + 1;
            }
            CHECK(all_right);
        });
    }
    loops.join();
    CHECK(calls.most.load() <= 2);
    CHECK(pool.threads() <= 2);
}

TEST_CASE("calls are begun in the order in which they were queued") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(options(1));
        std::vector<int> order;
        std::set<std::thread::id> threads;
        auto call = [&](int name) {
            order.push_back(name);
            threads.insert(std::this_thread::get_id());
        };
        auto calls = [&](int name) -> cove::task<> { co_await cove::offload(pool, call, name); };
        cove::task_group group;
        for (int name = 0; name < 100; ++name) group.spawn(calls(name));
        co_await group.join();
        REQUIRE(order.size() == 100);
        for (int name = 0; name < 100; ++name) CHECK(order[static_cast<std::size_t>(name)] == name);
        CHECK(threads.size() == 1);
        CHECK(threads.count(std::this_thread::get_id()) == 0);
    };
    test::run_real(body());
}

TEST_CASE("a call beyond the queue is refused, and one that leaves the queue makes room") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(options(1, 2));
        test::door begun;
        test::door door;
        cove::task_group group;
        group.spawn(call_behind(pool, begun, door));
        co_await until_open(begun);
        std::vector<int> made;
        auto call = [&made](int name) { made.push_back(name); };
        auto calls = [&](int name) -> cove::task<> { co_await cove::offload(pool, call, name); };
        cove::task_group leaves;
        leaves.spawn(calls(1));
        group.spawn(calls(2));
        co_await cove::yield();
        CHECK_THROWS_AS(co_await cove::offload(pool, call, 3), std::system_error);
        leaves.cancel();
        co_await leaves.join();
        group.spawn(calls(4));
        co_await cove::yield();
        CHECK_THROWS_AS(co_await cove::offload(pool, call, 5), std::system_error);
        door.open();
        co_await group.join();
        CHECK(made == std::vector<int>{2, 4});
    };
    test::run_real(body());
}

TEST_CASE("without a queue a call is taken where a thread can be had, and refused elsewhere") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(options(2, 0));
        test::door begun[2];
        test::door door;
        cove::task_group group;
        for (test::door& each : begun) {
            group.spawn(call_behind(pool, each, door));
            co_await until_open(each);
        }
        auto nothing = [] {};
        CHECK_THROWS_AS(co_await cove::offload(pool, nothing), std::system_error);
        CHECK(pool.threads() == 2);
        door.open();
        co_await group.join();
    };
    test::run_real(body());
}

TEST_CASE("a pool that may have no threads refuses every call") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(options(0));
        auto nothing = [] {};
        CHECK_THROWS_AS(co_await cove::offload(pool, nothing), std::system_error);
        CHECK(pool.threads() == 0);
    };
    test::run_real(body());
}

TEST_CASE("the largest queue_max means no bound") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(options(1, std::numeric_limits<std::size_t>::max()));
        auto one = [] { return 1; };
        int sum = 0;
        auto calls = [&]() -> cove::task<> { sum += co_await cove::offload(pool, one); };
        cove::task_group group;
        for (int i = 0; i < 2000; ++i) group.spawn(calls());
        co_await group.join();
        CHECK(sum == 2000);
    };
    test::run_real(body());
}

TEST_CASE("an idle time may be none, negative, or for ever") {
    auto body = []() -> cove::task<> {
        for (const cove::duration idle : {0ns, -1ns, cove::duration(-1h), cove::duration::min()}) {
            cove::thread_pool pool(options(2, 1024, idle));
            auto two = [] { return 2; };
            CHECK(co_await cove::offload(pool, two) == 2);
            while (pool.threads() > 0) co_await cove::yield();
            CHECK(co_await cove::offload(pool, two) == 2);
        }
        cove::thread_pool pool(options(1, 1024, cove::duration::max()));
        auto two = [] { return 2; };
        CHECK(co_await cove::offload(pool, two) == 2);
        for (int i = 0; i < 100; ++i) co_await cove::yield();
        CHECK(pool.threads() == 1);  // and the destructor ends it
    };
    test::run_real(body());
}

TEST_CASE("threads that end the moment new work comes leave none of it undone") {
    static constexpr int rounds = 3000 / test::scale;
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(options(3, 1024, 0ns));
        int sum = 0;
        auto one = [] { return 1; };
        auto calls = [&]() -> cove::task<> {
            for (int i = 0; i < rounds; ++i) sum += co_await cove::offload(pool, one);
        };
        cove::task_group group;
        for (int i = 0; i < 4; ++i) group.spawn(calls());
        co_await group.join();
        CHECK(sum == 4 * rounds);
    };
    test::run_real(body());
}

TEST_CASE("the destructor waits for the calls that run, which nobody else waits for") {
    std::atomic<int> ended{0};
    test::door door;
    auto pool = std::make_unique<cove::thread_pool>(options(3));
    auto body = [&]() -> cove::task<> {
        test::door begun[3];
        for (test::door& each : begun) {
            auto call = [&each, &door, &ended] {
                each.open();
                door.pass();
                for (int i = 0; i < 100; ++i) std::this_thread::yield();
                ++ended;
            };
            cove::task_group group;
            auto calls = [&]() -> cove::task<> { co_await cove::offload_or_abandon(*pool, call); };
            group.spawn(calls());
            co_await until_open(each);
        }
    };
    test::run_real(body());
    CHECK(ended.load() == 0);
    door.open();
    pool.reset();
    CHECK(ended.load() == 3);
}

TEST_CASE("a pool's threads leave signals to those that run loops, but not the faults of their own") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(options(1));
        auto blocked = [] {
            ::sigset_t mask;
            ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
            return mask;
        };
        const ::sigset_t mask = co_await cove::offload(pool, blocked);
        for (const int signo : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD}) CHECK(::sigismember(&mask, signo) == 1);
        for (const int signo : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) CHECK(::sigismember(&mask, signo) == 0);
        const ::sigset_t here = blocked();
        CHECK(::sigismember(&here, SIGTERM) == 0);
    };
    test::run_real(body());
}

TEST_CASE("offload has one pool for the whole process") {
    cove::thread_pool* seen[2] = {};
    test::threads threads;
    for (auto& each : seen) threads.start([&each] { each = &cove::thread_pool::shared(); });
    threads.join();
    CHECK(seen[0] == seen[1]);
    CHECK(seen[0] != nullptr);
}

TEST_CASE("options that are set later hold for the calls that come after") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(options(1));
        pool.set_options(options(2));
        gauge calls;
        auto call = [&] {
            calls.enter();
            while (calls.most.load() < 2) std::this_thread::yield();
            calls.leave();
        };
        auto calls_it = [&]() -> cove::task<> { co_await cove::offload(pool, call); };
        cove::task_group group;
        for (int i = 0; i < 2; ++i) group.spawn(calls_it());
        co_await group.join();
        CHECK(calls.most.load() == 2);
    };
    test::run_real(body());
}
