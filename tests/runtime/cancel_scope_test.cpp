// The one rule of cancellation, seen from every side: what waits in a canceled scope throws, now and later, and what
// has finished keeps its result.

#include <cove/runtime/cancel_scope.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <cerrno>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

using namespace std::chrono_literals;

namespace {

cove::task<int> after(cove::duration length, int value) {
    co_await cove::sleep_for(length);
    co_return value;
}

cove::task<> sleeps_long() { co_await cove::sleep_for(1h); }

cove::task<int> at_once(int value) { co_return value; }

cove::task<> cancel_after(cove::duration length, cove::cancel_scope& scope) {
    co_await cove::sleep_for(length);
    scope.cancel();
}

// Waits in a canceled scope as often as it is told to, and counts the refusals.
cove::task<int> stubborn(int waits) {
    int refused = 0;
    for (int i = 0; i < waits; ++i) {
        try {
            co_await cove::sleep_for(1h);
        } catch (const cove::canceled&) {
            ++refused;
        }
    }
    co_return refused;
}

cove::task<std::optional<int>> run_in(cove::cancel_scope& scope, cove::duration length) {
    co_return co_await scope.run(after(length, 1));
}

cove::task<> wait_in(cove::wait_queue& queue) { co_await queue.wait(); }

// Sleeps until it is canceled, and notes why.
cove::task<> notes(std::string& reason) {
    try {
        co_await cove::sleep_for(24h);
    } catch (const cove::canceled& end) {
        reason = end.what();
        throw;
    }
}

std::string at(int line) { return " at cancel_scope_test.cpp:" + std::to_string(line); }

}  // namespace

static_assert(!std::is_base_of_v<std::exception, cove::canceled>);

TEST_CASE("run gives the operation's result where nobody cancels") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        CHECK(co_await scope.run(after(1s, 5)) == std::optional<int>(5));
        CHECK(co_await scope.run(cove::sleep_for(1s)));
        CHECK_FALSE(scope.is_canceled());
    };
    test::run(body());
}

TEST_CASE("a canceled scope is left at once and without a result") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        cove::task_group group;
        group.spawn(cancel_after(1s, scope));
        const cove::time_point start = cove::now();
        CHECK_FALSE(co_await scope.run(after(1h, 5)));
        CHECK(cove::now() - start < 1min);
        CHECK(scope.is_canceled());
        co_await cove::sleep_for(1s);  // outside the scope waiting goes on as ever
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("every later wait in a canceled scope throws too") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        cove::task_group group;
        group.spawn(cancel_after(1s, scope));
        const std::optional<int> refused = co_await scope.run(stubborn(1000));
        CHECK(refused == 1000);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("an operation awaited in a scope that was canceled before does nothing") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        scope.cancel();
        CHECK(scope.is_canceled());
        CHECK_FALSE(co_await scope.run(cove::yield()));
        CHECK_FALSE(co_await scope.run(after(1h, 5)));
    };
    test::run(body());
}

TEST_CASE("a task that needs no wait finishes in a canceled scope too") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        scope.cancel();
        CHECK(co_await scope.run(at_once(5)) == std::optional<int>(5));
    };
    test::run(body());
}

TEST_CASE("a result that was there before the cancellation is delivered") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        cove::wait_queue queue;
        auto wakes_and_cancels = [&scope, &queue]() -> cove::task<> {
            queue.wake_one();
            scope.cancel();
            co_return;
        };
        cove::task_group group;
        group.spawn(wakes_and_cancels());
        CHECK(co_await scope.run(queue.wait()));
        CHECK(scope.is_canceled());
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("canceling an inner scope leaves the outer one alone") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope outer;
        auto inside = []() -> cove::task<int> {
            cove::cancel_scope inner;
            cove::task_group group;
            group.spawn(cancel_after(1s, inner));
            CHECK_FALSE(co_await inner.run(after(1h, 1)));
            co_await group.join();
            co_return 7;
        };
        CHECK(co_await outer.run(inside()) == std::optional<int>(7));
        CHECK_FALSE(outer.is_canceled());
    };
    test::run(body());
}

