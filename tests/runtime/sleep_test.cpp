// Waiting for time to pass: never shorter than asked for, and letting the others go on meanwhile.

#include <cove/runtime/sleep.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/test_kernel.hpp>

#include <algorithm>
#include <chrono>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<> sleeps(cove::duration length, cove::duration& slept) {
    const cove::time_point start = cove::now();
    co_await cove::sleep_for(length);
    slept = cove::now() - start;
}

cove::task<> appends_after(cove::duration length, std::vector<int>& order, int name) {
    co_await cove::sleep_for(length);
    order.push_back(name);
}

cove::task<> appends_at(cove::time_point deadline, std::vector<int>& order, int name) {
    co_await cove::sleep_until(deadline);
    order.push_back(name);
}

}  // namespace

TEST_CASE("sleep_for sleeps no shorter than asked for") {
    for (const cove::duration length :
         {cove::duration(1ns), cove::duration(100us), cove::duration(1ms), cove::duration(24h * 365)}) {
        cove::duration slept{};
        test::run(sleeps(length, slept));
        CHECK(slept >= length);
        CHECK(slept < length + 1s);
    }
}

TEST_CASE("sleepers wake in the order of their deadlines, equal ones in the order in which they lay down") {
    auto body = []() -> cove::task<> {
        std::vector<int> order;
        const cove::time_point start = cove::now();
        cove::task_group group;
        for (int name = 0; name < 20; ++name) group.spawn(appends_at(start + 1s * (20 - name / 2), order, name));
        co_await group.join();
        CHECK(order == std::vector<int>{18, 19, 16, 17, 14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1});
    };
    test::run(body());
}

TEST_CASE("a short sleep is no busy wait") {
    test::test_kernel os;
    os.jump = false;
    auto body = [&os]() -> cove::task<> {
        const long waits = os.calls["wait"];
        for (int i = 0; i < 20; ++i) {
            const cove::time_point start = cove::now();
            co_await cove::sleep_for(100us);
            CHECK(cove::now() - start >= 100us);
        }
        CHECK(os.calls["wait"] - waits <= 60);
    };
    test::run(body(), os);
}

TEST_CASE("yield lets everything that is ready run first") {
    auto body = []() -> cove::task<> {
        std::vector<int> order;
        auto appends = [&order](int name) -> cove::task<> {
            order.push_back(name);
            co_await cove::yield();
            order.push_back(10 + name);
        };
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(appends(name));
        co_await cove::yield();
        CHECK(order == std::vector<int>{0, 1, 2});
        co_await cove::yield();
        CHECK(order == std::vector<int>{0, 1, 2, 10, 11, 12});
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a sleep of zero or less, or until a point that is past, gives way once and returns") {
    test::test_kernel os;
    auto body = []() -> cove::task<> {
        const cove::time_point start = cove::now();
        co_await cove::sleep_for(0s);
        co_await cove::sleep_for(-1h);
        co_await cove::sleep_for(cove::duration::min());
        co_await cove::sleep_until(start - 1h);
        co_await cove::sleep_until(start);
        co_await cove::sleep_until(cove::time_point::min());
        CHECK(cove::now() - start < 1min);
    };
    test::run(body(), os);
}

TEST_CASE("a coroutine that sleeps for nothing again and again keeps no other from sleeping") {
    test::test_kernel os;
    os.jump = false;
    auto body = []() -> cove::task<> {
        bool stop = false;
        long rounds = 0;
        auto restless = [&]() -> cove::task<> {
            while (!stop) {
                co_await cove::sleep_for(0s);
                ++rounds;
            }
        };
        cove::task_group group;
        group.spawn(restless());
        co_await cove::sleep_for(2ms);
        CHECK(rounds > 0);
        stop = true;
        co_await group.join();
    };
    test::run(body(), os);
}

TEST_CASE("the largest duration of any type means for ever, until it is canceled") {
    using std::chrono::hours;
    using real_seconds = std::chrono::duration<double>;
    auto body = []() -> cove::task<> {
        CHECK_FALSE(co_await cove::move_on_after(24h, cove::sleep_for(cove::duration::max())));
        CHECK_FALSE(co_await cove::move_on_after(24h, cove::sleep_for(hours::max())));
        CHECK_FALSE(co_await cove::move_on_after(24h, cove::sleep_for(real_seconds::max())));
        CHECK_FALSE(co_await cove::move_on_after(24h, cove::sleep_until(cove::time_point::max())));
    };
    test::run(body());
}

TEST_CASE("canceling ends a sleep at once, and its timer does not fire later") {
    auto body = []() -> cove::task<> {
        const cove::time_point start = cove::now();
        for (int i = 0; i < 10; ++i) CHECK_FALSE(co_await cove::move_on_after(1s, cove::sleep_for(1min)));
        CHECK(cove::now() - start < 11s);
        const auto turns = cove::loop::current().counters().turns;
        co_await cove::sleep_for(2h);
        CHECK(cove::loop::current().counters().turns - turns < 6);
    };
    test::run(body());
}

TEST_CASE("yield and sleep throw in a canceled scope without giving way") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        scope.cancel();
        const auto turns = cove::loop::current().counters().turns;
        CHECK_FALSE(co_await scope.run(cove::yield()));
        CHECK_FALSE(co_await scope.run(cove::sleep_for(1h)));
        CHECK(cove::loop::current().counters().turns == turns);
    };
    test::run(body());
}

