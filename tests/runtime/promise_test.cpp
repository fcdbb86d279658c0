// A result that is set once, and that everybody gets, early or late.

#include <cove/runtime/promise.hpp>

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
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<> gets(cove::promise<int>& answer, std::vector<int>& order, int name) {
    order.push_back(name + co_await answer.get());
}

struct throws_when_made {
    explicit throws_when_made(bool does) {
        if (does) throw std::runtime_error("not made");
    }
};

}  // namespace

TEST_CASE("all who wait get the value, in order, and those who come later at once") {
    auto body = []() -> cove::task<> {
        cove::promise<int> answer;
        std::vector<int> order;
        cove::task_group group;
        for (int name = 0; name < 3; ++name) group.spawn(gets(answer, order, name));
        co_await cove::sleep_for(1h);
        CHECK(order.empty());
        CHECK_FALSE(answer.is_set());
        CHECK(answer.set_value(40));
        CHECK(answer.is_set());
        CHECK(order.empty());  // setting runs nobody
        CHECK(co_await answer.get() == 40);
        CHECK(order.empty());  // a get() after it does not suspend
        co_await group.join();
        CHECK(order == std::vector<int>{40, 41, 42});
    };
    test::run(body());
}

TEST_CASE("the result is set once: what comes second is refused and changes nothing") {
    auto body = []() -> cove::task<> {
        const auto error = std::make_exception_ptr(std::runtime_error("failed"));
        cove::promise<int> answer;
        CHECK(answer.set_value(1));
        CHECK_FALSE(answer.set_value(2));
        CHECK_FALSE(answer.set_exception(error));
        CHECK(co_await answer.get() == 1);
        cove::promise<int> failure;
        CHECK(failure.set_exception(error));
        CHECK_FALSE(failure.set_exception(std::make_exception_ptr(std::logic_error("second"))));
        CHECK_FALSE(failure.set_value(2));
        CHECK_THROWS_WITH(co_await failure.get(), "failed");
    };
    test::run(body());
}

TEST_CASE("a refused value is not moved from") {
    cove::promise<std::unique_ptr<int>> owner;
    CHECK(owner.set_value(std::make_unique<int>(1)));
    auto second = std::make_unique<int>(2);
    CHECK_FALSE(owner.set_value(std::move(second)));
    CHECK(second);
}

TEST_CASE("everybody gets the exception that was set, as often as they ask") {
    auto body = []() -> cove::task<> {
        cove::promise<> done;
        int thrown = 0;
        auto fails = [&]() -> cove::task<> {
            for (int i = 0; i < 2; ++i) {
                try {
                    co_await done.get();
                } catch (const std::runtime_error& error) {
                    CHECK(std::string(error.what()) == "failed");
                    ++thrown;
                }
            }
        };
        cove::task_group group;
        group.spawn(fails());
        group.spawn(fails());
        co_await cove::yield();
        CHECK(done.set_exception(std::make_exception_ptr(std::runtime_error("failed"))));
        co_await group.join();
        CHECK(thrown == 4);
    };
    test::run(body());
}

TEST_CASE("what everybody gets refers to one value, of a type that need not move") {
    struct fixed {
        fixed(int a, int b) : sum(a + b) {}
        fixed(const fixed&) = delete;
        fixed& operator=(const fixed&) = delete;
        int sum;
    };
    auto body = []() -> cove::task<> {
        cove::promise<fixed> answer;
        CHECK(answer.set_value(1, 2));
        fixed& first = co_await answer.get();
        fixed& second = co_await answer.get();
        CHECK(&first == &second);
        first.sum = 4;
        CHECK(second.sum == 4);
        cove::promise<std::unique_ptr<int>> owner;
        owner.set_value(std::make_unique<int>(5));
        const std::unique_ptr<int> taken = std::move(co_await owner.get());
        CHECK(*taken == 5);
    };
    test::run(body());
}

