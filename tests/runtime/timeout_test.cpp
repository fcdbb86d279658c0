// Limits in time: who wins, what passes, and that they nest.

#include <cove/runtime/timeout.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <doctest/doctest.h>
#include <support/child.hpp>
#include <support/test_kernel.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

namespace {

cove::task<int> after(cove::duration length, int value) {
    co_await cove::sleep_for(length);
    co_return value;
}

cove::task<int> at_once(int value) { co_return value; }

cove::task<std::unique_ptr<int>> owned() { co_return std::make_unique<int>(3); }

cove::task<> fails() {
    co_await cove::yield();
    throw std::runtime_error("its own failure");
}

// What clean-up looks like: it holds cancellation off, but not for ever.
cove::task<> cleans_up(cove::duration needs, bool& cleaned) {
    bool interrupted = false;
    try {
        co_await cove::sleep_for(24h);
    } catch (const cove::canceled&) {
        interrupted = true;
    }
    if (interrupted) co_await cove::shield(cove::timeout(10s, cove::sleep_for(needs)));
    cleaned = true;
}

cove::task<> cancel_after(cove::duration length, cove::cancel_scope& scope) {
    co_await cove::sleep_for(length);
    scope.cancel();
}

}  // namespace

TEST_CASE("timeout gives the result of an operation that ends in time") {
    auto body = []() -> cove::task<> {
        CHECK(co_await cove::timeout(10s, after(1s, 5)) == 5);
        co_await cove::timeout(10s, cove::sleep_for(1s));
        CHECK(*co_await cove::timeout(10s, owned()) == 3);
        co_await cove::sleep_for(1h);  // nothing of the limits is left to fire
    };
    test::run(body());
}

TEST_CASE("timeout throws timed_out when the time is over, not earlier and not much later") {
    auto body = []() -> cove::task<> {
        const cove::time_point start = cove::now();
        CHECK_THROWS_AS(co_await cove::timeout(250ms, after(1h, 5)), cove::timed_out);
        CHECK_THROWS_AS(co_await cove::timeout(250ms, cove::sleep_for(1h)), cove::timed_out);
        CHECK(cove::now() - start >= 500ms);
        CHECK(cove::now() - start < 10s);
    };
    test::run(body());
}

TEST_CASE("timed_out is a system_error that says how long was waited") {
    const cove::timed_out error(1500ms);
    CHECK(error.code() == cove::errc::timed_out);
    CHECK(error.code() == std::errc::timed_out);
    CHECK(std::string(error.what()).find("1.5s") != std::string::npos);
}

TEST_CASE("move_on_after gives an optional: the result, or nothing when the time is over") {
    auto body = []() -> cove::task<> {
        CHECK(co_await cove::move_on_after(10s, after(1s, 5)) == std::optional<int>(5));
        CHECK_FALSE(co_await cove::move_on_after(1s, after(10s, 5)));
        CHECK(co_await cove::move_on_after(10s, cove::sleep_for(1s)));
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::sleep_for(10s)));
    };
    test::run(body());
}

TEST_CASE("an operation that finishes at once beats a limit that is over already") {
    auto body = []() -> cove::task<> {
        for (const cove::duration limit : {cove::duration::zero(), cove::duration(-1h), cove::duration::min()}) {
            CHECK(co_await cove::timeout(limit, at_once(5)) == 5);
            CHECK(co_await cove::move_on_after(limit, at_once(5)) == std::optional<int>(5));
        }
    };
    test::run(body());
}

TEST_CASE("an operation that has to wait loses against a limit that is over already") {
    auto body = []() -> cove::task<> {
        const cove::time_point start = cove::now();
        for (const cove::duration limit : {cove::duration::zero(), cove::duration(-1h)}) {
            CHECK_THROWS_AS(co_await cove::timeout(limit, after(1h, 5)), cove::timed_out);
            CHECK_FALSE(co_await cove::move_on_after(limit, after(1h, 5)));
        }
        CHECK(cove::now() - start < 10s);
    };
    test::run(body());
}

TEST_CASE("a limit as far in the past as can be counted is over already") {
    // In a child, because a sanitizer ends the process where arithmetic overflows.
    const test::child_end seen = test::in_child([] {
        auto body = []() -> cove::task<int> {
            const auto nothing = co_await cove::move_on_after(cove::duration::min(), after(1h, 5));
            co_return nothing.has_value() ? 1 : 0;
        };
        return test::run(body());
    });
    CAPTURE(seen.said);
    CHECK(seen.status == 0);
}

