// A flag and those who wait for it: all of them go on, in order, and none before its turn.

#include <cove/runtime/event.hpp>

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
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<> waits(cove::event& flag, std::vector<int>& order, int name) {
    co_await flag.wait();
    order.push_back(name);
}

}  // namespace

TEST_CASE("an event is what it was made, set or reset") {
    cove::event flag;
    CHECK_FALSE(flag.is_set());
    flag.set();
    flag.set();
    CHECK(flag.is_set());
    flag.reset();
    CHECK_FALSE(flag.is_set());
    CHECK(cove::event(true).is_set());
}

TEST_CASE("set ends every wait in order and runs no coroutine") {
    auto body = []() -> cove::task<> {
        cove::event flag;
        std::vector<int> order;
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(waits(flag, order, name));
        co_await cove::yield();
        CHECK(order.empty());
        flag.set();
        CHECK(order.empty());
        co_await cove::yield();
        CHECK(order == std::vector<int>{0, 1, 2});
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a wait for an event that is set does not suspend") {
    auto body = []() -> cove::task<> {
        cove::event flag(true);
        std::vector<int> order;
        cove::task_group group;
        group.spawn(waits(flag, order, 1));
        co_await flag.wait();
        CHECK(order.empty());
        co_await group.join();
        CHECK(order == std::vector<int>{1});
    };
    test::run(body());
}

TEST_CASE("those who waited go on even if the event is reset at once, and those who come later wait") {
    auto body = []() -> cove::task<> {
        cove::event flag;
        std::vector<int> order;
        cove::task_group group;
        group.spawn(waits(flag, order, 0));
        group.spawn(waits(flag, order, 1));
        co_await cove::yield();
        flag.set();
        flag.reset();
        CHECK_FALSE(co_await cove::move_on_after(1s, flag.wait()));
        CHECK(order == std::vector<int>{0, 1});
        CHECK_FALSE(flag.is_set());
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a set ends each wait once, and those who wait again wait for the next") {
    auto body = []() -> cove::task<> {
        cove::event flag;
        int rounds = 0;
        auto comes_back = [&]() -> cove::task<> {
            for (;;) {
                co_await flag.wait();
                ++rounds;
            }
        };
        cove::task_group group;
        group.spawn(comes_back());
        for (int sets = 1; sets <= 3; ++sets) {
            co_await cove::sleep_for(1h);
            flag.set();
            flag.reset();
            co_await cove::sleep_for(1h);
            CHECK(rounds == sets);
        }
    };
    test::run(body());
}

TEST_CASE("a set reaches whoever has begun to wait, however many operations they did before") {
    auto body = []() -> cove::task<> {
        for (int before = 0; before <= 70; ++before) {
            CAPTURE(before);
            cove::event open(true);
            cove::event pulse;
            bool is_waiting = false;
            auto pulses = [&]() -> cove::task<> {
                while (!is_waiting) co_await cove::yield();
                pulse.set();
                pulse.reset();
            };
            cove::task_group group;
            group.spawn(pulses());
            co_await cove::yield();
            for (int i = 0; i < before; ++i) co_await open.wait();
            is_waiting = true;
            CHECK(co_await cove::move_on_after(1s, pulse.wait()));
            co_await group.join();
        }
    };
    test::run(body());
}

TEST_CASE("who saw the event set goes on, even if it is reset while others go first") {
    auto body = []() -> cove::task<> {
        for (int before = 0; before <= 70; ++before) {
            CAPTURE(before);
            cove::event open(true);
            cove::event flag(true);
            bool is_waiting = false;
            auto resets = [&]() -> cove::task<> {
                while (!is_waiting) co_await cove::yield();
                flag.reset();
            };
            cove::task_group group;
            group.spawn(resets());
            co_await cove::yield();
            for (int i = 0; i < before; ++i) co_await open.wait();
            is_waiting = true;
            CHECK(co_await cove::move_on_after(1s, flag.wait()));
            co_await group.join();
        }
    };
    test::run(body());
}

TEST_CASE("a canceled wait ends by canceled and leaves the others as they stand") {
    auto body = []() -> cove::task<> {
        cove::event flag;
        std::vector<int> order;
        cove::cancel_scope scope;
        auto in_scope = [&]() -> cove::task<> { CHECK_FALSE(co_await scope.run(waits(flag, order, 99))); };
        cove::task_group group;
        group.spawn(waits(flag, order, 0));
        group.spawn(in_scope());
        group.spawn(waits(flag, order, 1));
        co_await cove::yield();
        scope.cancel();
        flag.set();
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1});
    };
    test::run(body());
}

TEST_CASE("a wait that was ended cannot be canceled any more") {
    auto body = []() -> cove::task<> {
        cove::event flag;
        std::vector<int> order;
        cove::task_group group;
        group.spawn(waits(flag, order, 0));
        co_await cove::yield();
        flag.set();
        group.cancel();
        co_await group.join();
        CHECK(order == std::vector<int>{0});
    };
    test::run(body());
}

TEST_CASE("in a canceled scope a wait throws, though the event is set") {
    auto body = []() -> cove::task<> {
        cove::event flag(true);
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(flag.wait()));
        CHECK(co_await cove::move_on_after(1s, flag.wait()));
    };
    test::run(body());
}

TEST_CASE("frames that are destroyed while they wait, or were just called, are not resumed") {
    auto body = []() -> cove::task<> {
        cove::event flag;
        std::vector<int> order;
        {
            cove::task_group called;
            called.spawn(waits(flag, order, 0));
            co_await cove::yield();
            flag.set();
            flag.reset();
            cove::task_group waiting;
            waiting.spawn(waits(flag, order, 1));
        }
        {
            cove::task_group waiting;
            waiting.spawn(waits(flag, order, 2));
            co_await cove::yield();
        }
        flag.set();
        co_await cove::sleep_for(1s);
        CHECK(order.empty());
    };
    test::run(body());
}

TEST_CASE("a coroutine whose waits never suspend lets the others have their turns") {
    auto body = []() -> cove::task<> {
        cove::event flag(true);
        bool had_turn = false;
        int waited = 0;
        auto never_suspends = [&]() -> cove::task<> {
            for (; !had_turn && waited < 10'000; ++waited) co_await flag.wait();
        };
        auto other = [&]() -> cove::task<> {
            had_turn = true;
            co_return;
        };
        cove::task_group group;
        group.spawn(never_suspends());
        group.spawn(other());
        co_await group.join();
        CHECK(waited > 1);
        CHECK(waited <= 64);
    };
    test::run(body());
}

TEST_CASE("waiting for an event allocates nothing" * doctest::skip(!test::counts_allocations)) {
    auto body = []() -> cove::task<> {
        cove::event flag;
        long made = -1;
        auto sets = [&]() -> cove::task<> {
            while (made < 0) {
                flag.set();
                flag.reset();
                co_await cove::yield();
            }
        };
        cove::task_group group;
        group.spawn(sets());
        long start = 0;
        for (int i = 0; i < 200; ++i) {
            if (i == 100) start = test::allocations();
            co_await flag.wait();
        }
        made = test::allocations() - start;
        CHECK(made == 0);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a stack says that an event is waited for") {
    auto body = []() -> cove::task<> {
        cove::event flag;
        std::vector<int> order;
        cove::task_group group;
        group.spawn(waits(flag, order, 0));
        co_await cove::yield();
        CHECK(cove::async_stacks().find("event\n    at event_test.cpp:") != std::string::npos);
        flag.set();
        co_await group.join();
    };
    test::run(body());
}
