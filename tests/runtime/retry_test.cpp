// What fails is tried again, as often as was said, after pauses that are known to the nanosecond where chance has no
// part.

#include <cove/runtime/retry.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <vector>

using namespace std::chrono_literals;

namespace {

[[noreturn]] void fail(std::errc code) { throw std::system_error(std::make_error_code(code)); }

bool is_refused(std::error_code error) { return error == std::errc::connection_refused; }

// Pauses without chance, long enough that the real time of a test does not show.
cove::retry_options exact() {
    cove::retry_options options;
    options.first_pause = 1h;
    options.pause_max = 5h;
    options.jitter = 0;
    return options;
}

cove::duration pause_with(std::uint64_t chance, const cove::retry_options& options) {
    test::test_kernel os;
    os.fixed_random = chance;
    auto body = [&options]() -> cove::task<cove::duration> { co_return cove::pause_after(1, options); };
    return test::run(body(), os);
}

}  // namespace

TEST_CASE("what succeeds is tried once and gives its result") {
    auto body = []() -> cove::task<> {
        int attempts = 0;
        auto counts = [&attempts]() -> cove::task<int> { co_return ++attempts; };
        CHECK(co_await cove::retry(counts) == 1);
        auto owns = []() -> cove::task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); };
        CHECK(*co_await cove::retry(owns) == 5);
        auto nothing = [&attempts]() -> cove::task<> {
            ++attempts;
            co_return;
        };
        co_await cove::retry(nothing);
        CHECK(attempts == 2);
    };
    test::run(body());
}

TEST_CASE("without jitter the pauses grow by the factor up to the longest") {
    const cove::retry_options options = exact();
    const std::vector<cove::duration> expected{1h, 2h, 4h, 5h, 5h};
    for (unsigned attempt = 1; attempt <= 5; ++attempt)
        CHECK(cove::pause_after(attempt, options) == expected[attempt - 1]);

    auto body = [&]() -> cove::task<> {
        std::vector<cove::time_point> attempts;
        auto fails_five_times = [&]() -> cove::task<int> {
            attempts.push_back(cove::now());
            if (attempts.size() <= 5) fail(std::errc::connection_refused);
            co_return 7;
        };
        cove::retry_options six = options;
        six.attempts_max = 6;
        CHECK(co_await cove::retry(fails_five_times, six) == 7);
        REQUIRE(attempts.size() == 6);
        for (std::size_t i = 0; i < 5; ++i) {
            CHECK(attempts[i + 1] - attempts[i] >= expected[i]);
            CHECK(attempts[i + 1] - attempts[i] < expected[i] + 1min);
        }
    };
    test::run(body());
}

TEST_CASE("a factor of one keeps the pauses even, and a smaller one does not make them shorter") {
    cove::retry_options options = exact();
    for (const double factor : {1.0, 0.5, 0.0, -3.0}) {
        options.factor = factor;
        for (const unsigned attempt : {1U, 2U, 100U}) CHECK(cove::pause_after(attempt, options) == 1h);
    }
    options.factor = 1.5;
    CHECK(cove::pause_after(3, options) == 2h + 15min);
    options.pause_max = 30min;
    CHECK(cove::pause_after(1, options) == 30min);
}

TEST_CASE("chance shortens a pause by no more than the jitter, and never makes it longer") {
    constexpr std::uint64_t least = 0;
    constexpr std::uint64_t middle = std::uint64_t{1} << 63;
    constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    cove::retry_options options = exact();
    for (const std::uint64_t chance : {least, middle, most}) CHECK(pause_with(chance, options) == 1h);
    options.jitter = 0.5;
    CHECK(pause_with(least, options) == 1h);
    CHECK(pause_with(middle, options) == 45min);
    CHECK(pause_with(most, options) >= 30min);
    CHECK(pause_with(most, options) < 30min + 1ms);
    for (const double all : {1.0, 7.0}) {
        options.jitter = all;
        CHECK(pause_with(least, options) == 1h);
        CHECK(pause_with(middle, options) == 30min);
        CHECK(pause_with(most, options) >= 0s);
        CHECK(pause_with(most, options) < 1ms);
    }
    options.jitter = -1;
    CHECK(pause_with(most, options) == 1h);
}

TEST_CASE("those who failed together come back at different times") {
    test::test_kernel os;
    auto body = []() -> cove::task<> {
        const cove::retry_options options;
        const cove::duration first = cove::pause_after(3, options);
        bool differ = false;
        for (int i = 0; i < 100; ++i) {
            const cove::duration other = cove::pause_after(3, options);
            CHECK(other > 200ms - 1us);
            CHECK(other <= 400ms);
            differ = differ || other != first;
        }
        CHECK(differ);
        co_return;
    };
    test::run(body(), os);
}

TEST_CASE("pauses without bounds neither overflow nor vanish") {
    cove::retry_options options = exact();
    options.pause_max = cove::duration::max();
    cove::duration before = cove::duration::zero();
    for (unsigned attempt = 1; attempt < 3000; ++attempt) {
        const cove::duration pause = cove::pause_after(attempt, options);
        REQUIRE(pause >= before);
        before = pause;
    }
    CHECK(before > 24h * 365 * 200);
    options.first_pause = cove::duration::max();
    CHECK(cove::pause_after(1, options) > 24h * 365 * 200);
    for (const cove::duration none : {cove::duration::zero(), cove::duration(-1h)}) {
        options.first_pause = none;
        for (const unsigned attempt : {1U, 2U, 5000U, std::numeric_limits<unsigned>::max()})
            CHECK(cove::pause_after(attempt, options) == 0s);
    }
}

