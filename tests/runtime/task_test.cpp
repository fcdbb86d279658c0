// The promises of task<T>: lazy, awaited once, any result, and a few calls' stack however long or deep the awaiting goes.

#include <cove/runtime/task.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/race.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/when_all.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

struct failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Counts itself out when the frame that holds it goes.
struct tracer {
    explicit tracer(int& ended) noexcept : ended_(&ended) {}
    tracer(const tracer&) = delete;
    tracer& operator=(const tracer&) = delete;
    ~tracer() { ++*ended_; }

private:
    int* ended_;
};

cove::task<> nothing() { co_return; }
cove::task<int> number(int value) { co_return value; }
cove::task<std::string> text(const char* value) { co_return std::string(value); }
cove::task<int&> reference(int& target) { co_return target; }
cove::task<std::unique_ptr<int>> owned(int value) { co_return std::make_unique<int>(value); }

cove::task<> fails(const char* why) {
    co_await cove::yield();
    throw failure(why);
}

cove::task<> sets(bool& ran) {
    ran = true;
    co_return;
}

cove::task<> sets_held(std::shared_ptr<bool> ran) {
    *ran = true;
    co_return;
}

cove::task<> holds(int& ended) {
    const tracer held(ended);
    co_await cove::sleep_for(1h);
}

cove::task<> adds_up(int count, long& sum) {
    for (int i = 0; i < count; ++i) sum += co_await number(1);
}

// Suspends at the bottom, so that the chain comes back from the loop rather than from the call that built it.
cove::task<int> chain(int depth, int& ended) {
    const tracer held(ended);
    if (depth == 0) {
        co_await cove::sleep_for(1s);
        co_return 0;
    }
    co_return 1 + co_await chain(depth - 1, ended);
}

cove::task<int> failing_chain(int depth, int& ended) {
    const tracer held(ended);
    if (depth == 0) {
        co_await cove::yield();
        throw failure("from the bottom");
    }
    co_return 1 + co_await failing_chain(depth - 1, ended);
}

// Keeps the reports about tasks that were never awaited, for as long as it exists.
struct report_catcher {
    report_catcher() noexcept : before(cove::set_unawaited_handler(keep)) { reports.clear(); }
    report_catcher(const report_catcher&) = delete;
    report_catcher& operator=(const report_catcher&) = delete;
    ~report_catcher() { cove::set_unawaited_handler(before); }

    static void keep(const char* report) { reports.emplace_back(report); }
    static inline std::vector<std::string> reports;
    cove::unawaited_handler before;
};

cove::task<> discards(int depth, int& ended) { co_await chain(depth, ended); }

}  // namespace

TEST_CASE("a task gives what it returns: nothing, a value, a reference, something that can only be moved") {
    auto body = []() -> cove::task<> {
        co_await nothing();
        CHECK(co_await number(7) == 7);
        CHECK(co_await text("a text that is too long for the small string buffer") ==
              "a text that is too long for the small string buffer");
        int target = 1;
        int& given = co_await reference(target);
        CHECK(&given == &target);
        const std::unique_ptr<int> pointer = co_await owned(9);
        REQUIRE(pointer);
        CHECK(*pointer == 9);
    };
    test::run(body());
}

TEST_CASE("a result needs neither a default constructor nor an assignment") {
    struct rigid {
        explicit rigid(int v) : value(v) {}
        rigid(rigid&&) noexcept = default;
        rigid& operator=(rigid&&) = delete;
        const int value;
    };
    struct maker {
        static cove::task<rigid> make(int value) { co_return rigid(value); }
    };
    auto body = []() -> cove::task<int> {
        const rigid made = co_await maker::make(5);
        co_return made.value;
    };
    CHECK(test::run(body()) == 5);
}

TEST_CASE("a result of the largest alignment there is stands as it should") {
    struct alignas(16) wide {
        long number;
    };
    struct maker {
        static cove::task<wide> make(long number) {
            co_await cove::yield();
            co_return wide{number};
        }
    };
    auto body = []() -> cove::task<> {
        auto made = maker::make(5);
        wide result = co_await made;
        CHECK(reinterpret_cast<std::uintptr_t>(&result) % 16 == 0);
        CHECK(result.number == 5);
    };
    test::run(body());
}

