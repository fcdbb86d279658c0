// The latest value only, once to each observer, and an end.

#include <cove/runtime/watch.hpp>

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
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

// Collects what it sees; -1 for the end.
cove::task<> observes(cove::watch<int>& source, std::vector<int>& seen) {
    cove::watch<int>::observer eye(source);
    while (const int* value = co_await eye.changed()) seen.push_back(*value);
    seen.push_back(-1);
}

}  // namespace

TEST_CASE("an observer sees each change that it is in time for, and the end") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        std::vector<int> first;
        std::vector<int> second;
        cove::task_group group;
        group.spawn(observes(state, first));
        group.spawn(observes(state, second));
        for (int value = 1; value <= 3; ++value) {
            co_await cove::sleep_for(1h);
            state.set(value);
            CHECK(state.value() == value);
        }
        co_await cove::sleep_for(1h);
        state.close();
        co_await group.join();
        CHECK(first == std::vector<int>{1, 2, 3, -1});
        CHECK(second == first);
    };
    test::run(body());
}

TEST_CASE("who looks late sees the latest value only, once") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        cove::watch<int>::observer eye(state);
        for (int value = 1; value <= 5; ++value) state.set(value);
        const int* latest = co_await eye.changed();
        REQUIRE(latest != nullptr);
        CHECK(*latest == 5);
        CHECK(latest == &state.value());
        CHECK_FALSE(co_await cove::move_on_after(1s, eye.changed()));
    };
    test::run(body());
}

TEST_CASE("who was woken by a change sees the latest value at its turn, and the later change no second time") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        std::vector<int> seen;
        cove::task_group group;
        group.spawn(observes(state, seen));
        co_await cove::yield();
        state.set(1);
        state.set(2);
        CHECK(seen.empty());  // setting runs nobody
        co_await cove::sleep_for(1s);
        CHECK(seen == std::vector<int>{2});
    };
    test::run(body());
}

TEST_CASE("observers go on in the order in which they began to wait") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        std::vector<int> order;
        auto looks = [&](int name) -> cove::task<> {
            cove::watch<int>::observer eye(state);
            co_await eye.changed();
            order.push_back(name);
        };
        cove::task_group group;
        for (int name = 0; name < 4; ++name) group.spawn(looks(name));
        co_await cove::yield();
        state.set(1);
        co_await group.join();
        CHECK(order == std::vector<int>{0, 1, 2, 3});
    };
    test::run(body());
}

TEST_CASE("an observer has seen the value that is there when it is made; a copy, what the other has seen") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        cove::watch<int>::observer early(state);
        state.set(1);
        cove::watch<int>::observer late(state);
        cove::watch<int>::observer copy = early;
        CHECK_FALSE(co_await cove::move_on_after(1s, late.changed()));
        CHECK(*co_await early.changed() == 1);
        CHECK(*co_await copy.changed() == 1);
        CHECK_FALSE(co_await cove::move_on_after(1s, copy.changed()));
    };
    test::run(body());
}

TEST_CASE("setting an equal value is a change all the same") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(7);
        cove::watch<int>::observer eye(state);
        state.set(7);
        const int* same = co_await eye.changed();
        REQUIRE(same != nullptr);
        CHECK(*same == 7);
    };
    test::run(body());
}

TEST_CASE("a closed watch gives the last value that was not seen, and then the end, again and again") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        cove::watch<int>::observer behind(state);
        state.set(1);
        state.close();
        state.close();
        CHECK(*co_await behind.changed() == 1);
        CHECK(co_await behind.changed() == nullptr);
        CHECK(co_await behind.changed() == nullptr);
        cove::watch<int>::observer late(state);
        CHECK(co_await late.changed() == nullptr);
        CHECK(state.value() == 1);
    };
    test::run(body());
}

