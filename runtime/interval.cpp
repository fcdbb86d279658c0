#include <cove/runtime/interval.hpp>

#include <cove/runtime/error.hpp>

namespace cove {

interval::interval(duration period, missed_ticks policy, time_point start)
    : period_(period), next_(add_clamped(start, period)), policy_(policy) {
    if (period <= duration::zero()) detail::misuse("an interval's period must be more than zero");
}

// The tick at next_ has come: finds the one after it, and returns how many between them are dropped.
std::uint64_t interval::advance(time_point present) noexcept {
    const time_point due = next_;
    next_ = add_clamped(due, period_);
    if (policy_ == missed_ticks::burst || next_ > present) return 0;
    const auto dropped = (present - due) / period_;
    next_ = add_clamped(policy_ == missed_ticks::skip ? due + dropped * period_ : present, period_);
    return static_cast<std::uint64_t>(dropped);
}

}  // namespace cove