TEST_CASE("a result that nobody takes is destroyed with its task") {
    auto ended = std::make_shared<int>(0);
    struct maker {
        static cove::task<std::shared_ptr<int>> make(std::shared_ptr<int> value) { co_return value; }
        static cove::task<> run(std::shared_ptr<int> value) { co_await make(std::move(value)); }
    };
    test::run(maker::run(ended));
    CHECK(ended.use_count() == 1);
}

TEST_CASE("an exception passes through every task between its throw and its handler") {
    auto middle = []() -> cove::task<int> {
        co_await fails("on purpose");
        co_return 1;
    };
    auto body = [&middle]() -> cove::task<std::string> {
        try {
            co_await middle();
        } catch (const failure& caught) {
            co_return caught.what();
        }
        co_return "no exception";
    };
    CHECK(test::run(body()) == "on purpose");
}

TEST_CASE("an exception of a result's constructor is the task's exception") {
    struct refuses {
        explicit refuses(int) {}
        refuses(refuses&&) { throw failure("cannot be moved"); }
    };
    auto make = []() -> cove::task<refuses> { co_return refuses(1); };
    auto body = [&make]() -> cove::task<bool> {
        try {
            co_await make();
        } catch (const failure&) {
            co_return true;
        }
        co_return false;
    };
    CHECK(test::run(body()));
}

TEST_CASE("nothing of a task runs before it is awaited") {
    auto body = []() -> cove::task<> {
        bool ran = false;
        cove::task<> lazy = sets(ran);
        co_await cove::sleep_for(1s);
        CHECK_FALSE(ran);
        co_await lazy;
        CHECK(ran);
    };
    test::run(body());
}

TEST_CASE("a task can be awaited where it stands as well as out of the hands of its maker") {
    auto body = []() -> cove::task<> {
        auto named = owned(3);
        CHECK(*co_await named == 3);
        auto moved = owned(4);
        CHECK(*co_await std::move(moved) == 4);
    };
    test::run(body());
}

TEST_CASE("a task that is never awaited is destroyed without having run, and its parameters with it") {
    const report_catcher quiet;
    const auto held = std::make_shared<bool>(false);
    {
        auto dropped = sets_held(held);
        CHECK(held.use_count() == 2);
        auto replaced = sets_held(held);
        CHECK(held.use_count() == 3);
        replaced = std::move(dropped);
        CHECK(held.use_count() == 2);
        const auto moved = std::move(replaced);
        CHECK(held.use_count() == 2);
    }
    CHECK(held.use_count() == 1);
    CHECK_FALSE(*held);
}

TEST_CASE("a suspended task is destroyed with the frame that awaits it, and what it waits for is withdrawn") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        {
            cove::task_group group;
            group.spawn(holds(ended));
            co_await cove::yield();
            CHECK(ended == 0);
        }
        CHECK(ended == 1);
        // Its timer would fire into freed memory if it were still set.
        co_await cove::sleep_for(2h);
    };
    test::run(body());
}

TEST_CASE("ten million tasks awaited in a row use no stack and no memory") {
    long sum = 0;
    test::run(adds_up(10'000'000, sum));
    CHECK(sum == 10'000'000);
}

