// Arithmetic of time that neither shortens a wait nor overflows.

#include <cove/runtime/clock.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <ratio>
#include <type_traits>

using namespace std::chrono_literals;
using cove::add_clamped;
using cove::duration;
using cove::time_point;
using cove::to_duration;

static_assert(cove::clock::is_steady);
static_assert(std::is_same_v<duration, std::chrono::nanoseconds>);

TEST_CASE("to_duration keeps what can be kept exactly") {
    static_assert(to_duration(5s) == 5'000'000'000ns);
    CHECK(to_duration(0s) == 0ns);
    CHECK(to_duration(-3ms) == -3'000'000ns);
    CHECK(to_duration(1ns) == 1ns);
    CHECK(to_duration(duration::max()) == duration::max());
    CHECK(to_duration(duration::max() - 1ns) == duration::max() - 1ns);
    CHECK(to_duration(std::chrono::hours(2'562'047)) == std::chrono::hours(2'562'047));
}

TEST_CASE("to_duration rounds up, so that no wait is shorter than asked for") {
    using picoseconds = std::chrono::duration<std::int64_t, std::pico>;
    CHECK(to_duration(picoseconds(1)) == 1ns);
    CHECK(to_duration(picoseconds(1001)) == 2ns);
    CHECK(to_duration(picoseconds(-1)) == 0ns);
    CHECK(to_duration(std::chrono::duration<double>(1e-10)) == 1ns);
    CHECK(to_duration(std::chrono::duration<double>(0.5)) == 500ms);
}

TEST_CASE("to_duration clamps what is longer than can be counted") {
    CHECK(to_duration(std::chrono::hours::max()) == duration::max());
    CHECK(to_duration(std::chrono::hours::min()) == duration::min());
    CHECK(to_duration(std::chrono::years(300)) == duration::max());
    CHECK(to_duration(std::chrono::duration<double>::max()) == duration::max());
    CHECK(to_duration(-std::chrono::duration<double>::max()) == duration::min());
    CHECK(to_duration(std::chrono::duration<float>(1e30F)) == duration::max());
    CHECK(to_duration(std::chrono::duration<double>(9.3e9)) == duration::max());
}

TEST_CASE("add_clamped adds, and stops at either end of time") {
    const time_point some(1h);
    static_assert(add_clamped(time_point(1s), 2s) == time_point(3s));
    CHECK(add_clamped(some, -2h) == time_point(-1h));
    CHECK(add_clamped(some, duration::max()) == time_point::max());
    CHECK(add_clamped(time_point::max(), 1ns) == time_point::max());
    CHECK(add_clamped(time_point::max(), 0ns) == time_point::max());
    CHECK(add_clamped(time_point::max() - 1ns, 1ns) == time_point::max());
    CHECK(add_clamped(time_point(-1h), duration::min()) == time_point::min());
    CHECK(add_clamped(time_point::min(), -1ns) == time_point::min());
    CHECK(add_clamped(time_point::min(), duration::max()) < time_point(0ns));
}

TEST_CASE("now never goes back") {
    time_point last = cove::now();
    for (int i = 0; i < 1000; ++i) {
        const time_point next = cove::now();
        CHECK(next >= last);
        last = next;
    }
}
