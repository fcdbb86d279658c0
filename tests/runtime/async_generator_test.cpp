// A sequence is made as it is asked for, may wait on the way, and ends as a task would: by its end, an exception, a
// cancellation, or the end of its owner.

#include <cove/runtime/async_generator.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/channel.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/event.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/test_kernel.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

using numbers = std::vector<int>;

// Counts itself out when the frame that holds it goes.
struct tracer {
    explicit tracer(int& count) noexcept : ended(&count) {}
    tracer(const tracer&) = delete;
    tracer& operator=(const tracer&) = delete;
    ~tracer() { ++*ended; }
    int* ended;
};

cove::async_generator<int> counts(int end) {
    for (int i = 0; i < end; ++i) co_yield i;
}

cove::async_generator<int> counts_slowly(int end, int& ended) {
    const tracer held(ended);
    for (int i = 0; i < end; ++i) {
        co_await cove::sleep_for(1h);
        co_yield i;
    }
}

cove::async_generator<int> doubles(cove::async_generator<int> source) {
    while (const int* value = co_await source.next()) co_yield 2 * *value;
}

cove::async_generator<int> fails_after_two() {
    co_yield 1;
    co_await cove::sleep_for(1s);
    co_yield 2;
    co_await cove::sleep_for(1s);
    throw std::runtime_error("after two");
}

cove::task<numbers> collect(cove::async_generator<int> source) {
    numbers all;
    while (const int* value = co_await source.next()) all.push_back(*value);
    co_return all;
}

}  // namespace

TEST_CASE("a generator gives its values in order and then null, again and again") {
    auto body = []() -> cove::task<> {
        auto values = counts(3);
        for (int i = 0; i < 3; ++i) {
            const int* value = co_await values.next();
            REQUIRE(value != nullptr);
            CHECK(*value == i);
        }
        for (int i = 0; i < 3; ++i) CHECK(co_await values.next() == nullptr);
        auto none = counts(0);
        CHECK(co_await none.next() == nullptr);
    };
    test::run(body());
}

TEST_CASE("nothing of a generator runs before its first next(), and no more of it than was asked for") {
    auto body = []() -> cove::task<> {
        int steps = 0;
        auto steps_on = [&steps]() -> cove::async_generator<int> {
            for (;;) {
                ++steps;
                co_yield steps;
            }
        };
        {
            auto never_asked = steps_on();
            auto values = steps_on();
            co_await cove::sleep_for(1s);
            CHECK(steps == 0);
            co_await values.next();
            co_await cove::sleep_for(1s);
            CHECK(steps == 1);
            auto not_awaited = values.next();
            static_cast<void>(not_awaited);
            CHECK(steps == 1);
        }
        CHECK(steps == 1);
    };
    test::run(body());
}

TEST_CASE("the body may wait between its values, and may be made of other generators") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        const cove::time_point start = cove::now();
        const numbers all = co_await collect(doubles(doubles(counts_slowly(4, ended))));
        CHECK(all == numbers{0, 4, 8, 12});
        CHECK(cove::now() - start >= 4h);
        CHECK(cove::now() - start < 4h + 1min);
        CHECK(ended == 1);
    };
    test::run(body());
}

