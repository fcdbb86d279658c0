// The first of several operations wins, the others are canceled, and what was done is never thrown away.

#include <cove/runtime/race.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
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
#include <optional>
#include <stdexcept>
#include <string>
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

cove::task<int> fails_in_clean_up() {
    try {
        co_await cove::sleep_for(1h);
    } catch (const cove::canceled&) {
        throw std::runtime_error("late");
    }
    co_return 1;
}

cove::task<> cancel_after(cove::duration length, cove::cancel_scope& scope) {
    co_await cove::sleep_for(length);
    scope.cancel();
}

}  // namespace

TEST_CASE("race gives the result of the first and cancels the others") {
    auto body = []() -> cove::task<> {
        const cove::time_point start = cove::now();
        const auto results = co_await cove::race(after(1h, 1), after(1s, 2), cove::sleep_for(1h));
        CHECK_FALSE(std::get<0>(results));
        CHECK(std::get<1>(results) == 2);
        CHECK_FALSE(std::get<2>(results));
        CHECK(cove::now() - start < 1min);
        auto move_only = co_await cove::race(owned(3), after(1h, 1));
        REQUIRE(std::get<0>(move_only));
        CHECK(**std::get<0>(move_only) == 3);
    };
    test::run(body());
}

TEST_CASE("operations that finish at once are all kept") {
    auto body = []() -> cove::task<> {
        const auto results = co_await cove::race(at_once(1), at_once(2), after(1h, 3));
        CHECK(std::get<0>(results) == 1);
        CHECK(std::get<1>(results) == 2);
        CHECK_FALSE(std::get<2>(results));
    };
    test::run(body());
}

TEST_CASE("what was handed over in the turn of the winner is kept") {
    auto body = []() -> cove::task<> {
        cove::wait_queue first;
        cove::wait_queue second;
        auto wakes_both = [&]() -> cove::task<> {
            co_await cove::sleep_for(1s);
            first.wake_one();
            second.wake_one();
        };
        cove::task_group group;
        group.spawn(wakes_both());
        const auto results = co_await cove::race(first.wait(), second.wait(), cove::sleep_for(1h));
        CHECK(std::get<0>(results));
        CHECK(std::get<1>(results));
        CHECK_FALSE(std::get<2>(results));
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("race throws where the first ends by an exception, and drops a later one") {
    auto body = []() -> cove::task<> {
        CHECK_THROWS_WITH(co_await cove::race(fails_after(1s, "first"), after(1h, 1), fails_in_clean_up()), "first");
        const auto results = co_await cove::race(after(1s, 1), fails_in_clean_up());
        CHECK(std::get<0>(results) == 1);
        CHECK_FALSE(std::get<1>(results));
    };
    test::run(body());
}

TEST_CASE("canceling race ends all of its operations") {
    auto body = []() -> cove::task<> {
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::race(after(1h, 1), after(2h, 2))));
    };
    test::run(body());
}

TEST_CASE("a race that was decided when it was canceled keeps its result") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        cove::wait_queue queue;
        auto wakes_and_cancels = [&]() -> cove::task<> {
            co_await cove::sleep_for(1s);
            queue.wake_one();
            scope.cancel();
        };
        cove::task_group group;
        group.spawn(wakes_and_cancels());
        const auto results = co_await scope.run(cove::race(queue.wait(), after(1h, 1)));
        REQUIRE(results);
        CHECK(std::get<0>(*results));
        CHECK_FALSE(std::get<1>(*results));
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a race waits for the clean-up of those who lost") {
    auto body = []() -> cove::task<> {
        auto loses_slowly = []() -> cove::task<> {
            bool was_canceled = false;
            try {
                co_await cove::sleep_for(1h);
            } catch (const cove::canceled&) {
                was_canceled = true;
            }
            if (was_canceled) co_await cove::shield(cove::sleep_for(10s));
        };
        const cove::time_point start = cove::now();
        const auto results = co_await cove::race(loses_slowly(), after(1s, 2));
        CHECK(std::get<1>(results) == 2);
        CHECK(cove::now() - start >= 11s);
        CHECK(cove::now() - start < 1min);
    };
    test::run(body());
}

TEST_CASE("a race around a scope that is canceled inside is decided by that") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        cove::task_group group;
        group.spawn(cancel_after(1s, scope));
        const auto results = co_await cove::race(scope.run(after(1h, 1)), after(1h, 2));
        REQUIRE(std::get<0>(results).has_value());
        CHECK_FALSE(std::get<0>(results)->has_value());
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("race of a vector gives the result of the first, at its place, and cancels the others") {
    auto body = []() -> cove::task<> {
        std::vector<cove::task<int>> several;
        for (int i = 0; i < 5; ++i) several.push_back(after(i == 3 ? 1s : 1h, i));
        const cove::time_point start = cove::now();
        const auto results = co_await cove::race(std::move(several));
        static_assert(std::is_same_v<decltype(results), const std::vector<std::optional<int>>>);
        REQUIRE(results.size() == 5);
        for (int i = 0; i < 5; ++i) CHECK(results[static_cast<std::size_t>(i)].has_value() == (i == 3));
        CHECK(results[3] == 3);
        CHECK(cove::now() - start < 1min);

        std::vector<cove::task<std::unique_ptr<int>>> move_only;
        move_only.push_back(owned(7));
        auto only = co_await cove::race(std::move(move_only));
        REQUIRE(only.size() == 1);
        REQUIRE(only[0]);
        CHECK(**only[0] == 7);
    };
    test::run(body());
}

