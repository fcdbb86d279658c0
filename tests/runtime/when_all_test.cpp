// All of several operations: their results in their order, or the first failure once the rest has ended.

#include <cove/runtime/when_all.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::task<int> after(cove::duration length, int value) {
    co_await cove::sleep_for(length);
    co_return value;
}

cove::task<int> at_once(int value) { co_return value; }

cove::task<std::unique_ptr<int>> owned(int value) {
    co_await cove::yield();
    co_return std::make_unique<int>(value);
}

cove::task<int> fails_after(cove::duration length, const char* why) {
    co_await cove::sleep_for(length);
    throw std::runtime_error(why);
}

cove::task<> cleans_up(bool& cleaned) {
    bool was_canceled = false;
    try {
        co_await cove::sleep_for(1h);
    } catch (const cove::canceled&) {
        was_canceled = true;
    }
    if (!was_canceled) co_return;
    co_await cove::shield(cove::sleep_for(1s));
    cleaned = true;
    throw cove::canceled();
}

}  // namespace

TEST_CASE("when_all gives every result in the order of the operations, after the time of the longest") {
    auto body = []() -> cove::task<> {
        const cove::time_point start = cove::now();
        auto results = co_await cove::when_all(after(3s, 1), cove::sleep_for(1s), owned(7), at_once(4));
        static_assert(std::is_same_v<decltype(results), std::tuple<int, std::monostate, std::unique_ptr<int>, int>>);
        CHECK(std::get<0>(results) == 1);
        CHECK(*std::get<2>(results) == 7);
        CHECK(std::get<3>(results) == 4);
        CHECK(cove::now() - start >= 3s);
        CHECK(cove::now() - start < 4s);
    };
    test::run(body());
}

TEST_CASE("when_all of nothing is done") {
    auto body = []() -> cove::task<> { CHECK(co_await cove::when_all() == std::tuple<>()); };
    test::run(body());
}

TEST_CASE("when_all throws the first failure, once the others have been canceled and have ended") {
    auto body = []() -> cove::task<> {
        bool cleaned = false;
        const cove::time_point start = cove::now();
        CHECK_THROWS_WITH(
            co_await cove::when_all(cleans_up(cleaned), fails_after(2s, "first"), fails_after(1h, "second")), "first");
        CHECK(cleaned);
        CHECK(cove::now() - start >= 3s);
        CHECK(cove::now() - start < 1min);
    };
    test::run(body());
}

TEST_CASE("canceling when_all reaches all of its operations") {
    auto body = []() -> cove::task<> {
        bool first = false;
        bool second = false;
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::when_all(cleans_up(first), cleans_up(second))));
        CHECK(first);
        CHECK(second);
    };
    test::run(body());
}

TEST_CASE("when_all that has all its results in spite of a cancellation returns them") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        scope.cancel();
        const auto results = co_await scope.run(cove::when_all(at_once(1), at_once(2)));
        REQUIRE(results);
        CHECK(*results == std::tuple(1, 2));
    };
    test::run(body());
}

TEST_CASE("operations that need one another run concurrently") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        auto wakes = [&queue]() -> cove::task<bool> {
            co_await cove::yield();
            co_return queue.wake_one();
        };
        const auto results = co_await cove::when_all(queue.wait(), wakes());
        CHECK(std::get<1>(results));
    };
    test::run(body());
}

TEST_CASE("when_all inside when_all, a thousand times over, ends") {
    struct maker {
        static cove::task<int> count(int depth) {
            if (depth == 0) co_return 1;
            const auto [left, right] = co_await cove::when_all(count(depth - 1), count(depth - 1));
            co_return left + right;
        }
    };
    CHECK(test::run(maker::count(10)) == 1024);
}

TEST_CASE("when_all of a vector gives every result at its place, after the time of the longest") {
    auto body = []() -> cove::task<> {
        std::vector<cove::task<int>> several;
        for (int i = 0; i < 5; ++i) several.push_back(after(std::chrono::seconds(5 - i), i));
        const cove::time_point start = cove::now();
        const auto results = co_await cove::when_all(std::move(several));
        CHECK(results == std::vector<int>{0, 1, 2, 3, 4});
        CHECK(cove::now() - start >= 5s);
        CHECK(cove::now() - start < 6s);

        std::vector<cove::task<std::unique_ptr<int>>> move_only;
        for (int i = 0; i < 3; ++i) move_only.push_back(owned(i));
        const auto pointers = co_await cove::when_all(std::move(move_only));
        REQUIRE(pointers.size() == 3);
        for (int i = 0; i < 3; ++i) CHECK(*pointers[static_cast<std::size_t>(i)] == i);
    };
    test::run(body());
}

