// One at a time, across awaits, in the order of asking, whatever ends the holder.

#include <cove/runtime/mutex.hpp>

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
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<> locks(cove::mutex& lock, std::vector<int>& order, int name) {
    const cove::mutex::guard held = co_await lock.lock();
    order.push_back(name);
    co_await cove::sleep_for(1s);
    order.push_back(name);
}

}  // namespace

TEST_CASE("one coroutine at a time holds the lock, in the order of asking") {
    auto body = []() -> cove::task<> {
        cove::mutex lock;
        std::vector<int> order;
        cove::task_group group;
        for (int name = 0; name < 4; ++name) group.spawn(locks(lock, order, name));
        co_await cove::yield();
        CHECK(lock.is_locked());
        co_await group.join();
        CHECK(order == std::vector<int>{0, 0, 1, 1, 2, 2, 3, 3});
        CHECK_FALSE(lock.is_locked());
    };
    test::run(body());
}

TEST_CASE("try_lock takes a free lock only, and not one that has been handed over") {
    auto body = []() -> cove::task<> {
        cove::mutex lock;
        std::vector<int> order;
        cove::mutex::guard held = lock.try_lock();
        CHECK(held);
        CHECK_FALSE(lock.try_lock());
        cove::task_group group;
        group.spawn(locks(lock, order, 0));
        co_await cove::yield();
        held.release();
        CHECK(lock.is_locked());
        CHECK_FALSE(lock.try_lock());
        co_await group.join();
        CHECK(lock.try_lock());
        CHECK_FALSE(lock.is_locked());
    };
    test::run(body());
}

TEST_CASE("a guard moves, and unlocks when it is released or replaced") {
    auto body = []() -> cove::task<> {
        cove::mutex lock;
        cove::mutex::guard held = co_await lock.lock();
        cove::mutex::guard moved = std::move(held);
        CHECK_FALSE(held);
        CHECK(moved);
        CHECK(lock.is_locked());
        moved = cove::mutex::guard();
        CHECK_FALSE(lock.is_locked());
        moved = co_await lock.lock();
        moved.release();
        moved.release();
        CHECK_FALSE(lock.is_locked());
    };
    test::run(body());
}

TEST_CASE("the lock is released by an exception, by cancellation, and by the destruction of its holder") {
    auto body = []() -> cove::task<> {
        cove::mutex lock;
        std::vector<int> order;
        auto fails = [&]() -> cove::task<> {
            const cove::mutex::guard held = co_await lock.lock();
            co_await cove::yield();
            throw std::runtime_error("fails");
        };
        CHECK_THROWS_WITH(co_await fails(), "fails");
        CHECK_FALSE(lock.is_locked());
        CHECK_FALSE(co_await cove::move_on_after(1ms, locks(lock, order, 0)));
        CHECK_FALSE(lock.is_locked());
        {
            cove::task_group dropped;
            dropped.spawn(locks(lock, order, 1));
            dropped.spawn(locks(lock, order, 2));
            co_await cove::yield();
        }
        CHECK_FALSE(lock.is_locked());
        CHECK(order == std::vector<int>{0, 1});
    };
    test::run(body());
}

TEST_CASE("a canceled lock is not taken, and the next in line gets it") {
    auto body = []() -> cove::task<> {
        cove::mutex lock;
        std::vector<int> order;
        cove::cancel_scope scope;
        auto in_scope = [&]() -> cove::task<> { CHECK_FALSE(co_await scope.run(locks(lock, order, 99))); };
        cove::task_group group;
        group.spawn(locks(lock, order, 0));
        group.spawn(in_scope());
        group.spawn(locks(lock, order, 1));
        co_await cove::yield();
        scope.cancel();
        co_await group.join();
        CHECK(order == std::vector<int>{0, 0, 1, 1});
    };
    test::run(body());
}

TEST_CASE("a lock that was handed over before the cancellation is held, and released after it") {
    auto body = []() -> cove::task<> {
        cove::mutex lock;
        std::vector<int> order;
        cove::mutex::guard held = co_await lock.lock();
        cove::task_group canceled;
        canceled.spawn(locks(lock, order, 0));
        cove::task_group group;
        co_await cove::yield();
        group.spawn(locks(lock, order, 1));
        co_await cove::yield();
        held.release();
        canceled.cancel();
        co_await canceled.join();
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1, 1});
        CHECK_FALSE(lock.is_locked());
    };
    test::run(body());
}

TEST_CASE("a lock that was handed to a frame which is destroyed goes to the next in line") {
    auto body = []() -> cove::task<> {
        cove::mutex lock;
        std::vector<int> order;
        cove::mutex::guard held = co_await lock.lock();
        auto dropped = std::make_unique<cove::task_group>();
        dropped->spawn(locks(lock, order, 0));
        co_await cove::yield();
        cove::task_group group;
        group.spawn(locks(lock, order, 1));
        co_await cove::yield();
        held.release();
        dropped.reset();
        co_await group.join();
        CHECK(order == std::vector<int>{1, 1});
    };
    test::run(body());
}

TEST_CASE("who locks in a loop without waiting lets others have the lock") {
    auto body = []() -> cove::task<> {
        cove::mutex lock;
        bool had_lock = false;
        int taken = 0;
        auto never_suspends = [&]() -> cove::task<> {
            for (; !had_lock && taken < 10'000; ++taken) (co_await lock.lock()).release();
        };
        auto other = [&]() -> cove::task<> {
            const cove::mutex::guard held = co_await lock.lock();
            had_lock = true;
        };
        cove::task_group group;
        group.spawn(never_suspends());
        group.spawn(other());
        co_await group.join();
        CHECK(taken > 1);
        CHECK(taken <= 64);
    };
    test::run(body());
}

TEST_CASE("locking allocates nothing, contended or not" * doctest::skip(!test::counts_allocations)) {
    auto body = []() -> cove::task<> {
        cove::mutex lock;
        auto locks_often = [&]() -> cove::task<> {
            for (int i = 0; i < 200; ++i) {
                const cove::mutex::guard held = co_await lock.lock();
                co_await cove::yield();
            }
        };
        cove::task_group group;
        group.spawn(locks_often());
        group.spawn(locks_often());
        co_await cove::sleep_for(1us);
        const long start = test::allocations();
        for (int i = 0; i < 50; ++i) (co_await lock.lock()).release();
        CHECK(test::allocations() == start);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a stack says that a mutex is waited for") {
    auto body = []() -> cove::task<> {
        cove::mutex lock;
        std::vector<int> order;
        const cove::mutex::guard held = co_await lock.lock();
        cove::task_group group;
        group.spawn(locks(lock, order, 0));
        co_await cove::yield();
        CHECK(cove::async_stacks().find("mutex\n    at mutex_test.cpp:") != std::string::npos);
    };
    test::run(body());
}
