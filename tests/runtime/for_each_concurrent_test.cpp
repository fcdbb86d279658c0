// Work on many things, so many at a time: the limit is held and reached, the order kept, and after a failure or a
// cancellation nothing is begun any more.

#include <cove/runtime/for_each_concurrent.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/event.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <forward_list>
#include <memory>
#include <numeric>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

using numbers = std::vector<int>;

numbers first_numbers(int count) {
    numbers all(static_cast<std::size_t>(count));
    std::iota(all.begin(), all.end(), 0);
    return all;
}

// Which elements were begun, and how many at a time.
struct record {
    numbers begun;
    numbers ended;
    std::size_t running = 0;
    std::size_t running_max = 0;
};

struct presence {
    explicit presence(record& where) : log(where) { log.running_max = std::max(log.running_max, ++log.running); }
    presence(const presence&) = delete;
    presence& operator=(const presence&) = delete;
    ~presence() { --log.running; }
    record& log;
};

cove::task<> work(record& log, int element, cove::duration length) {
    const presence here(log);
    log.begun.push_back(element);
    if (length > cove::duration::zero()) co_await cove::sleep_for(length);
    log.ended.push_back(element);
}

}  // namespace

TEST_CASE("each element is worked on once, begun in order, and as many at a time as the limit allows") {
    for (const std::size_t limit : {1U, 2U, 3U, 7U, 100U, 1000U}) {
        CAPTURE(limit);
        auto body = [limit]() -> cove::task<> {
            record log;
            // Of different lengths, so that places become free out of order.
            auto each = [&log](int element) { return work(log, element, std::chrono::seconds(1 + element * 7 % 5)); };
            co_await cove::for_each_concurrent(first_numbers(100), limit, each);
            CHECK(log.begun == first_numbers(100));
            CHECK(log.ended.size() == 100);
            CHECK(log.running == 0);
            CHECK(log.running_max == std::min<std::size_t>(limit, 100));
        };
        test::run(body());
    }
}

TEST_CASE("the limit is reached although the first elements need no time") {
    auto body = []() -> cove::task<> {
        record log;
        auto each = [&log](int element) { return work(log, element, element < 10 ? 0s : 1h); };
        co_await cove::for_each_concurrent(first_numbers(30), 5, each);
        CHECK(log.running_max == 5);
        CHECK(log.begun == first_numbers(30));
    };
    test::run(body());
}

TEST_CASE("work on many elements takes the time that its limit makes it take") {
    auto body = []() -> cove::task<> {
        record log;
        auto each = [&log](int element) { return work(log, element, 1h); };
        const cove::time_point start = cove::now();
        co_await cove::for_each_concurrent(first_numbers(10), 4, each);
        CHECK(cove::now() - start >= 3h);
        CHECK(cove::now() - start < 3h + 1min);
    };
    test::run(body());
}

TEST_CASE("of an empty range nothing is begun, in a canceled scope neither") {
    auto body = []() -> cove::task<> {
        record log;
        auto each = [&log](int element) { return work(log, element, 1h); };
        co_await cove::for_each_concurrent(numbers(), 3, each);
        cove::cancel_scope scope;
        scope.cancel();
        CHECK(co_await scope.run(cove::for_each_concurrent(numbers(), 3, each)));
        CHECK(log.begun.empty());
    };
    test::run(body());
}

TEST_CASE("elements of a span stay where they are, and can be changed there") {
    auto body = []() -> cove::task<> {
        std::vector<std::unique_ptr<int>> owned;
        for (int i = 0; i < 5; ++i) owned.push_back(std::make_unique<int>(i));
        auto doubles = [](std::unique_ptr<int>& element) -> cove::task<> {
            co_await cove::sleep_for(1s);
            *element *= 2;
        };
        co_await cove::for_each_concurrent(std::span(owned), 2, doubles);
        for (int i = 0; i < 5; ++i) CHECK(*owned[static_cast<std::size_t>(i)] == 2 * i);
        // A range that owns its elements is moved in, and lives until the last one has been worked on.
        int sum = 0;
        auto adds = [&sum](const std::unique_ptr<int>& element) -> cove::task<> {
            co_await cove::sleep_for(1s);
            sum += *element;
        };
        co_await cove::for_each_concurrent(std::move(owned), 2, adds);
        CHECK(sum == 20);
    };
    test::run(body());
}

TEST_CASE("lists, and views that make their elements on the way, are worked through as well") {
    auto body = []() -> cove::task<> {
        record log;
        auto each = [&log](int element) { return work(log, element, 1s); };
        std::forward_list<int> list{0, 1, 2};
        co_await cove::for_each_concurrent(std::move(list), 2, each);
        co_await cove::for_each_concurrent(std::views::iota(3, 6), 2, each);
        CHECK(log.begun == first_numbers(6));
        std::string all;
        auto joins = [&all](const std::string& element) -> cove::task<> {
            co_await cove::sleep_for(1s);
            all += element;
        };
        auto spelled = [](int element) { return "the number " + std::to_string(element) + ", spelled out; "; };
        co_await cove::for_each_concurrent(std::views::iota(1, 4) | std::views::transform(spelled), 3, joins);
        CHECK(all == "the number 1, spelled out; the number 2, spelled out; the number 3, spelled out; ");
    };
    test::run(body());
}