TEST_CASE("after the last attempt its error is thrown, at once") {
    auto body = []() -> cove::task<> {
        for (const unsigned attempts_max : {0U, 1U, 3U}) {
            CAPTURE(attempts_max);
            int attempts = 0;
            auto fails = [&attempts]() -> cove::task<> {
                ++attempts;
                fail(attempts == 3 ? std::errc::timed_out : std::errc::connection_refused);
                co_return;
            };
            cove::retry_options options = exact();
            options.attempts_max = attempts_max;
            const cove::time_point start = cove::now();
            std::error_code code;
            try {
                co_await cove::retry(fails, options);
            } catch (const std::system_error& error) {
                code = error.code();
            }
            CHECK(attempts == (attempts_max == 3 ? 3 : 1));
            CHECK(code == (attempts_max == 3 ? std::errc::timed_out : std::errc::connection_refused));
            CHECK(cove::now() - start < (attempts_max == 3 ? 3h + 1min : 1min));
        }
    };
    test::run(body());
}

TEST_CASE("what is no system_error, or not worth another attempt, is thrown at once") {
    auto body = []() -> cove::task<> {
        int attempts = 0;
        const cove::time_point start = cove::now();
        auto breaks = [&attempts]() -> cove::task<> {
            ++attempts;
            throw std::runtime_error("a mistake");
            co_return;
        };
        CHECK_THROWS_WITH(co_await cove::retry(breaks, exact()), "a mistake");
        CHECK(attempts == 1);

        attempts = 0;
        cove::retry_options options = exact();
        options.retriable = is_refused;
        auto fails_otherwise = [&attempts]() -> cove::task<> {
            fail(++attempts < 3 ? std::errc::connection_refused : std::errc::permission_denied);
            co_return;
        };
        CHECK_THROWS_AS(co_await cove::retry(fails_otherwise, options), std::system_error);
        CHECK(attempts == 3);
        CHECK(cove::now() - start < 3h + 1min);
    };
    test::run(body());
}

TEST_CASE("an attempt may fail before it is a task, and may be any awaitable") {
    auto body = []() -> cove::task<> {
        int attempts = 0;
        auto fails_to_begin = [&attempts]() {
            if (++attempts < 3) fail(std::errc::connection_refused);
            return cove::sleep_for(1s);
        };
        co_await cove::retry(fails_to_begin, exact());
        CHECK(attempts == 3);
    };
    test::run(body());
}

TEST_CASE("a limit in time can be set to each attempt, or to the whole") {
    auto body = []() -> cove::task<> {
        int attempts = 0;
        auto slow_at_first = [&attempts]() -> cove::task<int> {
            ++attempts;
            co_await cove::sleep_for(attempts < 3 ? 2h : 1s);
            co_return attempts;
        };
        auto limited = [&slow_at_first] { return cove::timeout(1min, slow_at_first()); };
        CHECK(co_await cove::retry(limited, exact()) == 3);

        attempts = 0;
        auto fails = [&attempts]() -> cove::task<> {
            ++attempts;
            fail(std::errc::connection_refused);
            co_return;
        };
        cove::retry_options options = exact();
        options.attempts_max = 1000;
        CHECK_THROWS_AS(co_await cove::timeout(4h, cove::retry(fails, options)), cove::timed_out);
        CHECK(attempts == 3);  // at 0, 1 and 3 hours
    };
    test::run(body());
}

TEST_CASE("cancellation ends the attempt or the pause, and no other attempt follows") {
    auto body = []() -> cove::task<> {
        int attempts = 0;
        auto is_slow = [&attempts]() -> cove::task<> {
            ++attempts;
            co_await cove::sleep_for(1h);
        };
        CHECK_FALSE(co_await cove::move_on_after(1min, cove::retry(is_slow, exact())));
        CHECK(attempts == 1);

        auto fails = [&attempts]() -> cove::task<> {
            ++attempts;
            fail(std::errc::connection_refused);
            co_return;
        };
        CHECK_FALSE(co_await cove::move_on_after(1min, cove::retry(fails, exact())));
        CHECK(attempts == 2);

        // One that turns its cancellation into an error of its own.
        auto complains = [&attempts]() -> cove::task<> {
            ++attempts;
            bool interrupted = false;
            try {
                co_await cove::sleep_for(1h);
            } catch (const cove::canceled&) {
                interrupted = true;
            }
            if (interrupted) fail(std::errc::operation_canceled);
        };
        CHECK_FALSE(co_await cove::move_on_after(1min, cove::retry(complains, exact())));
        CHECK(attempts == 3);
    };
    test::run(body());
}

TEST_CASE("a retry that is destroyed in an attempt or in a pause is gone") {
    auto body = []() -> cove::task<> {
        int attempts = 0;
        auto fails_slowly = [&attempts]() -> cove::task<> {
            ++attempts;
            co_await cove::sleep_for(30min);
            fail(std::errc::connection_refused);
        };
        for (const cove::duration when : {10min, 60min}) {
            cove::task_group group;
            group.spawn(cove::retry(fails_slowly, exact()));
            co_await cove::sleep_for(when);
        }
        CHECK(attempts == 2);
        co_await cove::sleep_for(24h);
        CHECK(attempts == 2);
    };
    test::run(body());
}