TEST_CASE("others run while a generator's body waits") {
    auto body = []() -> cove::task<> {
        cove::channel<int> items;
        auto received = [&items]() -> cove::async_generator<int> {
            while (const auto item = co_await items.receive()) co_yield *item;
        };
        cove::task_group group;
        auto sends = [&items]() -> cove::task<> {
            for (int i = 0; i < 100; ++i) co_await items.send(i);
            items.close();
        };
        group.spawn(sends);
        const numbers all = co_await collect(received());
        CHECK(all.size() == 100);
        CHECK(all.back() == 99);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("values that can only be moved may be moved from; lvalues and rvalues may be yielded") {
    auto owned = []() -> cove::async_generator<std::unique_ptr<int>> {
        co_yield std::make_unique<int>(1);
        auto named = std::make_unique<int>(2);
        co_yield named;
        CHECK(named == nullptr);  // the reader has taken it
        named = std::make_unique<int>(3);
        co_yield std::move(named);
    };
    auto body = [&owned]() -> cove::task<> {
        auto values = owned();
        for (int i = 1; i <= 3; ++i) {
            auto* value = co_await values.next();
            REQUIRE(value != nullptr);
            const std::unique_ptr<int> taken = std::move(*value);
            REQUIRE(taken);
            CHECK(*taken == i);
        }
        CHECK(co_await values.next() == nullptr);
    };
    test::run(body());
}

TEST_CASE("a yielded lvalue is the body's own object, and a temporary lives until the next value is asked for") {
    auto texts = [](int& ended) -> cove::async_generator<std::string> {
        std::string own = "a text that is too long for the small string buffer";
        co_yield own;
        CHECK(own == "changed by the reader");
        struct named : std::string {
            named(const char* text, int& count) : std::string(text), held(count) {}
            tracer held;
        };
        co_yield named("a temporary that is too long for the small string buffer", ended);
        CHECK(ended == 1);
        co_yield "made from a literal that is too long for the buffer";
    };
    auto body = [&texts]() -> cove::task<> {
        int ended = 0;
        auto values = texts(ended);
        std::string* value = co_await values.next();
        REQUIRE(value != nullptr);
        *value = "changed by the reader";
        value = co_await values.next();
        REQUIRE(value != nullptr);
        co_await cove::sleep_for(1s);
        CHECK(*value == "a temporary that is too long for the small string buffer");
        CHECK(ended == 0);
        value = co_await values.next();
        REQUIRE(value != nullptr);
        CHECK(*value == "made from a literal that is too long for the buffer");
        CHECK(co_await values.next() == nullptr);
    };
    test::run(body());
}

TEST_CASE("what is constant is copied, so that the reader may move from it") {
    auto texts = [](const std::string& text) -> cove::async_generator<std::string> {
        for (int i = 0; i < 2; ++i) co_yield text;
    };
    auto body = [&texts]() -> cove::task<> {
        const std::string text = "a text that is too long for the small string buffer";
        auto values = texts(text);
        for (int i = 0; i < 2; ++i) {
            std::string* value = co_await values.next();
            REQUIRE(value != nullptr);
            const std::string taken = std::move(*value);
            CHECK(taken == text);
        }
        CHECK(co_await values.next() == nullptr);
        CHECK(text.size() == 51);
    };
    test::run(body());
}

TEST_CASE("a generator of what is const yields const objects where they stand") {
    auto constants = []() -> cove::async_generator<const std::string> {
        const std::string own = "constant";
        co_yield own;
        co_yield std::string("temporary");
    };
    auto body = [&constants]() -> cove::task<> {
        auto values = constants();
        const std::string* value = co_await values.next();
        REQUIRE(value != nullptr);
        CHECK(*value == "constant");
        value = co_await values.next();
        REQUIRE(value != nullptr);
        CHECK(*value == "temporary");
    };
    test::run(body());
}

TEST_CASE("what the body throws next() throws once, and then the sequence has ended") {
    auto body = []() -> cove::task<> {
        auto values = fails_after_two();
        CHECK(*co_await values.next() == 1);
        CHECK(*co_await values.next() == 2);
        CHECK_THROWS_WITH(co_await values.next(), "after two");
        CHECK(co_await values.next() == nullptr);
        CHECK(co_await values.next() == nullptr);
        CHECK_THROWS_WITH(co_await collect(doubles(fails_after_two())), "after two");
    };
    test::run(body());
}

TEST_CASE("cancellation reaches what the body awaits, and ends the sequence") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        auto values = counts_slowly(10, ended);
        CHECK(co_await values.next() != nullptr);
        cove::cancel_scope scope;
        cove::task_group group;
        auto cancels = [&scope]() -> cove::task<> {
            co_await cove::sleep_for(1min);
            scope.cancel();
        };
        group.spawn(cancels);
        const cove::time_point start = cove::now();
        CHECK_FALSE(co_await scope.run(values.next()));
        CHECK(cove::now() - start < 2min);
        CHECK(ended == 1);
        CHECK(co_await values.next() == nullptr);
        co_await group.join();
    };
    test::run(body());
}

TEST_CASE("in a canceled scope the body runs up to its first wait") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        cove::cancel_scope scope;
        scope.cancel();
        auto quick = counts(2);
        CHECK(**co_await scope.run(quick.next()) == 0);
        auto slow = counts_slowly(2, ended);
        CHECK_FALSE(co_await scope.run(slow.next()));
        CHECK(ended == 1);
        CHECK(*co_await quick.next() == 1);  // outside the scope it goes on as ever
    };
    test::run(body());
}

TEST_CASE("each next() can be limited in time, and a body that catches `canceled` goes on after it") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        auto values = counts_slowly(10, ended);
        CHECK(*co_await cove::timeout(2h, values.next()) == 0);
        CHECK(**co_await cove::move_on_after(2h, values.next()) == 1);
        CHECK_THROWS_AS(co_await cove::timeout(1min, values.next()), cove::timed_out);
        CHECK(ended == 1);
        CHECK(co_await cove::timeout(1h, values.next()) == nullptr);

        auto persistent = []() -> cove::async_generator<int> {
            for (int interruptions = 0;;) {
                try {
                    co_await cove::sleep_for(1h);
                } catch (const cove::canceled&) {
                    ++interruptions;
                }
                co_yield interruptions;
            }
        };
        auto goes_on = persistent();
        CHECK(**co_await cove::move_on_after(1min, goes_on.next()) == 1);
        CHECK(**co_await cove::move_on_after(2h, goes_on.next()) == 1);
        CHECK(**co_await cove::move_on_after(1min, goes_on.next()) == 2);
        co_await cove::sleep_for(24h);
        CHECK(*co_await goes_on.next() == 2);
    };
    test::run(body());
}