TEST_CASE("a failure is thrown once those that run have been canceled, and no further element is begun") {
    auto body = []() -> cove::task<> {
        record log;
        int cleaned = 0;
        auto each = [&](int element) -> cove::task<> {
            const presence here(log);
            log.begun.push_back(element);
            if (element == 4) {
                co_await cove::sleep_for(1s);
                throw std::runtime_error("of the fifth");
            }
            bool interrupted = false;
            try {
                co_await cove::sleep_for(element < 2 ? 100ms : 1h);
            } catch (const cove::canceled&) {
                interrupted = true;
            }
            // It ends as if nothing had been, after its clean-up.
            if (interrupted) co_await cove::shield(cove::sleep_for(1min));
            if (interrupted) ++cleaned;
        };
        const cove::time_point start = cove::now();
        CHECK_THROWS_WITH(co_await cove::for_each_concurrent(first_numbers(100), 3, each), "of the fifth");
        CHECK(log.begun == first_numbers(5));
        CHECK(cleaned == 2);
        CHECK(cove::now() - start >= 1min);
        CHECK(cove::now() - start < 10min);
    };
    test::run(body());
}

TEST_CASE("where the first element fails at once no other is begun") {
    auto body = []() -> cove::task<> {
        numbers begun;
        auto each = [&begun](int element) -> cove::task<> {
            begun.push_back(element);
            throw std::runtime_error("at once");
            co_return;
        };
        CHECK_THROWS_WITH(co_await cove::for_each_concurrent(first_numbers(10), 4, each), "at once");
        CHECK(begun == numbers{0});
        begun.clear();
        auto refuses = [&begun](int element) -> cove::task<> {
            begun.push_back(element);
            throw std::runtime_error("no task at all");
        };
        CHECK_THROWS_WITH(co_await cove::for_each_concurrent(first_numbers(10), 4, refuses), "no task at all");
        CHECK(begun == numbers{0});
    };
    test::run(body());
}

TEST_CASE("cancellation reaches all that run, and no further element is begun") {
    auto body = []() -> cove::task<> {
        record log;
        auto each = [&log](int element) { return work(log, element, 1h); };
        CHECK_FALSE(co_await cove::move_on_after(1min, cove::for_each_concurrent(first_numbers(10), 3, each)));
        CHECK(log.begun == first_numbers(3));
        CHECK(log.running == 0);

        record stubborn;
        auto ignores = [&stubborn](int element) -> cove::task<> {
            const presence here(stubborn);
            stubborn.begun.push_back(element);
            try {
                co_await cove::sleep_for(1h);
            } catch (const cove::canceled&) {
            }
        };
        CHECK_FALSE(co_await cove::move_on_after(1min, cove::for_each_concurrent(first_numbers(10), 3, ignores)));
        CHECK(stubborn.begun == first_numbers(3));
    };
    test::run(body());
}

TEST_CASE("in a canceled scope nothing is begun, and it does not look as if all had been done") {
    auto body = []() -> cove::task<> {
        record log;
        auto each = [&log](int element) { return work(log, element, 0s); };
        cove::cancel_scope scope;
        scope.cancel();
        CHECK_FALSE(co_await scope.run(cove::for_each_concurrent(first_numbers(10), 3, each)));
        CHECK(log.begun.empty());
    };
    test::run(body());
}

TEST_CASE("what has worked on its last element is done, though it was canceled meanwhile") {
    auto body = []() -> cove::task<> {
        numbers done;
        cove::cancel_scope scope;
        auto each = [&](int element) -> cove::task<> {
            co_await cove::sleep_for(1s);
            done.push_back(element);
            if (element == 9) scope.cancel();
        };
        CHECK(co_await scope.run(cove::for_each_concurrent(first_numbers(10), 1, each)));
        CHECK(done == first_numbers(10));
    };
    test::run(body());
}

TEST_CASE("what is destroyed in the middle takes its work along") {
    auto body = []() -> cove::task<> {
        record log;
        cove::event never;
        auto each = [&](int element) -> cove::task<> {
            const presence here(log);
            log.begun.push_back(element);
            co_await never.wait();
        };
        {
            cove::task_group group;
            group.spawn(cove::for_each_concurrent(first_numbers(10), 3, each));
            co_await cove::sleep_for(1s);
            CHECK(log.running == 3);
        }
        CHECK(log.running == 0);
        never.set();
        co_await cove::sleep_for(1s);
        CHECK(log.begun == first_numbers(3));
    };
    test::run(body());
}
