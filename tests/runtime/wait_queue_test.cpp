// First in, first out; left by cancellation and by destruction; and once woken, woken.

#include <cove/runtime/wait_queue.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<> waits(cove::wait_queue& queue, std::vector<int>& order, int name) {
    co_await queue.wait();
    order.push_back(name);
}

}  // namespace

TEST_CASE("wake_one wakes the one that has waited longest, and says whether there was one") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        std::vector<int> order;
        CHECK(queue.empty());
        CHECK_FALSE(queue.wake_one());
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(waits(queue, order, name));
        co_await cove::yield();
        CHECK_FALSE(queue.empty());
        for (int woken = 1; woken <= 3; ++woken) {
            CHECK(queue.wake_one());
            CHECK(order.size() == static_cast<std::size_t>(woken - 1));  // waking runs nobody
            co_await cove::yield();
            CHECK(order.size() == static_cast<std::size_t>(woken));
        }
        CHECK(order == std::vector<int>{0, 1, 2});
        CHECK_FALSE(queue.wake_one());
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("wake_all wakes all who wait, in order, and not those who come back") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        std::vector<int> order;
        auto comes_back = [&](int name) -> cove::task<> {
            for (;;) {
                co_await queue.wait();
                order.push_back(name);
            }
        };
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(comes_back(name));
        co_await cove::yield();
        queue.wake_all();
        CHECK(queue.empty());
        co_await cove::sleep_for(1s);
        CHECK(order == std::vector<int>{0, 1, 2});
        queue.wake_all();
        co_await cove::sleep_for(1s);
        CHECK(order == std::vector<int>{0, 1, 2, 0, 1, 2});
    };
    test::run(body());
}

TEST_CASE("who is canceled leaves the queue, and the others keep their order") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        std::vector<int> order;
        cove::cancel_scope scope;
        auto in_scope = [&]() -> cove::task<> { co_await scope.run(waits(queue, order, 99)); };
        cove::task_group group;
        group.spawn(waits(queue, order, 0));
        group.spawn(in_scope());
        group.spawn(waits(queue, order, 1));
        co_await cove::yield();
        scope.cancel();
        CHECK(queue.wake_one());
        CHECK(queue.wake_one());
        CHECK_FALSE(queue.wake_one());
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1});
    };
    test::run(body());
}

TEST_CASE("who was woken cannot be canceled any more") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        std::vector<int> order;
        cove::task_group group;
        group.spawn(waits(queue, order, 0));
        co_await cove::yield();
        queue.wake_one();
        group.cancel();
        co_await group.join();
        CHECK(order == std::vector<int>{0});
    };
    test::run(body());
}

TEST_CASE("who was canceled takes no wake-up from the others") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        std::vector<int> order;
        auto first = std::make_unique<cove::task_group>();
        first->spawn(waits(queue, order, 0));
        cove::task_group second;
        second.spawn(waits(queue, order, 1));
        co_await cove::yield();
        first->cancel();
        CHECK(queue.wake_one());
        co_await second.join();
        CHECK(order == std::vector<int>{1});
        co_await first->join();
    };
    test::run(body());
}

TEST_CASE("a frame that is destroyed while it waits leaves the queue") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        std::vector<int> order;
        {
            cove::task_group group;
            for (int name = 0; name < 3; ++name) group.spawn(waits(queue, order, name));
            co_await cove::yield();
            queue.wake_one();
        }
        CHECK(queue.empty());
        co_await cove::sleep_for(1s);
        CHECK(order.empty());
    };
    test::run(body());
}

TEST_CASE("a wait can be made again from one operation, and be limited in time") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        CHECK_FALSE(co_await cove::move_on_after(1s, queue.wait()));
        CHECK(queue.empty());
        int woken = 0;
        auto waits_twice = [&]() -> cove::task<> {
            auto operation = queue.wait();
            co_await operation;
            ++woken;
            co_await operation;
            ++woken;
        };
        cove::task_group group;
        group.spawn(waits_twice());
        co_await cove::yield();
        queue.wake_all();
        co_await cove::yield();
        queue.wake_all();
        co_await group.join();
        CHECK(woken == 2);
    };
    test::run(body());
}
