// A call on another thread comes back with what it gave, is not made or is waited for when nobody wants it any more, and
// is let go of only by those who asked for that.

#include <cove/runtime/offload.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/for_each_concurrent.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/result.hpp>
#include <cove/runtime/select.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/wait_queue.hpp>
#include <cove/runtime/when_all.hpp>

#include <doctest/doctest.h>
#include <support/threads.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

cove::thread_pool_options one_thread(std::size_t queue_max = 1024) {
    cove::thread_pool_options made;
    made.threads_max = 1;
    made.queue_max = queue_max;
    return made;
}

// A call that says when it begins and ends when it is let.
struct blocking_call {
    test::door begun;
    test::door door;
    std::atomic<bool> ended{false};

    int make() {
        begun.open();
        door.pass();
        ended.store(true);
        return 7;
    }
    cove::task<> has_begun() const {
        while (!begun.is_open()) co_await cove::yield();
    }
};

cove::task<> waits(cove::thread_pool& pool, blocking_call& call, std::optional<int>& result) {
    result = co_await cove::offload(pool, &blocking_call::make, &call);
}
cove::task<> may_abandon(cove::thread_pool& pool, blocking_call& call, std::optional<int>& result) {
    result = co_await cove::offload_or_abandon(pool, &blocking_call::make, &call);
}

}  // namespace

TEST_CASE("a call that comes back wakes the loop once") {
    cove::thread_pool pool(one_thread());
    auto body = [&pool]() -> cove::task<> {
        constexpr std::uint64_t count = 100;
        const cove::loop& here = cove::loop::current();
        const std::uint64_t before = here.counters().events;
        for (std::uint64_t i = 0; i < count; ++i) co_await cove::offload(pool, [] {});
        CHECK(here.counters().events - before <= count);
    };
    cove::run(body());
}

TEST_CASE("a call is made on another thread, and the coroutine goes on here with what it gave") {
    auto body = []() -> cove::task<> {
        const std::thread::id here = std::this_thread::get_id();
        auto where = [] { return std::this_thread::get_id(); };
        CHECK(co_await cove::offload(where) != here);
        CHECK(std::this_thread::get_id() == here);
        auto sum = [](int a, int b) { return a + b; };
        CHECK(co_await cove::offload(sum, 2, 3) == 5);
        int set = 0;
        auto sets = [](int& into) { into = 4; };
        co_await cove::offload(sets, std::ref(set));
        CHECK(set == 4);
        auto refers = [](int& to) -> int& { return to; };
        CHECK(&co_await cove::offload(refers, std::ref(set)) == &set);
        const std::string text = "five!";
        CHECK(co_await cove::offload(&std::string::size, text) == 5);
    };
    test::run_real(body());
}

TEST_CASE("functions, arguments and results that can only be moved are moved, and end with the await") {
    auto body = []() -> cove::task<> {
        auto alive = std::make_shared<int>(1);
        auto owned = std::make_unique<std::shared_ptr<int>>(alive);
        auto call = [kept = std::move(owned)](std::unique_ptr<int> added) {
            return std::make_unique<int>(**kept + *added);
        };
        auto argument = std::make_unique<int>(2);
        const std::unique_ptr<int> sum = co_await cove::offload(std::move(call), std::move(argument));
        CHECK(*sum == 3);
        CHECK(alive.use_count() == 1);
    };
    test::run_real(body());
}

TEST_CASE("what the call throws is thrown where it is awaited") {
    auto body = []() -> cove::task<> {
        auto fails = [](int number) -> int { throw std::out_of_range("number " + std::to_string(number)); };
        CHECK_THROWS_WITH_AS(co_await cove::offload(fails, 3), "number 3", std::out_of_range);
        auto fails_without_result = [] { throw 4; };
        CHECK_THROWS_AS(co_await cove::offload(fails_without_result), int);
        auto fails_by_errno = [] { throw std::system_error(ENOENT, std::generic_category()); };
        const auto result = co_await cove::as_result(cove::offload(fails_by_errno));
        CHECK(result.error() == std::errc::no_such_file_or_directory);
    };
    test::run_real(body());
}