TEST_CASE("a chain of ten thousand tasks suspends at its bottom and comes back") {
    int ended = 0;
    CHECK(test::run(chain(10'000, ended)) == 10'000);
    CHECK(ended == 10'001);
}

TEST_CASE("an exception comes up a chain of ten thousand tasks") {
    int ended = 0;
    CHECK_THROWS_AS(test::run(failing_chain(10'000, ended)), failure);
    CHECK(ended == 10'001);
}

TEST_CASE("a chain of ten thousand tasks is destroyed while it is suspended") {
    int ended = 0;
    auto body = [&ended]() -> cove::task<> {
        cove::task_group group;
        group.spawn(discards(10'000, ended));
        co_await cove::yield();
        CHECK(ended == 0);
    };
    test::run(body());
    CHECK(ended == 10'001);
}

TEST_CASE("a chain of tasks that have not suspended comes back from any depth") {
    struct maker {
        static cove::task<int> down(int depth) {
            if (depth == 0) co_return 0;
            co_return 1 + co_await down(depth - 1);
        }
    };
    CHECK(test::run(maker::down(300'000)) == 300'000);
}

#ifndef NDEBUG

TEST_CASE("a task that is never awaited is reported, with its place and that after which it was dropped") {
    report_catcher seen;
    const int line = __LINE__ + 1;
    auto forgotten = []() -> cove::task<> { co_return; };
    { const auto outside = forgotten(); }
    REQUIRE(seen.reports.size() == 1);
    CAPTURE(seen.reports[0]);
    CHECK(seen.reports[0].find("never awaited: task_test.cpp:" + std::to_string(line)) != std::string::npos);
    CHECK(seen.reports[0].find("dropped") == std::string::npos);

    int line_before = 0;
    auto body = [&]() -> cove::task<> {
        line_before = __LINE__ + 1;
        co_await cove::yield();
        static_cast<void>(number(1));
    };
    test::run(body());
    REQUIRE(seen.reports.size() == 2);
    CAPTURE(seen.reports[1]);
    CHECK(seen.reports[1].find("number") != std::string::npos);
    CHECK(seen.reports[1].find("dropped after task_test.cpp:" + std::to_string(line_before)) != std::string::npos);
}

TEST_CASE("what is dropped inside an operation that nobody awaits, or by an assignment, is reported") {
    report_catcher seen;
    { const auto limited = cove::timeout(1s, number(1)); }
    CHECK(seen.reports.size() == 1);
    { const auto both = cove::when_all(number(1), number(2)); }
    CHECK(seen.reports.size() == 2);  // that of when_all itself, which takes the others along
    auto replaced = number(1);
    replaced = number(2);
    CHECK(seen.reports.size() == 3);
    auto body = [&replaced]() -> cove::task<> { CHECK(co_await replaced == 2); };
    test::run(body());
    CHECK(seen.reports.size() == 3);
}

TEST_CASE("what was awaited, however it ended and however often it was moved before, is not reported") {
    report_catcher seen;
    auto body = []() -> cove::task<> {
        co_await nothing();
        auto first = number(3);
        auto second = std::move(first);
        auto third = cove::timeout(1h, std::move(second));
        auto fourth = std::move(third);
        CHECK(co_await fourth == 3);
        CHECK_THROWS_AS(co_await fails("on purpose"), failure);
        int ended = 0;
        CHECK_FALSE(co_await cove::move_on_after(1s, holds(ended)));
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(holds(ended)));
        CHECK(ended == 2);
        co_await cove::race(number(1), holds(ended), number(2));
        co_await cove::when_all(number(1), nothing());
        const auto given = co_await cove::as_result(number(4));
        CHECK(*given == 4);
        {
            cove::task_group group;  // destroyed while its task waits
            group.spawn(holds(ended));
            co_await cove::yield();
        }
    };
    test::run(body());
    for (const std::string& report : seen.reports) FAIL_CHECK(report);
}

TEST_CASE("what was spawned into a group that is destroyed before it began is not reported") {
    report_catcher seen;
    auto body = []() -> cove::task<> {
        {
            cove::task_group group;
            group.spawn(number(1));
            group.spawn([] { return number(2); });
            group.spawn(cove::when_all(number(4), number(5)));
        }
        co_await cove::yield();
    };
    test::run(body());
    for (const std::string& report : seen.reports) FAIL_CHECK(report);
}

TEST_CASE("what is dropped because an exception passes, or with the frame that owns it, is not reported") {
    report_catcher seen;
    auto drops_by_throw = []() -> cove::task<> {
        const auto not_yet = number(1);
        co_await fails("on purpose");
        co_await nothing();
    };
    auto waits_before = []() -> cove::task<> {
        auto later = number(1);
        co_await cove::sleep_for(1h);
        co_await later;
    };
    auto body = [&]() -> cove::task<> {
        CHECK_THROWS_AS(co_await drops_by_throw(), failure);
        CHECK_FALSE(co_await cove::move_on_after(1s, waits_before()));  // `canceled` passes
        cove::task_group group;
        group.spawn(waits_before);
        co_await cove::sleep_for(1s);  // the group is destroyed with its frame
    };
    test::run(body());
    for (const std::string& report : seen.reports) FAIL_CHECK(report);
}

TEST_CASE("a report in one place does not silence the next, and the handler that was set before comes back") {
    report_catcher outer;
    {
        report_catcher inner;
        const bool gave_back = inner.before == &report_catcher::keep;
        CHECK(gave_back);
        static_cast<void>(number(1));
        static_cast<void>(number(2));
        CHECK(inner.reports.size() == 2);
    }
    static_cast<void>(number(3));
    CHECK(outer.reports.size() == 3);
}

#endif