TEST_CASE("canceling an outer scope ends what waits in the inner one, which does not swallow it") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope outer;
        bool passed_inner = false;
        auto inside = [&passed_inner]() -> cove::task<> {
            cove::cancel_scope inner;
            co_await inner.run(cove::sleep_for(1h));
            passed_inner = true;
        };
        cove::task_group group;
        group.spawn(cancel_after(1s, outer));
        CHECK_FALSE(co_await outer.run(inside()));
        CHECK_FALSE(passed_inner);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("where a scope and one around it are canceled in the same turn the outer one wins, whatever the order") {
    for (const bool inner_first : {true, false}) {
        CAPTURE(inner_first);
        auto body = [inner_first]() -> cove::task<> {
            cove::cancel_scope outer;
            cove::cancel_scope inner;
            bool passed_inner = false;
            auto inside = [&]() -> cove::task<> {
                co_await inner.run(cove::sleep_for(1h));
                passed_inner = true;
            };
            auto cancels_both = [&]() -> cove::task<> {
                co_await cove::sleep_for(1s);
                (inner_first ? inner : outer).cancel();
                (inner_first ? outer : inner).cancel();
            };
            cove::task_group group;
            group.spawn(cancels_both());
            CHECK_FALSE(co_await outer.run(inside()));
            CHECK_FALSE(passed_inner);
            co_await group.join();
        };
        test::run(body());
    }
}

TEST_CASE("a deadline counts whether it is set before the scope is entered or after") {
    auto body = []() -> cove::task<> {
        const cove::time_point start = cove::now();
        cove::cancel_scope before;
        before.set_deadline(start + 10s);
        CHECK_FALSE(co_await before.run(cove::sleep_for(1h)));
        CHECK(before.reason().to_string().find("deadline") != std::string::npos);
        CHECK(cove::now() - start >= 10s);
        CHECK(cove::now() - start < 11s);

        cove::cancel_scope later;
        auto sets = [](cove::cancel_scope& scope, cove::time_point deadline) -> cove::task<> {
            scope.set_deadline(deadline);
            co_await cove::sleep_for(1h);
        };
        CHECK_FALSE(co_await later.run(sets(later, start + 20s)));
        CHECK(cove::now() - start >= 20s);
        CHECK(cove::now() - start < 21s);
    };
    test::run(body());
}

TEST_CASE("a later deadline replaces an earlier one, in both directions and for ever") {
    auto body = []() -> cove::task<> {
        auto sets_again = [](cove::cancel_scope& scope, cove::time_point deadline) -> cove::task<> {
            scope.set_deadline(deadline);
            co_await cove::sleep_for(1h);
        };
        const cove::time_point start = cove::now();
        cove::cancel_scope prolonged;
        prolonged.set_deadline(start + 1s);
        CHECK_FALSE(co_await prolonged.run(sets_again(prolonged, start + 1min)));
        CHECK(cove::now() - start >= 1min);

        cove::cancel_scope shortened;
        shortened.set_deadline(start + 24h);
        CHECK_FALSE(co_await shortened.run(sets_again(shortened, start + 2min)));
        CHECK(cove::now() - start < 3min);

        cove::cancel_scope lifted;
        lifted.set_deadline(cove::now() + 1s);
        CHECK(co_await lifted.run(sets_again(lifted, cove::time_point::max())));
        CHECK_FALSE(lifted.is_canceled());
    };
    test::run(body());
}

TEST_CASE("a scope whose deadline was lifted does not hide a deadlock") {
    auto body = []() -> cove::task<> {
        auto lifts_and_waits = [](cove::cancel_scope& scope) -> cove::task<> {
            scope.set_deadline(cove::time_point::max());
            cove::wait_queue nobody;
            co_await nobody.wait();
        };
        cove::cancel_scope scope;
        scope.set_deadline(cove::now() + 1h);
        co_await scope.run(lifts_and_waits(scope));
    };
    test::test_kernel os;
    // Any wait would be one without end, and hang the test.
    os.fault = [](std::string_view call, int) -> std::optional<long> {
        if (call == "wait") return -ENOMEM;
        return {};
    };
    CHECK_THROWS_AS(test::run(body(), os), cove::deadlock_error);
}

TEST_CASE("a deadline that passed after the operation had ended cancels nothing") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        scope.set_deadline(cove::now() + 10s);
        CHECK(co_await scope.run(after(1s, 5)) == std::optional<int>(5));
        co_await cove::sleep_for(1min);
        CHECK_FALSE(scope.is_canceled());
    };
    test::run(body());
}

TEST_CASE("a scope can be used again, and stays canceled once it was") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        for (int i = 0; i < 3; ++i) CHECK(co_await scope.run(after(1s, i)) == std::optional<int>(i));
        scope.cancel();
        scope.cancel();
        for (int i = 0; i < 3; ++i) CHECK_FALSE(co_await scope.run(after(1s, i)));
    };
    test::run(body());
}