TEST_CASE("what is canceled before a thread has begun it is not made, and is destroyed") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(one_thread());
        blocking_call first;
        std::optional<int> result;
        cove::task_group group;
        group.spawn(waits(pool, first, result));
        co_await first.has_begun();
        auto counted = std::make_shared<int>(0);
        auto counts = [counted] { ++*counted; };
        CHECK_FALSE(co_await cove::move_on_after(1ms, cove::offload(pool, counts)));
        CHECK_FALSE(co_await cove::move_on_after(1ms, cove::offload_or_abandon(pool, counts)));
        cove::cancel_scope canceled;
        canceled.cancel();
        CHECK_FALSE(co_await canceled.run(cove::offload(pool, counts)));
        first.door.open();
        co_await group.join();
        CHECK(result == 7);
        auto nothing = [] {};
        co_await cove::offload(pool, nothing);  // the one thread has nothing before this in its queue
        CHECK(*counted == 0);
        CHECK(counted.use_count() == 2);
    };
    test::run_real(body());
}

TEST_CASE("what is canceled while it runs is waited for, gives its result, and the next wait throws") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(one_thread());
        blocking_call call;
        std::optional<int> result;
        bool threw = false;
        auto waits_twice = [&]() -> cove::task<> {
            co_await waits(pool, call, result);
            try {
                co_await cove::yield();
            } catch (const cove::canceled&) {
                threw = true;
                throw;
            }
        };
        cove::task_group group;
        group.spawn(waits_twice());
        co_await call.has_begun();
        group.cancel();
        for (int i = 0; i < 10; ++i) co_await cove::yield();
        CHECK(group.size() == 1);
        CHECK_FALSE(result.has_value());
        call.door.open();
        co_await group.join();
        CHECK(result == 7);
        CHECK(threw);
    };
    test::run_real(body());
}

TEST_CASE("a time limit is too late for a call that runs") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(one_thread());
        blocking_call call;
        cove::task_group group;
        auto opens = [&]() -> cove::task<> {
            co_await call.has_begun();
            co_await cove::sleep_for(2ms);
            call.door.open();
        };
        group.spawn(opens());
        // It may be over before the thread has begun, but then the call was not made.
        std::optional<int> result;
        bool timed_out = false;
        try {
            result = co_await cove::timeout(1ms, cove::offload(pool, &blocking_call::make, &call));
        } catch (const cove::timed_out&) {
            timed_out = true;
        }
        CHECK(timed_out == !call.begun.is_open());
        CHECK(timed_out == !result.has_value());
        call.begun.open();
        co_await group.join();
    };
    test::run_real(body());
}

TEST_CASE("who may abandon a call goes on at once when canceled, while the call goes on too") {
    auto body = []() -> cove::task<> {
        blocking_call call;
        auto kept = std::make_shared<int>(7);
        {
            cove::thread_pool pool(one_thread());
            auto gives = [&call, kept] {
                call.make();
                return kept;  // dropped
            };
            bool timed_out = false;
            auto abandons = [&]() -> cove::task<> {
                try {
                    co_await cove::offload_or_abandon(pool, gives);
                } catch (const cove::canceled&) {
                    timed_out = true;
                    throw;
                }
            };
            cove::task_group group;
            group.spawn(abandons());
            co_await call.has_begun();
            group.cancel();
            co_await group.join();
            CHECK(timed_out);
            CHECK_FALSE(call.ended.load());
            call.door.open();
        }  // the pool waits for it
        CHECK(call.ended.load());
        while (kept.use_count() > 1) co_await cove::yield();
    };
    test::run_real(body());
}

TEST_CASE("a frame that is destroyed before its call has begun takes it along") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(one_thread());
        blocking_call first;
        std::optional<int> results[3];
        cove::task_group group;
        group.spawn(waits(pool, first, results[0]));
        co_await first.has_begun();
        blocking_call never;
        {
            cove::task_group left;
            left.spawn(waits(pool, never, results[1]));
            left.spawn(may_abandon(pool, never, results[2]));
            co_await cove::yield();
        }
        first.door.open();
        co_await group.join();
        auto nothing = [] {};
        co_await cove::offload(pool, nothing);
        CHECK_FALSE(never.begun.is_open());
    };
    test::run_real(body());
}

TEST_CASE("a frame that is destroyed while its call runs waits for its end, and for that of what it holds") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(one_thread());
        test::threads threads;
        blocking_call call;
        auto held = std::make_shared<int>(1);
        test::door left;
        auto owning = [&call, held](const std::shared_ptr<int>&) { call.make(); };
        auto waits_for = [&]() -> cove::task<> { co_await cove::offload(pool, std::move(owning), held); };
        {
            cove::task_group group;
            group.spawn(waits_for());
            co_await call.has_begun();
            threads.start([&] {
                left.pass();
                for (int i = 0; i < 100; ++i) std::this_thread::yield();
                call.door.open();
            });
            left.open();
        }
        CHECK(call.ended.load());
        CHECK(held.use_count() == 1);
        threads.join();
    };
    test::run_real(body());
}