TEST_CASE("a value whose constructor throws leaves the promise unset") {
    auto body = []() -> cove::task<> {
        cove::promise<throws_when_made> answer;
        CHECK_THROWS_WITH(answer.set_value(true), "not made");
        CHECK_FALSE(answer.is_set());
        auto waits = [&]() -> cove::task<> { co_await answer.get(); };
        CHECK_FALSE(co_await cove::move_on_after(1s, waits()));
        CHECK(answer.set_value(false));
        co_await answer.get();
    };
    test::run(body());
}

TEST_CASE("a promise of nothing is set without a value") {
    auto body = []() -> cove::task<> {
        cove::promise<> done;
        static_assert(std::is_void_v<decltype(done.get().await_resume())>);
        CHECK_FALSE(co_await cove::move_on_after(1s, done.get()));
        CHECK(done.set_value());
        CHECK_FALSE(done.set_value());
        co_await done.get();
    };
    test::run(body());
}

TEST_CASE("a canceled or destroyed get takes nothing from the others") {
    auto body = []() -> cove::task<> {
        cove::promise<int> answer;
        std::vector<int> order;
        cove::task_group group;
        group.spawn(gets(answer, order, 0));
        CHECK_FALSE(co_await cove::move_on_after(1s, gets(answer, order, 1)));
        {
            cove::task_group dropped;
            dropped.spawn(gets(answer, order, 2));
            co_await cove::yield();
        }
        {
            cove::task_group dropped;
            dropped.spawn(gets(answer, order, 3));
            co_await cove::yield();
            answer.set_value(40);
        }
        co_await group.join();
        CHECK(order == std::vector<int>{40});
    };
    test::run(body());
}

TEST_CASE("a get whose result was set before the cancellation gives it; in a canceled scope none does") {
    auto body = []() -> cove::task<> {
        cove::promise<int> answer;
        std::vector<int> order;
        cove::task_group group;
        group.spawn(gets(answer, order, 0));
        co_await cove::yield();
        answer.set_value(40);
        group.cancel();
        group.spawn(gets(answer, order, 1));
        co_await group.join();
        CHECK(order == std::vector<int>{40});
    };
    test::run(body());
}

TEST_CASE("a coroutine whose gets never suspend lets the others have their turns") {
    auto body = []() -> cove::task<> {
        cove::promise<int> answer;
        answer.set_value(1);
        bool had_turn = false;
        int got = 0;
        auto never_suspends = [&]() -> cove::task<> {
            while (!had_turn && got < 10'000) got += co_await answer.get();
        };
        auto other = [&]() -> cove::task<> {
            had_turn = true;
            co_return;
        };
        cove::task_group group;
        group.spawn(never_suspends());
        group.spawn(other());
        co_await group.join();
        CHECK(got > 1);
        CHECK(got <= 64);
    };
    test::run(body());
}

TEST_CASE("waiting for a promise allocates nothing" * doctest::skip(!test::counts_allocations)) {
    auto body = []() -> cove::task<> {
        cove::promise<int>* awaited = nullptr;
        auto sets = [&]() -> cove::task<> {
            for (;;) {
                co_await cove::yield();
                if (awaited != nullptr) awaited->set_value(1);
            }
        };
        cove::task_group group;
        group.spawn(sets());
        long start = 0;
        for (int i = 0; i < 200; ++i) {
            if (i == 100) start = test::allocations();
            cove::promise<int> answer;
            awaited = &answer;
            co_await answer.get();
        }
        CHECK(test::allocations() == start);
    };
    test::run(body());
}

TEST_CASE("a stack says that a promise is waited for") {
    auto body = []() -> cove::task<> {
        cove::promise<int> answer;
        std::vector<int> order;
        cove::task_group group;
        group.spawn(gets(answer, order, 0));
        co_await cove::yield();
        CHECK(cove::async_stacks().find("promise\n    at promise_test.cpp:") != std::string::npos);
        answer.set_value(1);
        co_await group.join();
    };
    test::run(body());
}