TEST_CASE("a scope that was only canceled from outside is as good as new outside") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope outer;
        cove::cancel_scope inner;
        cove::task_group group;
        group.spawn(cancel_after(1s, outer));
        CHECK_FALSE(co_await outer.run(run_in(inner, 1h)));
        CHECK(co_await inner.run(after(1s, 3)) == std::optional<int>(3));
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a scope can be canceled by what runs in it") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        auto suicidal = [](cove::cancel_scope& own) -> cove::task<int> {
            own.cancel();
            co_await cove::yield();
            co_return 1;
        };
        CHECK_FALSE(co_await scope.run(suicidal(scope)));
    };
    test::run(body());
}

TEST_CASE("an exception of the operation passes through its scope") {
    auto body = []() -> cove::task<> {
        auto throws = []() -> cove::task<> {
            co_await cove::yield();
            throw 5;
        };
        cove::cancel_scope scope;
        CHECK_THROWS_AS(co_await scope.run(throws()), int);
        CHECK(co_await scope.run(after(1s, 1)) == std::optional<int>(1));
    };
    test::run(body());
}

TEST_CASE("canceling reaches the bottom of a hundred thousand nested scopes and uses no stack") {
    auto body = []() -> cove::task<> {
        struct holder {
            cove::cancel_scope scope;
        };
        std::deque<holder> nested;
        cove::cancel_scope top;
        cove::cancel_scope* inner = &top;
        top.enter(cove::current_scope());
        for (int i = 0; i < 100'000; ++i) {
            nested.emplace_back();
            nested.back().scope.enter(*inner);
            inner = &nested.back().scope;
        }
        cove::task_group at_the_bottom(*inner);
        at_the_bottom.spawn(sleeps_long());
        co_await cove::yield();
        top.cancel();
        for (const holder& each : nested) REQUIRE(each.scope.is_canceled());
        co_await at_the_bottom.join();
        while (!nested.empty()) nested.pop_back();
    };
    test::run(body());
}

TEST_CASE("a group made in a scope that it outlives belongs to the scope around from then on") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope outer;
        auto inside = []() -> cove::task<int> {
            cove::wait_queue queue;
            std::unique_ptr<cove::task_group> group;
            auto makes_group = [&]() -> cove::task<> {
                group = std::make_unique<cove::task_group>();
                group->spawn(wait_in(queue));
                co_await cove::yield();
            };
            cove::cancel_scope short_lived;
            co_await short_lived.run(makes_group());
            short_lived.cancel();
            co_await cove::yield();
            CHECK(group->size() == 1);
            co_await group->join();
            co_return 1;
        };
        cove::task_group group;
        group.spawn(cancel_after(1s, outer));
        CHECK_FALSE(co_await outer.run(inside()));
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("a group made under a shield that it outlives is canceled with the scope around") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope outer;
        bool ended = false;
        auto inside = [&ended]() -> cove::task<> {
            std::unique_ptr<cove::task_group> group;
            auto makes_group = [&group]() -> cove::task<> {
                group = std::make_unique<cove::task_group>();
                co_await cove::yield();
            };
            co_await cove::shield(makes_group());
            auto waits = [&ended]() -> cove::task<> {
                bool was_canceled = false;
                try {
                    co_await cove::sleep_for(1h);
                } catch (const cove::canceled&) {
                    was_canceled = true;
                }
                ended = was_canceled;
            };
            group->spawn(waits());
            co_await group->join();
        };
        outer.cancel();
        co_await outer.run(inside());
        CHECK(ended);
    };
    test::run(body());
}

TEST_CASE("current_scope is the scope of the running coroutine") {
    auto body = []() -> cove::task<> {
        auto looks = []() -> cove::task<cove::cancel_scope*> { co_return &cove::current_scope(); };
        cove::cancel_scope scope;
        const auto inside = co_await scope.run(looks());
        CHECK(inside == &scope);
        CHECK(&cove::current_scope() != &scope);
    };
    test::run(body());
}