TEST_CASE("in a vector std::monostate stands for void, and operations that are no tasks race as well") {
    auto body = []() -> cove::task<> {
        std::vector<decltype(cove::sleep_for(1s))> sleeps;
        for (const auto length : {3600s, 1s, 7200s}) sleeps.push_back(cove::sleep_for(length));
        const auto results = co_await cove::race(std::move(sleeps));
        static_assert(std::is_same_v<decltype(results), const std::vector<std::optional<std::monostate>>>);
        REQUIRE(results.size() == 3);
        CHECK_FALSE(results[0]);
        CHECK(results[1]);
        CHECK_FALSE(results[2]);
        co_await cove::sleep_for(24h);
    };
    test::run(body());
}

TEST_CASE("a race of none ends at once") {
    auto body = []() -> cove::task<> {
        const auto results = co_await cove::race(std::vector<cove::task<int>>());
        CHECK(results.empty());
    };
    test::run(body());
}

TEST_CASE("results of a vector that arrived together are all kept") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        auto waits = [&queue](int value) -> cove::task<int> {
            co_await queue.wait();
            co_return value;
        };
        auto wakes_all = [&queue]() -> cove::task<> {
            co_await cove::sleep_for(1s);
            queue.wake_all();
        };
        cove::task_group group;
        group.spawn(wakes_all);
        std::vector<cove::task<int>> several;
        several.push_back(waits(1));
        several.push_back(after(1h, 2));
        several.push_back(waits(3));
        const auto results = co_await cove::race(std::move(several));
        CHECK(results == std::vector<std::optional<int>>{1, std::nullopt, 3});
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a race of a vector throws where the first ends by an exception, though others had finished with it") {
    auto body = []() -> cove::task<> {
        std::vector<cove::task<int>> several;
        several.push_back(after(1h, 1));
        several.push_back(fails_after(1s, "first"));
        several.push_back(fails_in_clean_up());
        CHECK_THROWS_WITH(co_await cove::race(std::move(several)), "first");

        auto fails_at_once = []() -> cove::task<int> {
            throw std::runtime_error("at once");
            co_return 1;
        };
        CHECK_THROWS_WITH(co_await cove::race(fails_at_once(), at_once(2)), "at once");
        const auto results = co_await cove::race(at_once(2), fails_at_once());
        CHECK(std::get<0>(results) == 2);
    };
    test::run(body());
}

TEST_CASE("canceling a race of a vector ends all of its operations; what has been decided is returned") {
    auto body = []() -> cove::task<> {
        std::vector<cove::task<int>> slow;
        for (int i = 0; i < 3; ++i) slow.push_back(after(1h, i));
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::race(std::move(slow))));

        cove::cancel_scope scope;
        scope.cancel();
        std::vector<cove::task<int>> quick;
        quick.push_back(after(1h, 1));
        quick.push_back(at_once(2));
        const auto results = co_await scope.run(cove::race(std::move(quick)));
        REQUIRE(results);
        CHECK(*results == std::vector<std::optional<int>>{std::nullopt, 2});
    };
    test::run(body());
}

TEST_CASE("an operation that lets its own `canceled` pass does not count as a result of the race") {
    auto body = []() -> cove::task<> {
        auto gives_up = []() -> cove::task<int> {
            co_await cove::yield();
            throw cove::canceled();
            co_return 1;
        };
        CHECK_THROWS_AS(co_await cove::race(gives_up(), after(1h, 2)), cove::canceled);
    };
    test::run(body());
}

TEST_CASE("who loses a race learns that by the reason of its cancellation, which names the place of the race") {
    auto body = []() -> cove::task<> {
        std::string reason;
        auto loses = [&reason]() -> cove::task<> {
            try {
                co_await cove::sleep_for(1h);
            } catch (const cove::canceled& end) {
                reason = end.what();
                throw;
            }
        };
        const int line = __LINE__ + 1;
        co_await cove::race(loses(), after(1s, 1));
        CHECK(reason == "canceled by the end of the race at race_test.cpp:" + std::to_string(line));
    };
    test::run(body());
}

TEST_CASE("a race that is destroyed takes its operations along") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        auto waits = [&queue]() -> cove::task<> { co_await queue.wait(); };
        {
            std::vector<cove::task<>> several;
            several.push_back(waits());
            several.push_back(waits());
            cove::task_group group;
            auto races = [&several]() -> cove::task<> { co_await cove::race(std::move(several)); };
            group.spawn(races);
            co_await cove::sleep_for(1s);
            CHECK_FALSE(queue.empty());
        }
        CHECK(queue.empty());
    };
    test::run(body());
}