TEST_CASE("the largest limit of any type means for ever") {
    auto body = []() -> cove::task<> {
        CHECK(co_await cove::timeout(cove::duration::max(), after(24h, 1)) == 1);
        CHECK(co_await cove::timeout(std::chrono::hours::max(), after(24h, 2)) == 2);
        CHECK(co_await cove::timeout(std::chrono::duration<double>::max(), after(24h, 3)) == 3);
        CHECK(co_await cove::move_on_after(std::chrono::years(292), after(24h, 4)) == std::optional<int>(4));
    };
    test::run(body());
}

TEST_CASE("an exception of the operation passes through every limit") {
    auto body = []() -> cove::task<> {
        CHECK_THROWS_AS(co_await cove::timeout(1s, fails()), std::runtime_error);
        CHECK_THROWS_AS(co_await cove::move_on_after(1s, fails()), std::runtime_error);
        CHECK_THROWS_AS(co_await cove::shield(fails()), std::runtime_error);
        CHECK_THROWS_AS(co_await cove::timeout(1h, cove::timeout(1s, fails())), std::runtime_error);
    };
    test::run(body());
}

TEST_CASE("of nested limits the shorter one acts, and each answers for itself") {
    auto body = []() -> cove::task<> {
        CHECK_FALSE(co_await cove::move_on_after(1s, cove::timeout(10s, after(1h, 1))));
        CHECK_THROWS_AS(co_await cove::move_on_after(10s, cove::timeout(1s, after(1h, 1))), cove::timed_out);
        CHECK_THROWS_AS(co_await cove::timeout(1s, cove::move_on_after(10s, after(1h, 1))), cove::timed_out);
        const auto inner = co_await cove::timeout(10s, cove::move_on_after(1s, after(1h, 1)));
        CHECK_FALSE(inner.has_value());
    };
    test::run(body());
}

TEST_CASE("of nested limits that end at the same moment the outer one wins") {
    auto body = []() -> cove::task<> {
        auto both = [](cove::time_point end) -> cove::task<int> {
            cove::cancel_scope inner;
            inner.set_deadline(end);
            co_await inner.run(cove::sleep_for(1h));
            co_return 1;
        };
        cove::cancel_scope outer;
        const cove::time_point end = cove::now() + 1s;
        outer.set_deadline(end);
        CHECK_FALSE(co_await outer.run(both(end)));
    };
    test::run(body());
}

TEST_CASE("a limit is counted from the await, not from the making of the operation") {
    auto body = []() -> cove::task<> {
        auto limited = cove::timeout(10s, after(5s, 1));
        co_await cove::sleep_for(1min);
        CHECK(co_await limited == 1);
    };
    test::run(body());
}

TEST_CASE("canceled passes through a limit whose time is not over") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        cove::task_group group;
        group.spawn(cancel_after(1s, scope));
        bool went_on = false;
        auto inside = [&went_on]() -> cove::task<> {
            co_await cove::move_on_after(1h, cove::sleep_for(2h));
            went_on = true;
        };
        CHECK_FALSE(co_await scope.run(inside()));
        CHECK_FALSE(went_on);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("shield keeps cancellation off until the operation has ended, and no longer") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        int step = 0;
        auto inside = [&step]() -> cove::task<> {
            co_await cove::shield(cove::sleep_for(10s));
            step = 1;
            co_await cove::yield();
            step = 2;
        };
        cove::task_group group;
        group.spawn(cancel_after(1s, scope));
        const cove::time_point start = cove::now();
        CHECK_FALSE(co_await scope.run(inside()));
        CHECK(step == 1);
        CHECK(cove::now() - start >= 10s);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("clean-up under a bounded shield ends in its own time or is cut off") {
    auto body = []() -> cove::task<> {
        bool cleaned = false;
        CHECK(co_await cove::move_on_after(1s, cleans_up(5s, cleaned)));
        CHECK(cleaned);
        cleaned = false;
        CHECK_THROWS_AS(co_await cove::timeout(1s, cleans_up(1h, cleaned)), cove::timed_out);
        CHECK_FALSE(cleaned);
    };
    test::run(body());
}

TEST_CASE("a limit inside a shield counts although the scope around is canceled") {
    auto body = []() -> cove::task<> {
        auto inside = []() -> cove::task<int> {
            int timeouts = 0;
            try {
                co_await cove::shield(cove::timeout(1s, cove::sleep_for(1h)));
            } catch (const cove::timed_out&) {
                ++timeouts;
            }
            co_return timeouts;
        };
        cove::cancel_scope scope;
        scope.cancel();
        CHECK(co_await scope.run(inside()) == std::optional<int>(1));
    };
    test::run(body());
}