TEST_CASE("for_each_waiter visits all that waits below a scope and nothing beside it") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        cove::wait_queue queue;
        auto inside = [&queue]() -> cove::task<> {
            cove::task_group group;
            for (int i = 0; i < 3; ++i) group.spawn(wait_in(queue));
            co_await group.join();
        };
        auto run_inside = [&]() -> cove::task<> { co_await scope.run(inside()); };
        cove::task_group group;
        group.spawn(run_inside());
        group.spawn(wait_in(queue));
        co_await cove::sleep_for(1s);
        int waiters = 0;
        scope.for_each_waiter([&waiters](const cove::waiter&) { ++waiters; });
        CHECK(waiters == 4);  // three children and the join
        queue.wake_all();
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("effective_deadline of a scope is the earlier one of its own and those around it, while it is inside") {
    auto body = []() -> cove::task<> {
        const cove::time_point end = cove::now() + 1h;
        cove::cancel_scope outer;
        cove::cancel_scope inner;
        CHECK(inner.effective_deadline() == cove::time_point::max());
        inner.set_deadline(end + 1h);
        CHECK(inner.effective_deadline() == end + 1h);
        outer.set_deadline(end);
        auto looks = [&]() -> cove::task<> {
            CHECK(inner.effective_deadline() == end);
            outer.set_deadline(end + 2h);
            CHECK(inner.effective_deadline() == end + 1h);
            outer.cancel();
            CHECK(inner.effective_deadline() == cove::time_point::min());
            CHECK(outer.effective_deadline() == cove::time_point::min());
            co_return;
        };
        auto in_inner = [&]() -> cove::task<> { co_await inner.run(looks()); };
        co_await outer.run(in_inner());
    };
    test::run(body());
}

TEST_CASE("`canceled` says who canceled, with which limit, and where") {
    auto body = []() -> cove::task<> {
        std::string reason;
        int line = __LINE__ + 1;
        CHECK_THROWS_AS(co_await cove::timeout(5s, notes(reason)), cove::timed_out);
        CHECK(reason == "canceled by timeout(5s)" + at(line));
        line = __LINE__ + 1;
        CHECK_FALSE(co_await cove::move_on_after(1500ms, notes(reason)));
        CHECK(reason == "canceled by move_on_after(1.5s)" + at(line));
        const cove::time_point end = cove::now() + 1s;
        line = __LINE__ + 1;
        CHECK_FALSE(co_await cove::move_on_at(end, notes(reason)));
        CHECK(reason == "canceled by move_on_at" + at(line));
        line = __LINE__ + 1;
        CHECK_THROWS_AS(co_await cove::timeout_at(end, notes(reason)), cove::timed_out);
        CHECK(reason == "canceled by timeout_at" + at(line));

        cove::cancel_scope with_deadline;
        line = __LINE__ + 1;
        with_deadline.set_deadline(cove::now() + 1s);
        CHECK_FALSE(co_await with_deadline.run(notes(reason)));
        CHECK(reason == "canceled by deadline" + at(line));
        cove::cancel_scope scope;
        line = __LINE__ + 1;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(notes(reason)));
        CHECK(reason == "canceled by cancel()" + at(line));
        cove::cancel_scope named;
        line = __LINE__ + 1;
        named.cancel("the moon");
        CHECK_FALSE(co_await named.run(notes(reason)));
        CHECK(reason == "canceled by the moon" + at(line));
    };
    test::run(body());
}

TEST_CASE("a reason without a place or a name says what it knows") {
    CHECK(cove::canceled().what() == "canceled by its own code");
    CHECK(cove::cancel_reason{"SIGINT", {}, {}}.to_string() == "canceled by SIGINT");
    CHECK(cove::cancel_reason{"timeout", 250ms, {}}.to_string() == "canceled by timeout(250ms)");
    CHECK(cove::cancel_reason{"timeout", 90s, {}}.to_string() == "canceled by timeout(90s)");
    CHECK(cove::cancel_reason{"timeout", 3us, {}}.to_string() == "canceled by timeout(3us)");
    CHECK(cove::cancel_reason{"timeout", 7ns, {}}.to_string() == "canceled by timeout(7ns)");
}

TEST_CASE(
    "of several cancellations of a scope the first gives the reason, and of nested scopes the outermost canceled") {
    auto body = []() -> cove::task<> {
        std::string reason;
        cove::cancel_scope twice;
        twice.set_deadline(cove::now() + 1s, "too late");
        twice.cancel("first");
        twice.cancel("second");
        twice.set_deadline(cove::now(), "third");
        CHECK_FALSE(co_await twice.run(notes(reason)));
        CHECK(reason.starts_with("canceled by first at"));

        for (const bool inner_first : {true, false}) {
            CAPTURE(inner_first);
            cove::cancel_scope around;  // never canceled
            cove::cancel_scope outer;
            cove::cancel_scope inner;
            auto in_inner = [&]() -> cove::task<> { co_await inner.run(notes(reason)); };
            auto in_outer = [&]() -> cove::task<> { co_await outer.run(in_inner()); };
            auto cancels = [&]() -> cove::task<> {
                co_await cove::sleep_for(1s);
                if (inner_first) inner.cancel("inner");
                outer.cancel("outer");
                inner.cancel("inner");
                CHECK(outer.reason().to_string().starts_with("canceled by outer at"));
                CHECK(inner.reason().to_string().starts_with("canceled by outer at"));
            };
            cove::task_group group;
            group.spawn(cancels);
            co_await around.run(in_outer());
            CHECK(reason.starts_with("canceled by outer at"));
            co_await group.join();
        }
    };
    test::run(body());
}