TEST_CASE("results of a vector need neither a default constructor nor an assignment, and may be bool") {
    struct rigid {
        explicit rigid(int v) : value(v) {}
        rigid(rigid&&) noexcept = default;
        rigid& operator=(rigid&&) = delete;
        const int value;
    };
    auto make = [](int value) -> cove::task<rigid> { co_return rigid(value); };
    auto is_odd = [](int value) -> cove::task<bool> { co_return value % 2 == 1; };
    auto body = [&]() -> cove::task<> {
        std::vector<cove::task<rigid>> several;
        std::vector<cove::task<bool>> flags;
        for (int i = 0; i < 3; ++i) {
            several.push_back(make(i));
            flags.push_back(is_odd(i));
        }
        const auto made = co_await cove::when_all(std::move(several));
        CHECK(made[2].value == 2);
        const auto odd = co_await cove::when_all(std::move(flags));
        CHECK(odd == std::vector<bool>{false, true, false});
    };
    test::run(body());
}

TEST_CASE("when_all of a vector of void gives nothing, and waits for the longest; of an empty one it is done") {
    auto body = []() -> cove::task<> {
        const cove::time_point start = cove::now();
        std::vector<decltype(cove::sleep_for(1s))> sleeps;
        for (const auto length : {1s, 60s, 2s}) sleeps.push_back(cove::sleep_for(length));
        auto all = cove::when_all(std::move(sleeps));
        static_assert(std::is_same_v<decltype(all), cove::task<>>);
        co_await all;
        CHECK(cove::now() - start >= 1min);
        CHECK(cove::now() - start < 2min);
        co_await cove::when_all(std::vector<cove::task<>>());
        CHECK((co_await cove::when_all(std::vector<cove::task<int>>())).empty());
    };
    test::run(body());
}

TEST_CASE("when_all of a vector throws the first failure, once the others have been canceled and have ended") {
    auto body = []() -> cove::task<> {
        bool cleaned = false;
        auto fails = [](cove::duration length, const char* why) -> cove::task<> { co_await fails_after(length, why); };
        std::vector<cove::task<>> several;
        several.push_back(cleans_up(cleaned));
        several.push_back(fails(1h, "second"));
        several.push_back(fails(2s, "first"));
        const cove::time_point start = cove::now();
        CHECK_THROWS_WITH(co_await cove::when_all(std::move(several)), "first");
        CHECK(cleaned);
        CHECK(cove::now() - start >= 3s);
        CHECK(cove::now() - start < 1min);

        std::vector<cove::task<int>> numbers;
        numbers.push_back(at_once(1));
        numbers.push_back(fails_after(1s, "of a number"));
        CHECK_THROWS_WITH(co_await cove::when_all(std::move(numbers)), "of a number");
    };
    test::run(body());
}

TEST_CASE("canceling when_all of a vector reaches all of its operations, and results that are all there are returned") {
    auto body = []() -> cove::task<> {
        bool first = false;
        bool second = false;
        std::vector<cove::task<>> several;
        several.push_back(cleans_up(first));
        several.push_back(cleans_up(second));
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::when_all(std::move(several))));
        CHECK(first);
        CHECK(second);

        cove::cancel_scope scope;
        scope.cancel();
        std::vector<cove::task<int>> quick;
        for (int i = 0; i < 3; ++i) quick.push_back(at_once(i));
        const auto results = co_await scope.run(cove::when_all(std::move(quick)));
        REQUIRE(results);
        CHECK(*results == std::vector<int>{0, 1, 2});
    };
    test::run(body());
}

TEST_CASE("when_all of a vector that is destroyed takes its operations along") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        {
            cove::task_group group;
            auto waits_twice = [&queue]() -> cove::task<> {
                std::vector<cove::wait_queue::operation> waits;
                for (int i = 0; i < 2; ++i) waits.push_back(queue.wait());
                co_await cove::when_all(std::move(waits));
            };
            group.spawn(waits_twice);
            co_await cove::sleep_for(1s);
            CHECK_FALSE(queue.empty());
        }
        CHECK(queue.empty());
    };
    test::run(body());
}