TEST_CASE("a frame that is destroyed while a call that may be abandoned runs does not wait for it") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(one_thread());
        blocking_call call;
        std::optional<int> result;
        {
            cove::task_group group;
            group.spawn(may_abandon(pool, call, result));
            co_await call.has_begun();
        }
        CHECK_FALSE(call.ended.load());
        call.door.open();
    };
    test::run_real(body());
}

TEST_CASE("a call that the queue has no room for is refused with EAGAIN, and may be tried again") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(one_thread(0));
        blocking_call first;
        std::optional<int> result;
        cove::task_group group;
        group.spawn(waits(pool, first, result));
        co_await first.has_begun();
        auto three = [] { return 3; };
        const auto refused = co_await cove::as_result(cove::offload(pool, three));
        REQUIRE_FALSE(refused);
        CHECK(refused.error() == std::errc::resource_unavailable_try_again);
        CHECK_THROWS_WITH(co_await cove::offload(pool, three), doctest::Contains("offload"));
        auto again = cove::offload(pool, three);
        CHECK_THROWS_AS(co_await again, std::system_error);
        first.door.open();
        co_await group.join();
        std::optional<int> given;
        while (!given) {  // its thread has to become idle first
            try {
                given = co_await again;
            } catch (const std::system_error& error) {
                CHECK(error.code() == std::errc::resource_unavailable_try_again);
            }
            co_await cove::yield();
        }
        CHECK(given == 3);
    };
    test::run_real(body());
}

TEST_CASE("a call that is not awaited is not made") {
    auto counted = std::make_shared<int>(0);
    {
        auto counts = [counted] { ++*counted; };
        auto operation = cove::offload(counts);
        auto moved = std::move(operation);
        static_cast<void>(moved);
    }
    CHECK(*counted == 0);
    CHECK(counted.use_count() == 1);
    static_assert(!cove::detail::selectable<decltype(cove::offload(std::declval<int (*)()>()))>);
}

TEST_CASE("a loop that ends while an abandoned call runs leaves nothing behind") {
    blocking_call call;
    auto held = std::make_shared<int>(1);
    {
        cove::thread_pool pool(one_thread());
        auto body = [&]() -> cove::task<> {
            cove::task_group group;
            auto owning = [&call, held] { return call.make(); };
            auto abandons = [&]() -> cove::task<> { co_await cove::offload_or_abandon(pool, std::move(owning)); };
            group.spawn(abandons());
            co_await call.has_begun();
        };
        test::run_real(body());
        CHECK_FALSE(call.ended.load());
        call.door.open();
    }
    CHECK(call.ended.load());
    CHECK(held.use_count() == 1);
}

TEST_CASE("a loop may end at the moment at which a call comes back to it") {
    static constexpr int rounds = 4000 / test::scale;
    cove::thread_pool_options options;
    options.threads_max = 4;
    cove::thread_pool pool(options);
    std::atomic<int> made{0};
    test::threads threads;
    for (int i = 0; i < 3; ++i) {
        threads.start([&, i] {
            for (int round = 0; round < rounds; ++round) {
                auto body = [&]() -> cove::task<> {
                    auto counts = [&made] { ++made; };
                    cove::task_group group;
                    auto calls = [&]() -> cove::task<> {
                        if (i == 2)
                            co_await cove::offload_or_abandon(pool, counts);
                        else
                            co_await cove::offload(pool, counts);
                    };
                    group.spawn(calls());
                    if (i == 0) {
                        while (group.size() > 0) co_await cove::yield();
                    } else {
                        const int before = made.load();
                        for (int turn = 0; turn < 20 && made.load() == before; ++turn) co_await cove::yield();
                    }
                };
                test::run_real(body());
            }
        });
    }
    threads.join();
    CHECK(made.load() >= rounds);
}

TEST_CASE("a thousand calls at once all come back, each with its own result") {
    auto body = []() -> cove::task<> {
        auto squares = [](long number) { return number * number; };
        std::vector<long> results(1000, -1);
        auto calls = [&](std::size_t number) -> cove::task<> {
            results[number] = co_await cove::offload(squares, static_cast<long>(number));
        };
        cove::task_group group;
        for (std::size_t number = 0; number < results.size(); ++number) group.spawn(calls(number));
        co_await group.join();
        bool all_right = true;
        for (std::size_t number = 0; number < results.size(); ++number)
            all_right = all_right && results[number] == static_cast<long>(number * number);
        CHECK(all_right);
    };
    test::run_real(body());
}