TEST_CASE("a generator that is destroyed between two values destroys its body there") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        {
            auto values = doubles(counts_slowly(10, ended));
            CHECK(*co_await values.next() == 0);
            CHECK(*co_await values.next() == 2);
            CHECK(ended == 0);
        }
        CHECK(ended == 1);
        auto replaced = counts_slowly(10, ended);
        CHECK(*co_await replaced.next() == 0);
        replaced = counts(5);
        CHECK(ended == 2);
        CHECK(*co_await replaced.next() == 0);
        auto moved = std::move(replaced);
        CHECK(*co_await moved.next() == 1);
    };
    test::run(body());
}

TEST_CASE("a frame that is destroyed while it waits for a value takes its generator along") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        auto reads = [&ended]() -> cove::task<> {
            auto values = doubles(counts_slowly(10, ended));
            while (co_await cove::timeout(2h, values.next()) != nullptr) {
            }
        };
        {
            cove::task_group group;
            group.spawn(reads);
            group.spawn(reads);
            co_await cove::sleep_for(90min);
            CHECK(ended == 0);
        }
        CHECK(ended == 2);
        co_await cove::sleep_for(24h);
    };
    test::run(body());
}

TEST_CASE("a generator that outlives the frame that waited for a value has ended, wherever it was moved meanwhile") {
    auto body = []() -> cove::task<> {
        for (const bool is_moved : {false, true}) {
            CAPTURE(is_moved);
            int ended = 0;
            auto values = doubles(counts_slowly(10, ended));
            CHECK(*co_await values.next() == 0);
            std::optional<cove::async_generator<int>> moved;
            auto reads = [&values]() -> cove::task<> {
                co_await cove::timeout(2h, values.next());
                FAIL("it waits for longer than it lives");
            };
            {
                cove::task_group group;
                group.spawn(reads);
                co_await cove::sleep_for(1min);
                if (is_moved) moved.emplace(std::move(values));
                CHECK(ended == 0);
            }
            CHECK(ended == 1);
            co_await cove::sleep_for(24h);
            auto& left = is_moved ? *moved : values;
            CHECK(co_await left.next() == nullptr);
            CHECK(co_await left.next() == nullptr);
            auto moved_on = std::move(left);
            CHECK(co_await moved_on.next() == nullptr);
        }
    };
    test::run(body());
}

TEST_CASE("a generator may be destroyed while somebody waits for its next value, if nobody waits on") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        auto values = std::make_unique<cove::async_generator<int>>(counts_slowly(10, ended));
        {
            cove::task_group group;
            auto reads = [&values]() -> cove::task<> { co_await values->next(); };
            group.spawn(reads);
            co_await cove::sleep_for(1min);
            values.reset();
            CHECK(ended == 1);
        }
        co_await cove::sleep_for(24h);
    };
    test::run(body());
}

TEST_CASE("a group that the body makes lives across its values and ends with it") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        int turns = 0;
        auto in_the_background = [&]() -> cove::task<> {
            const tracer held(ended);
            for (;;) {
                co_await cove::sleep_for(1min);
                ++turns;
            }
        };
        auto with_a_group = [&]() -> cove::async_generator<int> {
            cove::task_group group;
            group.spawn(in_the_background());
            for (;;) {
                co_await cove::sleep_for(1h);
                co_yield turns;
            }
        };
        {
            auto values = with_a_group();
            // In a scope that is gone when the group's task goes on.
            CHECK(**co_await cove::move_on_after(2h, values.next()) >= 59);
            co_await cove::sleep_for(1h);
            CHECK(turns >= 118);
            CHECK(*co_await values.next() >= 177);
            CHECK(ended == 0);
        }
        CHECK(ended == 1);
    };
    test::run(body());
}

TEST_CASE("a million values that need no wait use no stack and allocate nothing") {
    auto body = []() -> cove::task<> {
        auto values = doubles(counts(1'000'000));
        co_await values.next();
        const long before = test::allocations();
        long sum = 0;
        while (const int* value = co_await values.next()) sum += *value;
        if (test::counts_allocations) CHECK(test::allocations() == before);
        CHECK(sum == 999'999'000'000);
    };
    test::run(body());
}

TEST_CASE("a stack goes from what the body waits for through the generators to the reader") {
    auto body = []() -> cove::task<> {
        int ended = 0;
        cove::task_group group;
        auto reads = [&ended]() -> cove::task<> {
            const numbers all = co_await collect(doubles(counts_slowly(1, ended)));
            CHECK(all == numbers{0});
        };
        group.spawn(reads);
        co_await cove::yield();
        const std::string text = cove::async_stacks();
        CAPTURE(text);
        const std::size_t wait = text.find("sleep, ");
        const std::size_t inner = text.find("counts_slowly\n");
        const std::size_t middle = text.find("doubles\n");
        const std::size_t outer = text.find("collect\n");
        REQUIRE(outer != std::string::npos);
        CHECK(wait < inner);
        CHECK(inner < middle);
        CHECK(middle < outer);
        co_await group.join();
    };
    test::run(body());
}
