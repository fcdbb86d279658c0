// Ticks come at even distances, to the nanosecond, and what becomes of missed ones is what was asked for.

#include <cove/runtime/interval.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/test_kernel.hpp>

#include <chrono>
#include <cstdint>
#include <string>

using namespace std::chrono_literals;

namespace {

// The clock never shows a point in time exactly; a period of an hour leaves it all the room it needs.
bool is_just_past(cove::time_point due) { return cove::now() >= due && cove::now() - due < 1min; }

cove::task<> ticks_once(cove::interval& ticks) { co_await ticks.next(); }

}  // namespace

TEST_CASE("the first tick comes one period after the making, and each at the same distance from the one before") {
    auto body = []() -> cove::task<> {
        for (const cove::missed_ticks policy :
             {cove::missed_ticks::burst, cove::missed_ticks::skip, cove::missed_ticks::delay}) {
            const cove::time_point before = cove::now();
            cove::interval ticks(1h, policy);
            const cove::time_point first = ticks.next_tick();
            CHECK(first >= before + 1h);
            CHECK(first <= cove::now() + 1h);
            for (int i = 0; i < 5; ++i) {
                CHECK(ticks.next_tick() == first + i * 1h);
                CHECK(co_await ticks.next() == 0);
                CHECK(is_just_past(first + i * 1h));
                co_await cove::sleep_for(20min);  // work that takes less than a period changes nothing
            }
        }
    };
    test::run(body());
}

TEST_CASE("ticks do not drift, however many there are") {
    auto body = []() -> cove::task<> {
        cove::interval ticks(1h);
        const cove::time_point first = ticks.next_tick();
        for (int i = 0; i < 1000; ++i) CHECK(co_await ticks.next() == 0);
        CHECK(ticks.next_tick() == first + 1000 * 1h);
    };
    test::run(body());
}

TEST_CASE("skip drops missed ticks and says how many; the next one comes at a multiple of the period") {
    auto body = []() -> cove::task<> {
        cove::interval ticks(1h);
        const cove::time_point first = ticks.next_tick();
        co_await cove::sleep_until(first + 3h + 30min);
        const cove::time_point late = cove::now();
        CHECK(co_await ticks.next() == 3);
        CHECK(cove::now() - late < 1min);  // the one that was due comes at once
        CHECK(ticks.next_tick() == first + 4h);
        CHECK(co_await ticks.next() == 0);
        CHECK(is_just_past(first + 4h));
        CHECK(ticks.next_tick() == first + 5h);
    };
    test::run(body());
}

TEST_CASE("burst makes up for missed ticks at once, one after the other, and drops none") {
    auto body = []() -> cove::task<> {
        cove::interval ticks(1h, cove::missed_ticks::burst);
        const cove::time_point first = ticks.next_tick();
        co_await cove::sleep_until(first + 3h + 30min);
        const cove::time_point late = cove::now();
        for (int i = 0; i < 4; ++i) {
            CHECK(co_await ticks.next() == 0);
            CHECK(cove::now() - late < 1min);
        }
        CHECK(ticks.next_tick() == first + 4h);
        CHECK(co_await ticks.next() == 0);
        CHECK(is_just_past(first + 4h));
    };
    test::run(body());
}

TEST_CASE("delay drops missed ticks and says how many; the next one comes a whole period later") {
    auto body = []() -> cove::task<> {
        cove::interval ticks(1h, cove::missed_ticks::delay);
        const cove::time_point first = ticks.next_tick();
        co_await cove::sleep_until(first + 3h + 30min);
        CHECK(co_await ticks.next() == 3);
        const cove::time_point second = ticks.next_tick();
        CHECK(second >= first + 4h + 30min);
        CHECK(second <= cove::now() + 1h);
        CHECK(co_await ticks.next() == 0);
        CHECK(is_just_past(second));
        CHECK(ticks.next_tick() == second + 1h);
    };
    test::run(body());
}

TEST_CASE("a tick that is late by less than a period drops nothing") {
    auto body = []() -> cove::task<> {
        for (const cove::missed_ticks policy :
             {cove::missed_ticks::burst, cove::missed_ticks::skip, cove::missed_ticks::delay}) {
            cove::interval ticks(1h, policy);
            const cove::time_point first = ticks.next_tick();
            co_await cove::sleep_until(first + 59min);
            CHECK(co_await ticks.next() == 0);
            CHECK(ticks.next_tick() == first + 1h);
        }
    };
    test::run(body());
}

TEST_CASE("a tick that is canceled, or given up in time, is still to come") {
    auto body = []() -> cove::task<> {
        cove::interval ticks(1h);
        const cove::time_point first = ticks.next_tick();
        for (int i = 0; i < 3; ++i) CHECK_FALSE(co_await cove::move_on_after(1min, ticks.next()));
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(ticks.next()));
        co_await cove::sleep_until(first + 1min);
        CHECK_FALSE(co_await scope.run(ticks.next()));  // though its time has come
        CHECK(ticks.next_tick() == first);
        CHECK(co_await ticks.next() == 0);
        CHECK(ticks.next_tick() == first + 1h);
    };
    test::run(body());
}

TEST_CASE("a coroutine that is destroyed while it waits for a tick leaves it for the next") {
    auto body = []() -> cove::task<> {
        cove::interval ticks(1h);
        const cove::time_point first = ticks.next_tick();
        {
            cove::task_group group;
            group.spawn(ticks_once(ticks));
            co_await cove::sleep_for(1min);
        }
        CHECK(co_await ticks.next() == 0);
        CHECK(is_just_past(first));
    };
    test::run(body());
}

TEST_CASE("who catches up with a million ticks lets the others have their turn") {
    auto body = []() -> cove::task<> {
        cove::interval ticks(1ms, cove::missed_ticks::burst);
        co_await cove::sleep_for(1h);
        int others_turns = 0;
        auto other = [&]() -> cove::task<> {
            for (;;) {
                ++others_turns;
                co_await cove::yield();
            }
        };
        cove::task_group group;
        group.spawn(other);
        for (int i = 0; i < 1000; ++i) CHECK(co_await ticks.next() == 0);
        CHECK(others_turns >= 20);
    };
    test::run(body());
}

TEST_CASE("a period as long as can be counted never ends") {
    auto body = []() -> cove::task<> {
        cove::interval ticks(std::chrono::hours::max());
        CHECK(ticks.next_tick() == cove::time_point::max());
        CHECK_FALSE(co_await cove::move_on_after(10000h, ticks.next()));
    };
    test::run(body());
}

TEST_CASE("waiting for a tick allocates nothing, and a stack says how long is left") {
    auto body = []() -> cove::task<> {
        cove::interval ticks(1h);
        long before = 0;
        for (int i = 0; i < 200; ++i) {
            if (i == 100) before = test::allocations();
            co_await ticks.next();
        }
        if (test::counts_allocations) CHECK(test::allocations() == before);
        cove::task_group group;
        group.spawn(ticks_once(ticks));
        co_await cove::yield();
        CHECK(cove::async_stacks().find("sleep, 3") != std::string::npos);
        co_await group.join();
    };
    test::run(body());
}