TEST_CASE("calls that are canceled and destroyed at any moment are each made once or not at all") {
    static constexpr int rounds = 2000 / test::scale;
    auto body = []() -> cove::task<> {
        cove::thread_pool_options options;
        options.threads_max = 3;
        cove::thread_pool pool(options);
        std::vector<std::atomic<int>> made(static_cast<std::size_t>(rounds) * 3);
        int given = 0;
        auto call = [&made](std::size_t name) { return ++made[name]; };
        auto calls = [&](std::size_t name) -> cove::task<> { given += co_await cove::offload(pool, call, name); };
        auto abandons = [&](std::size_t name) -> cove::task<> {
            given += co_await cove::offload_or_abandon(pool, call, name);
        };
        for (std::size_t round = 0; round < static_cast<std::size_t>(rounds); ++round) {
            cove::task_group destroyed;
            destroyed.spawn(calls(3 * round));
            cove::task_group canceled;
            canceled.spawn(abandons(3 * round + 1));
            co_await cove::move_on_after(static_cast<long>(round % 50) * 1us, calls(3 * round + 2));
            canceled.cancel();
            co_await canceled.join();
        }
        int sum = 0;
        bool once = true;
        while (pool.threads() > 3) co_await cove::yield();
        for (const std::atomic<int>& each : made) {
            once = once && each.load() <= 1;
            sum += each.load();
        }
        CHECK(once);
        CHECK(given <= sum);
        CHECK(given > 0);
    };
    test::run_real(body());
}

TEST_CASE("for_each_concurrent makes so many calls at a time") {
    auto body = []() -> cove::task<> {
        std::atomic<int> inside{0};
        std::atomic<int> most{0};
        std::atomic<int> sum{0};
        auto call = [&](int number) {
            const int there = ++inside;
            int before = most.load();
            while (before < there && !most.compare_exchange_weak(before, there)) {
            }
            sum += number;
            --inside;
        };
        auto work = [&](int number) -> cove::task<> { co_await cove::offload(call, number); };
        std::vector<int> numbers(500);
        std::iota(numbers.begin(), numbers.end(), 1);
        co_await cove::for_each_concurrent(numbers, 4, work);
        CHECK(sum.load() == 500 * 501 / 2);
        CHECK(most.load() <= 4);
        auto fails = [](int number) {
            if (number == 3) throw std::runtime_error("three");
        };
        auto may_fail = [&](int number) -> cove::task<> { co_await cove::offload(fails, number); };
        CHECK_THROWS_WITH(co_await cove::for_each_concurrent(numbers, 2, may_fail), "three");
    };
    test::run_real(body());
}

TEST_CASE("calls that wait for one another run side by side") {
    auto body = []() -> cove::task<> {
        test::door first;
        test::door second;
        auto opens_and_passes = [](test::door* opened, test::door* passed) {
            opened->open();
            passed->pass();
            return 1;
        };
        const auto [a, b] = co_await cove::when_all(cove::offload(opens_and_passes, &first, &second),
                                                    cove::offload(opens_and_passes, &second, &first));
        CHECK(a + b == 2);
    };
    test::run_real(body());
}

TEST_CASE("the loop goes on while a call runs, and a stack names what is waited for") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(one_thread());
        blocking_call call;
        std::optional<int> result;
        cove::task_group group;
        group.spawn(waits(pool, call, result));
        co_await call.has_begun();
        const std::string text = cove::async_stacks();
        CAPTURE(text);
        CHECK(text.find("offload\n    at offload_test.cpp:") != std::string::npos);
        call.door.open();
        co_await group.join();
    };
    test::run_real(body());
}

TEST_CASE("a call that runs keeps its loop waiting, and brings a deadlock to light when it is over") {
    auto body = []() -> cove::task<> {
        cove::thread_pool pool(one_thread());
        cove::wait_queue nobody;
        bool called = false;
        auto call = [] {
            for (int i = 0; i < 100; ++i) std::this_thread::yield();
        };
        auto calls = [&]() -> cove::task<> {
            co_await cove::offload(pool, call);
            called = true;
            co_await nobody.wait();
        };
        cove::task_group group;
        group.spawn(calls());
        struct checks {
            bool& done;
            ~checks() { CHECK(done); }
        } const checked{called};
        co_await nobody.wait();
    };
    cove::run_options options;
    options.stop_on_signals = false;
    CHECK_THROWS_AS(cove::run(body(), options), cove::deadlock_error);
}