TEST_CASE(
    "every later wait in a canceled scope gives the reason again, that of a scope around once it is canceled too") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope outer;
        cove::cancel_scope inner;
        std::string first;
        std::string second;
        std::string third;
        auto waits_again = [&]() -> cove::task<> {
            for (std::string* each : {&first, &second, &third}) {
                try {
                    co_await notes(*each);
                } catch (const cove::canceled&) {
                }
                if (each == &second) outer.cancel("outer");
            }
        };
        auto in_inner = [&]() -> cove::task<> { co_await inner.run(waits_again()); };
        inner.cancel("inner");
        co_await outer.run(in_inner());
        CHECK(first.starts_with("canceled by inner at"));
        CHECK(second == first);
        CHECK(third.starts_with("canceled by outer at"));
    };
    test::run(body());
}

TEST_CASE("a group tells its tasks that it was canceled, or which one's failure has ended them") {
    auto body = []() -> cove::task<> {
        std::string reason;
        {
            cove::task_group group;
            group.spawn(notes(reason));
            co_await cove::yield();
            const int line = __LINE__ + 1;
            group.cancel();
            co_await group.join();
            CHECK(reason == "canceled by task_group::cancel()" + at(line));
        }
        {
            auto fails = []() -> cove::task<> {
                co_await cove::sleep_for(1s);
                throw std::runtime_error("on purpose");
            };
            cove::task_group group;
            group.spawn(notes(reason));
            const int line = __LINE__ + 1;
            group.spawn(fails);
            CHECK_THROWS_WITH(co_await group.join(), "on purpose");
            CHECK(reason == "canceled by the failure of a task spawned" + at(line));
        }
        {
            std::string of_join;
            auto has_a_group = [&]() -> cove::task<> {
                cove::task_group group;
                group.spawn(notes(reason));
                try {
                    co_await group.join();
                } catch (const cove::canceled& end) {
                    of_join = end.what();
                    throw;
                }
            };
            const int line = __LINE__ + 1;
            CHECK_FALSE(co_await cove::move_on_after(1s, has_a_group()));
            CHECK(reason == "canceled by move_on_after(1s)" + at(line));
            CHECK(of_join == reason);
        }
    };
    test::run(body());
}

TEST_CASE("stacks say why what still waits in a canceled scope is on its way out, and why a shielded one cleans up") {
    auto body = []() -> cove::task<> {
        cove::cancel_scope scope;
        auto cleans_up = []() -> cove::task<> {
            bool interrupted = false;
            try {
                co_await cove::sleep_for(24h);
            } catch (const cove::canceled&) {
                interrupted = true;
            }
            if (interrupted) co_await cove::shield(cove::timeout(10s, cove::sleep_for(5s)));
        };
        cove::wait_queue other("another one");
        cove::task_group others;
        others.spawn(wait_in(other));
        cove::task_group group;
        auto limited = [&]() -> cove::task<> { co_await cove::move_on_after(1s, scope.run(cleans_up())); };
        group.spawn(limited);
        co_await cove::yield();
        CHECK(cove::async_stacks().find("canceled") == std::string::npos);
        const int line = __LINE__ + 1;
        scope.cancel("cancel()");
        CHECK(cove::async_stacks().find("ms left, canceled by cancel()" + at(line) + "\n") != std::string::npos);
        co_await cove::sleep_for(500ms);
        std::string text = cove::async_stacks();
        CAPTURE(text);
        CHECK(text.find("ms left, canceled by cancel()" + at(line) + "\n") != std::string::npos);
        co_await cove::sleep_for(1s);
        text = cove::async_stacks();
        CHECK(text.find("ms left, canceled by move_on_after(1s) at cancel_scope_test.cpp:") != std::string::npos);
        CHECK(text.find("another one\n") != std::string::npos);
        co_await group.join();
        other.wake_all();
        co_await others.join();
    };
    test::run(body());
}

TEST_CASE("behind a shield a limit inside gives the reason, whatever was canceled around it") {
    auto body = []() -> cove::task<> {
        std::string reason;
        cove::cancel_scope scope;
        scope.cancel("around");
        auto inside = [&]() -> cove::task<> { co_await cove::shield(cove::move_on_after(1s, notes(reason))); };
        co_await scope.run(inside());
        CHECK(reason.starts_with("canceled by move_on_after(1s) at"));
    };
    test::run(body());
}
