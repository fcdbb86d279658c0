// Counts down to zero, once; at zero nobody waits any more, and before it everybody does.

#include <cove/runtime/latch.hpp>

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
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<> waits(cove::latch& done, std::vector<int>& order, int name) {
    co_await done.wait();
    order.push_back(name);
}

}  // namespace

TEST_CASE("the waits end in order when the count gets to zero, and not before") {
    auto body = []() -> cove::task<> {
        cove::latch done(3);
        std::vector<int> order;
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(waits(done, order, name));
        for (std::size_t left = 3; left > 0; --left) {
            CHECK(done.left() == left);
            co_await cove::sleep_for(1h);
            CHECK(order.empty());
            done.count_down();
            CHECK(order.empty());  // counting runs nobody
        }
        co_await cove::yield();
        CHECK(order == std::vector<int>{0, 1, 2});
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a latch of zero, or one that got there, holds nobody") {
    auto body = []() -> cove::task<> {
        cove::latch none(0);
        co_await none.wait();
        cove::latch one(1);
        one.count_down();
        co_await one.wait();
        co_await one.wait();
        CHECK(one.left() == 0);
    };
    test::run(body());
}

TEST_CASE("counting by more than is left leaves zero, and zero stays zero") {
    auto body = []() -> cove::task<> {
        cove::latch done(5);
        done.count_down(3);
        CHECK(done.left() == 2);
        done.count_down(std::numeric_limits<std::size_t>::max());
        CHECK(done.left() == 0);
        done.count_down();
        CHECK(done.left() == 0);
        CHECK(co_await cove::move_on_after(1s, done.wait()));
    };
    test::run(body());
}

TEST_CASE("counting by zero ends no wait") {
    auto body = []() -> cove::task<> {
        cove::latch done(1);
        done.count_down(0);
        CHECK(done.left() == 1);
        CHECK_FALSE(co_await cove::move_on_after(1s, done.wait()));
    };
    test::run(body());
}

TEST_CASE("a canceled or destroyed wait counts nothing and leaves the others waiting") {
    auto body = []() -> cove::task<> {
        cove::latch done(1);
        std::vector<int> order;
        cove::task_group group;
        group.spawn(waits(done, order, 0));
        CHECK_FALSE(co_await cove::move_on_after(1s, waits(done, order, 1)));
        {
            cove::task_group dropped;
            dropped.spawn(waits(done, order, 2));
            co_await cove::yield();
        }
        CHECK(done.left() == 1);
        done.count_down();
        co_await group.join();
        CHECK(order == std::vector<int>{0});
    };
    test::run(body());
}

TEST_CASE("who waited when the count got to zero cannot be canceled any more") {
    auto body = []() -> cove::task<> {
        cove::latch done(1);
        std::vector<int> order;
        cove::task_group group;
        group.spawn(waits(done, order, 0));
        co_await cove::yield();
        done.count_down();
        group.cancel();
        co_await group.join();
        CHECK(order == std::vector<int>{0});
    };
    test::run(body());
}

TEST_CASE("tasks that count down let the one that spawned them go on after the slowest") {
    auto body = []() -> cove::task<> {
        cove::latch done(3);
        auto works = [&](cove::duration length) -> cove::task<> {
            co_await cove::sleep_for(length);
            done.count_down();
            co_await cove::sleep_for(24h);
        };
        const cove::time_point start = cove::now();
        cove::task_group group;
        group.spawn(works(2h));
        group.spawn(works(3h));
        group.spawn(works(1h));
        co_await done.wait();
        CHECK(cove::now() - start >= 3h);
        CHECK(cove::now() - start < 4h);
        CHECK(group.size() == 3);
    };
    test::run(body());
}

TEST_CASE("waiting for a latch allocates nothing" * doctest::skip(!test::counts_allocations)) {
    auto body = []() -> cove::task<> {
        cove::latch* awaited = nullptr;
        auto counts = [&]() -> cove::task<> {
            for (;;) {
                co_await cove::yield();
                if (awaited != nullptr) awaited->count_down();
            }
        };
        cove::task_group group;
        group.spawn(counts());
        long start = 0;
        for (int i = 0; i < 200; ++i) {
            if (i == 100) start = test::allocations();
            cove::latch done(2);
            awaited = &done;
            co_await done.wait();
        }
        CHECK(test::allocations() == start);
    };
    test::run(body());
}

TEST_CASE("a stack shows the wait for a latch as that for an event") {
    auto body = []() -> cove::task<> {
        cove::latch done(2);
        std::vector<int> order;
        cove::task_group group;
        group.spawn(waits(done, order, 0));
        co_await cove::yield();
        CHECK(cove::async_stacks().find("event\n    at latch_test.cpp:") != std::string::npos);
        done.count_down(2);
        co_await group.join();
    };
    test::run(body());
}
