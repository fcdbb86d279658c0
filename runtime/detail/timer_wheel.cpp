#include <cove/runtime/detail/timer_wheel.hpp>

#include <algorithm>
#include <bit>

namespace cove::detail {
namespace {

std::uint64_t ticks(time_point time) noexcept {
    return static_cast<std::uint64_t>(std::max<duration::rep>(time.time_since_epoch().count(), 0));
}

time_point from_ticks(std::uint64_t count) noexcept { return time_point(duration(static_cast<duration::rep>(count))); }

}  // namespace

void timer_wheel::set(timer& item, time_point deadline) noexcept {
    item.unlink();
    item.deadline_ = deadline;
    place(item);
}

void timer_wheel::place(timer& item) noexcept {
    const std::uint64_t due = std::max(ticks(item.deadline_), present_);
    const std::uint64_t differing = due ^ present_;
    const int level = differing == 0 ? 0 : (static_cast<int>(std::bit_width(differing)) - 1) / digit_bits;
    const std::uint64_t slot = due >> (level * digit_bits) & (slots - 1);
    slots_[level][slot].push_back(item);
    occupied_[level] |= std::uint64_t{1} << slot;
    occupied_levels_ |= 1U << level;
}

// The lowest occupied level holds the earliest timers, and its lowest occupied slot the earliest of those: timers
// of a lower level agree with the present in one more digit.
timer_wheel::position timer_wheel::first_slot() noexcept {
    for (; occupied_levels_ != 0; occupied_levels_ &= occupied_levels_ - 1) {
        const int level = std::countr_zero(occupied_levels_);
        while (occupied_[level] != 0) {
            const int slot = std::countr_zero(occupied_[level]);
            timer_list& found = slots_[level][slot];
            if (found.empty()) {
                occupied_[level] &= occupied_[level] - 1;
                continue;
            }
            const int shift = level * digit_bits;
            const std::uint64_t above =
                shift + digit_bits >= 64 ? 0 : present_ >> (shift + digit_bits) << (shift + digit_bits);
            return {&found, level, above | static_cast<std::uint64_t>(slot) << shift};
        }
    }
    return {};
}

time_point timer_wheel::find_next_wake() noexcept {
    constexpr int looked_at_max = 8;  // finding the earliest must not cost a walk over a million
    const position first = first_slot();
    if (first.list == nullptr) return time_point::max();
    time_point earliest = time_point::max();
    int looked_at = 0;
    for (timer* item = first.list->front(); item != nullptr; item = first.list->next(*item)) {
        if (++looked_at > looked_at_max) return from_ticks(first.begin);
        earliest = std::min(earliest, item->deadline_);
    }
    return earliest;
}

std::size_t timer_wheel::expire(time_point now) noexcept {
    std::size_t count = 0;
    const std::uint64_t until = std::max(ticks(now), present_);
    for (position first = first_slot(); first.list != nullptr && first.begin <= until; first = first_slot()) {
        present_ = std::max(present_, first.begin);
        timer_list entered;
        entered.splice_back(*first.list);
        const bool sorted = first.level == 0 || entered.next(*entered.front()) == nullptr;
        while (timer* item = entered.pop_front()) {
            if (sorted && ticks(item->deadline_) <= until) {
                item->expire();
                ++count;
            } else {
                place(*item);
            }
        }
    }
    present_ = until;
    return count;
}

}  // namespace cove::detail
