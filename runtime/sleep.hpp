// Waiting for time to pass, and letting others go first.

#pragma once

#include <cove/runtime/clock.hpp>
#include <cove/runtime/detail/timer_wheel.hpp>
#include <cove/runtime/waiter.hpp>

#include <coroutine>

namespace cove {

namespace detail {

// What sleeps and ticks have in common.
class timed_wait : public waiter, private timer {
public:
    bool await_ready() const noexcept { return false; }
    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return start(awaiting.promise());
    }
    std::string describe() const override;

protected:
    // Until deadline, or for length from the moment it is awaited.
    explicit timed_wait(time_point deadline) noexcept : deadline_(deadline) {}
    explicit timed_wait(duration length) noexcept : length_(length) {}
    timed_wait(const timed_wait&) noexcept = default;
    ~timed_wait() = default;

private:
    bool start(promise_base& frame) noexcept;
    void expire() noexcept override { finish(); }
    bool withdraw() noexcept override {
        timer::unlink();
        return true;
    }

    duration length_ = duration::zero();
    time_point deadline_ = time_point::min();
};

class [[nodiscard]] sleep_operation final : public timed_wait {
public:
    explicit sleep_operation(time_point deadline) noexcept : timed_wait(deadline) {}
    explicit sleep_operation(duration length) noexcept : timed_wait(length) {}
    void await_resume() const { throw_if_canceled(); }
};

class [[nodiscard]] yield_operation final : public waiter {
public:
    bool await_ready() const noexcept { return false; }
    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return start(awaiting.promise());
    }
    void await_resume() const { throw_if_canceled(); }
    std::string describe() const override;

private:
    bool start(promise_base& frame) noexcept;
    bool withdraw() noexcept override { return true; }
};

}  // namespace detail

// Suspends for at least length; never less, and as little more as the system's timers allow (some 50 us). For zero or
// less it is yield(). The largest duration of any type means for ever.
// Cancellation: ends the sleep.
template <class Rep, class Period>
detail::sleep_operation sleep_for(std::chrono::duration<Rep, Period> length) noexcept {
    return detail::sleep_operation(to_duration(length));
}

// Suspends until deadline, or for one turn if that is past. Cancellation: ends the sleep.
inline detail::sleep_operation sleep_until(time_point deadline) noexcept { return detail::sleep_operation(deadline); }

// Goes to the back of the ready queue: everything that is ready now runs before it returns. Cancellation: throws.
inline detail::yield_operation yield() noexcept { return {}; }

}  // namespace cove
