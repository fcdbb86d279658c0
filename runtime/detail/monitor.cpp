#include <cove/runtime/detail/monitor.hpp>

#include <ctime>

namespace cove::detail {

monitor::condition::condition() noexcept {
    ::pthread_condattr_t by_monotonic_clock;
    ::pthread_condattr_init(&by_monotonic_clock);
    ::pthread_condattr_setclock(&by_monotonic_clock, CLOCK_MONOTONIC);
    ::pthread_cond_init(&changed_, &by_monotonic_clock);
    ::pthread_condattr_destroy(&by_monotonic_clock);
}

bool monitor::condition::wait_until(monitor& locked, time_point deadline) noexcept {
    constexpr long second = 1'000'000'000;
    const auto count = deadline.time_since_epoch().count();
    const ::timespec until{count / second, count % second};
    // ETIMEDOUT, or EINVAL for a deadline from before the clock's beginning.
    return ::pthread_cond_timedwait(&changed_, &locked.mutex_, &until) == 0;
}

}  // namespace cove::detail
