// The time that cove keeps: monotonic, in nanoseconds, read through the kernel of the running loop so
// that a simulated kernel can make it stand still or jump.

#pragma once

#include <chrono>

namespace cove {

// The wall clock may be set back and forth without any effect on these. See clock_gettime(2), CLOCK_MONOTONIC.
using clock = std::chrono::steady_clock;
using duration = std::chrono::nanoseconds;
using time_point = std::chrono::time_point<clock, duration>;

// Returns the time now, as the running loop's kernel tells it, or the system's where no loop runs.
time_point now() noexcept;

// Rounds any duration to the one cove computes with: up, so that a wait is never shorter than asked for, and
// clamped, so that hours::max() means for ever instead of overflowing.
template <class Rep, class Period>
constexpr duration to_duration(std::chrono::duration<Rep, Period> length) noexcept {
    using wide = std::chrono::duration<long double, std::nano>;
    if (wide(length) >= wide(duration::max())) return duration::max();
    if (wide(length) <= wide(duration::min())) return duration::min();
    return std::chrono::ceil<duration>(length);
}

// Returns start + length, or the end of time where that would overflow.
constexpr time_point add_clamped(time_point start, duration length) noexcept {
    if (length > duration::zero() && start > time_point::max() - length) return time_point::max();
    if (length < duration::zero() && start < time_point::min() - length) return time_point::min();
    return start + length;
}

}  // namespace cove
