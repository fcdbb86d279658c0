// interval: ticks at even distances. asyncio has none; Node's setInterval, Go's Ticker, Tokio's interval.

#pragma once

#include <cove/runtime/clock.hpp>
#include <cove/runtime/sleep.hpp>

#include <cstdint>

namespace cove {

// What becomes of ticks whose time passes while nobody waits for them.
enum class missed_ticks : unsigned char {
    burst,  // they come at once, one after the other, until the ticker has caught up
    skip,   // they are dropped; the next one comes at a multiple of the period
    delay,  // they are dropped; the next one comes a whole period later
};

// A ticker whose first tick comes one period after it was made.
// Concurrency: one coroutine at a time.
class interval {
public:
    class operation;

    // period: more than zero. Misuse stops the program.
    template <class Rep, class Period>
    explicit interval(std::chrono::duration<Rep, Period> period, missed_ticks policy = missed_ticks::skip)
        : interval(to_duration(period), policy, now()) {}

    // Waits for the next tick. Result: how many ticks were dropped before it. Cancellation: the tick is still to come.
    operation next() noexcept;

    // The time of the next tick.
    time_point next_tick() const noexcept { return next_; }

private:
    interval(duration period, missed_ticks policy, time_point start);
    std::uint64_t advance(time_point present) noexcept;

    duration period_;
    time_point next_;
    missed_ticks policy_;
};

class [[nodiscard]] interval::operation final : public detail::timed_wait {
public:
    explicit operation(interval& ticker) noexcept : timed_wait(ticker.next_), ticker_(&ticker) {}

    std::uint64_t await_resume() {
        throw_if_canceled();
        return ticker_->advance(now());
    }

private:
    interval* ticker_;
};

inline interval::operation interval::next() noexcept { return operation(*this); }

}  // namespace cove