TEST_CASE("a frame that is destroyed inside limits takes their timers with it") {
    auto body = []() -> cove::task<> {
        auto limited = []() -> cove::task<> {
            co_await cove::timeout(1min, cove::shield(cove::move_on_after(2min, after(1h, 1))));
        };
        auto directly = []() -> cove::task<> { co_await cove::timeout(1min, cove::sleep_for(1h)); };
        for (int i = 0; i < 10; ++i) {
            cove::task_group group;
            for (int j = 0; j < 10; ++j) {
                group.spawn(limited());
                group.spawn(directly());
            }
            co_await cove::sleep_for(1s);
            CHECK(group.size() == 20);
        }
        co_await cove::sleep_for(2h);
    };
    test::run(body());
}

TEST_CASE(
    "a result that was handed over before the cancellation of the same turn passes through the limits around it") {
    auto body = []() -> cove::task<> {
        cove::wait_queue queue;
        cove::cancel_scope scope;
        auto wakes = [&]() -> cove::task<> {
            co_await cove::sleep_for(1s);
            queue.wake_one();
            scope.cancel();
        };
        cove::task_group group;
        group.spawn(wakes());
        CHECK(co_await cove::timeout(1h, scope.run(queue.wait())));
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("as_result turns timed_out into a value") {
    auto body = []() -> cove::task<> {
        const auto late = co_await cove::as_result(cove::timeout(1s, after(1h, 1)));
        CHECK(late.error() == cove::errc::timed_out);
        const auto in_time = co_await cove::as_result(cove::timeout(1h, after(1s, 1)));
        REQUIRE(in_time);
        CHECK(*in_time == 1);
    };
    test::run(body());
}

TEST_CASE("timeout_at and move_on_at end at a point in time, however often and late they are begun") {
    auto body = []() -> cove::task<> {
        const cove::time_point end = cove::now() + 1h;
        CHECK(co_await cove::timeout_at(end, after(10min, 5)) == 5);
        CHECK(co_await cove::move_on_at(end, after(10min, 6)) == std::optional<int>(6));
        CHECK(co_await cove::move_on_at(end, cove::sleep_for(10min)));
        CHECK(*co_await cove::timeout_at(end, owned()) == 3);
        CHECK_THROWS_AS(co_await cove::timeout_at(end, after(1h, 5)), cove::timed_out);
        CHECK(cove::now() >= end);
        CHECK(cove::now() < end + 1min);
        // From here on its time is over: what needs no wait is done, what has to wait is not.
        CHECK_FALSE(co_await cove::move_on_at(end, cove::sleep_for(1h)));
        CHECK_THROWS_AS(co_await cove::timeout_at(end, cove::sleep_for(1h)), cove::timed_out);
        CHECK(co_await cove::timeout_at(end, at_once(7)) == 7);
        CHECK(co_await cove::move_on_at(end, at_once(8)) == std::optional<int>(8));
        CHECK(cove::now() < end + 1min);
        co_await cove::sleep_for(1h);
    };
    test::run(body());
}

TEST_CASE("a deadline is counted from nothing: an operation that was made long before ends at it too") {
    auto body = []() -> cove::task<> {
        const cove::time_point end = cove::now() + 1h;
        auto limited = cove::move_on_at(end, cove::sleep_for(24h));
        co_await cove::sleep_for(50min);
        CHECK_FALSE(co_await limited);
        CHECK(cove::now() >= end);
        CHECK(cove::now() < end + 1min);
    };
    test::run(body());
}

TEST_CASE("the ends of time are deadlines like others") {
    auto body = []() -> cove::task<> {
        CHECK(co_await cove::timeout_at(cove::time_point::max(), after(24h, 1)) == 1);
        CHECK(co_await cove::move_on_at(cove::time_point::max(), cove::sleep_for(24h)));
        const cove::time_point start = cove::now();
        for (const cove::time_point past : {cove::time_point::min(), cove::time_point(), start}) {
            CHECK_FALSE(co_await cove::move_on_at(past, cove::sleep_for(1h)));
            std::string message;
            try {
                co_await cove::timeout_at(past, cove::sleep_for(1h));
            } catch (const cove::timed_out& error) {
                message = error.what();
            }
            CHECK(message.find("deadline") != std::string::npos);
        }
        CHECK(cove::now() < start + 1min);
    };
    test::run(body());
}

TEST_CASE("timed_out by a deadline says so, and is the same error") {
    const cove::timed_out error;
    CHECK(error.code() == cove::errc::timed_out);
    CHECK(std::string(error.what()).find("deadline") != std::string::npos);
}

TEST_CASE("of a deadline and a limit the earlier one acts, whichever is inside") {
    auto body = []() -> cove::task<> {
        const cove::time_point end = cove::now() + 1h;
        CHECK_FALSE(co_await cove::move_on_at(end, cove::timeout(2h, cove::sleep_for(24h))));
        const cove::time_point next = cove::now() + 1h;
        CHECK_THROWS_AS(co_await cove::move_on_at(next, cove::timeout(1min, cove::sleep_for(24h))), cove::timed_out);
        CHECK_THROWS_AS(co_await cove::timeout(1min, cove::move_on_at(next, cove::sleep_for(24h))), cove::timed_out);
        CHECK_FALSE(co_await cove::timeout(2h, cove::move_on_at(next, cove::sleep_for(24h))));
        CHECK(cove::now() >= next);
        CHECK(cove::now() < next + 1min);
    };
    test::run(body());
}

TEST_CASE("current_deadline is the earliest of those around, and as far away as can be where there is none") {
    auto body = []() -> cove::task<> {
        auto looks = []() -> cove::task<cove::time_point> { co_return cove::current_deadline(); };
        CHECK(cove::current_deadline() == cove::time_point::max());
        const cove::time_point end = cove::now() + 1h;
        CHECK(co_await cove::timeout_at(end, looks()) == end);
        CHECK(co_await cove::timeout_at(end + 1h, cove::timeout_at(end, looks())) == end);
        CHECK(co_await cove::timeout_at(end, cove::timeout_at(end + 1h, looks())) == end);
        CHECK(co_await cove::timeout_at(end, cove::timeout(cove::duration::max(), looks())) == end);
        const cove::time_point by_length = co_await cove::timeout(1h, looks());
        CHECK(by_length >= end);
        CHECK(by_length <= cove::now() + 1h);
        CHECK(cove::current_deadline() == cove::time_point::max());
    };
    test::run(body());
}

TEST_CASE("current_deadline in a canceled scope is long past, and behind a shield only what is inside counts") {
    auto body = []() -> cove::task<> {
        auto looks = []() -> cove::task<cove::time_point> { co_return cove::current_deadline(); };
        cove::cancel_scope scope;
        scope.cancel();
        CHECK(co_await scope.run(looks()) == std::optional(cove::time_point::min()));
        const cove::time_point end = cove::now() + 1h;
        CHECK(co_await scope.run(cove::timeout_at(end, looks())) == std::optional(cove::time_point::min()));
        CHECK(co_await scope.run(cove::shield(looks())) == std::optional(cove::time_point::max()));
        CHECK(co_await scope.run(cove::shield(cove::timeout_at(end, looks()))) == std::optional(end));
        CHECK(co_await cove::timeout_at(end, cove::shield(looks())) == cove::time_point::max());
        CHECK(co_await cove::timeout_at(end, cove::shield(cove::timeout_at(end + 1h, looks()))) == end + 1h);
    };
    test::run(body());
}

TEST_CASE("current_deadline is inherited by spawned tasks, and moves with the deadline of a scope around") {
    auto body = []() -> cove::task<> {
        const cove::time_point end = cove::now() + 1h;
        cove::time_point seen;
        auto spawns = [&]() -> cove::task<> {
            auto looks = [&]() -> cove::task<> {
                seen = cove::current_deadline();
                co_return;
            };
            cove::task_group group;
            group.spawn(looks);
            co_await group.join();
        };
        co_await cove::timeout_at(end, spawns());
        CHECK(seen == end);

        cove::cancel_scope scope;
        auto moves = [&]() -> cove::task<> {
            CHECK(cove::current_deadline() == cove::time_point::max());
            scope.set_deadline(end);
            CHECK(cove::current_deadline() == end);
            CHECK(scope.effective_deadline() == end);
            scope.set_deadline(end + 1h);
            CHECK(cove::current_deadline() == end + 1h);
            scope.cancel();
            CHECK(cove::current_deadline() == cove::time_point::min());
            co_return;
        };
        co_await scope.run(moves());
    };
    test::run(body());
}