TEST_CASE("a change and the end in one turn are seen one after the other") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        std::vector<int> seen;
        cove::task_group group;
        group.spawn(observes(state, seen));
        co_await cove::yield();
        state.set(1);
        state.close();
        co_await group.join();
        CHECK(seen == std::vector<int>{1, -1});
    };
    test::run(body());
}

TEST_CASE("after a cancellation the change can still be seen") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        cove::watch<int>::observer eye(state);
        cove::cancel_scope scope;
        auto cancels = [&]() -> cove::task<> {
            scope.cancel();
            state.set(1);
            co_return;
        };
        cove::task_group group;
        group.spawn(cancels());
        CHECK_FALSE(co_await scope.run(eye.changed()));
        CHECK_FALSE(co_await scope.run(eye.changed()));  // though there is one
        const int* value = co_await eye.changed();
        REQUIRE(value != nullptr);
        CHECK(*value == 1);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a change that came before the cancellation is seen") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        cove::watch<int>::observer eye(state);
        cove::cancel_scope scope;
        auto sets = [&]() -> cove::task<> {
            state.set(1);
            scope.cancel();
            co_return;
        };
        cove::task_group group;
        group.spawn(sets());
        const std::optional<const int*> value = co_await scope.run(eye.changed());
        REQUIRE(value);
        CHECK(**value == 1);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("an observer that is destroyed while it waits, or was woken, is gone") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        std::vector<int> seen;
        {
            cove::task_group dropped;
            dropped.spawn(observes(state, seen));
            co_await cove::yield();
        }
        {
            cove::task_group dropped;
            dropped.spawn(observes(state, seen));
            co_await cove::yield();
            state.set(1);
        }
        state.set(2);
        state.close();
        co_await cove::sleep_for(1s);
        CHECK(seen.empty());
    };
    test::run(body());
}

TEST_CASE("a value may be move-only") {
    auto body = []() -> cove::task<> {
        cove::watch<std::unique_ptr<int>> state(std::make_unique<int>(1));
        cove::watch<std::unique_ptr<int>>::observer eye(state);
        state.set(std::make_unique<int>(2));
        const std::unique_ptr<int>* value = co_await eye.changed();
        REQUIRE(value != nullptr);
        CHECK(**value == 2);
    };
    test::run(body());
}

TEST_CASE("an observer that always finds a change lets the others have their turns") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        bool had_turn = false;
        int looked = 0;
        auto never_suspends = [&]() -> cove::task<> {
            cove::watch<int>::observer eye(state);
            for (; !had_turn && looked < 10'000; ++looked) {
                state.set(looked);
                CHECK(*co_await eye.changed() == looked);
            }
        };
        auto other = [&]() -> cove::task<> {
            had_turn = true;
            co_return;
        };
        cove::task_group group;
        group.spawn(never_suspends());
        group.spawn(other());
        co_await group.join();
        CHECK(looked > 1);
        CHECK(looked <= 64);
    };
    test::run(body());
}

TEST_CASE("waiting for a change allocates nothing" * doctest::skip(!test::counts_allocations)) {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        auto sets = [&]() -> cove::task<> {
            for (int value = 1;; ++value) {
                co_await cove::yield();
                state.set(value);
            }
        };
        cove::task_group group;
        group.spawn(sets());
        cove::watch<int>::observer eye(state);
        long start = 0;
        for (int i = 0; i < 200; ++i) {
            if (i == 100) start = test::allocations();
            co_await eye.changed();
        }
        CHECK(test::allocations() == start);
    };
    test::run(body());
}

TEST_CASE("a stack says that a watch is waited for") {
    auto body = []() -> cove::task<> {
        cove::watch<int> state(0);
        std::vector<int> seen;
        cove::task_group group;
        group.spawn(observes(state, seen));
        co_await cove::yield();
        CHECK(cove::async_stacks().find("watch\n    at watch_test.cpp:") != std::string::npos);
        state.close();
        co_await group.join();
    };
    test::run(body());
}
