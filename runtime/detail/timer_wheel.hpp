// Timers: a hierarchical wheel that counts in nanoseconds.
//
// A timer stands in the slot named by the highest base-64 digit in which its deadline differs from the wheel's
// present, so setting is O(1) and canceling is unlinking, however many there are. When the present enters a slot,
// the slot's timers move down to finer ones (at most once per level), so they come out sorted to the nanosecond;
// equal deadlines keep the order in which they were set. Networks mostly cancel their timers, and a canceled one is
// never looked at again.

#pragma once

#include <cove/runtime/clock.hpp>
#include <cove/runtime/detail/intrusive_list.hpp>

#include <cstddef>
#include <cstdint>

namespace cove::detail {

struct timer_tag;

// Something to do at a point in time. Its destructor takes it out of the wheel.
class timer : public list_node<timer_tag> {
public:
    time_point deadline() const noexcept { return deadline_; }

protected:
    timer() noexcept = default;
    timer(const timer&) noexcept = default;
    ~timer() = default;

private:
    friend class timer_wheel;
    // Called by the loop once the deadline has passed. May cancel timers; sets none and runs no coroutine.
    virtual void expire() noexcept = 0;

    time_point deadline_{};
};

class timer_wheel {
public:
    // Sets or resets item to expire at deadline, at the next expire() if that is past.
    void set(timer& item, time_point deadline) noexcept;

    bool empty() noexcept { return occupied_levels_ == 0 || first_slot().list == nullptr; }

    // Returns a point not later than the earliest deadline: that deadline itself, or, where many timers share
    // the earliest slot, the slot's beginning. time_point::max() when there is none.
    time_point next_wake() noexcept { return occupied_levels_ == 0 ? time_point::max() : find_next_wake(); }

    // Expires every timer whose deadline is not after now, in the order of their deadlines; those that were past when they
    // were set, in the order of setting. Returns how many.
    std::size_t expire(time_point now) noexcept;

private:
    static constexpr int digit_bits = 6;
    static constexpr int slots = 1 << digit_bits;
    static constexpr int levels = 11;  // 66 bits: every representable point in time

    using timer_list = intrusive_list<timer, timer_tag>;
    struct position {
        timer_list* list = nullptr;
        int level = 0;
        std::uint64_t begin = 0;
    };

    void place(timer& item) noexcept;
    position first_slot() noexcept;
    time_point find_next_wake() noexcept;

    std::uint64_t present_ = 0;
    // A bit per level, and per slot; it may be stale after a cancel, and is cleared when seen.
    unsigned occupied_levels_ = 0;
    std::uint64_t occupied_[levels] = {};
    timer_list slots_[levels][slots];
};

}  // namespace cove::detail