TEST_CASE("a yield, or a sleep for nothing, that is canceled before its turn throws") {
    auto yields = [](cove::cancel_scope& scope) -> cove::task<> { CHECK_FALSE(co_await scope.run(cove::yield())); };
    auto sleeps = [](cove::cancel_scope& scope) -> cove::task<> {
        CHECK_FALSE(co_await scope.run(cove::sleep_for(0s)));
    };
    auto body = [&]() -> cove::task<> {
        cove::cancel_scope first, second;
        cove::task_group group;
        group.spawn(yields(first));
        group.spawn(sleeps(second));
        group.spawn([](cove::cancel_scope& one, cove::cancel_scope& other) -> cove::task<> {
            one.cancel();
            other.cancel();
            co_return;
        }(first, second));
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a sleep is counted from the await, not from its making") {
    auto body = []() -> cove::task<> {
        auto nap = cove::sleep_for(10s);
        co_await cove::sleep_for(1min);
        const cove::time_point start = cove::now();
        co_await nap;
        CHECK(cove::now() - start >= 10s);
    };
    test::run(body());
}

TEST_CASE("a deadline that is set while others wait changes nothing for them") {
    auto body = []() -> cove::task<> {
        std::vector<int> order;
        cove::task_group group;
        group.spawn(appends_after(3s, order, 3));
        group.spawn(appends_after(1s, order, 1));
        co_await cove::sleep_for(500ms);
        group.spawn(appends_after(100ms, order, 0));
        group.spawn(appends_after(1500ms, order, 2));
        co_await group.join();
        CHECK(std::is_sorted(order.begin(), order.end()));
        CHECK(order.size() == 4);
    };
    test::run(body());
}

TEST_CASE("sleeps, and time limits whether or not they pass, allocate nothing" *
          doctest::skip(!test::counts_allocations)) {
    auto body = []() -> cove::task<> {
        long start = 0;
        int in_time = 0;
        for (int i = 0; i < 200; ++i) {
            if (i == 100) start = test::allocations();
            co_await cove::sleep_for(1ms);
            const bool slept = co_await cove::move_on_after(5ms, cove::sleep_for(1ms));
            const bool waited = co_await cove::move_on_after(1ms, cove::sleep_for(5ms));
            if (slept && !waited) ++in_time;
        }
        const long made = test::allocations() - start;
        CHECK(made == 0);
        CHECK(in_time == 200);
    };
    test::run(body());
}
