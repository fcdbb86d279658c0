// The promises of task<T>: lazy, awaited once, any result, and no use of stack however long or deep the awaiting goes.

#include <cove/runtime/task.hpp>

#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

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
