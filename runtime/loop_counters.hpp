// What a loop has done so far, in numbers that any thread may read while it runs.

#pragma once

#include <atomic>
#include <cstdint>

namespace cove {

// Counts since the loop was made. A loop that has nothing to do adds to none of them.
struct loop_counters {
    std::uint64_t turns = 0;          // rounds through the ready queue
    std::uint64_t resumes = 0;        // of coroutines
    std::uint64_t polls = 0;          // calls of epoll_wait, those of one busy wait counted once
    std::uint64_t events = 0;         // that these brought, wake-ups by other threads among them
    std::uint64_t posts = 0;          // messages taken from other threads, those of channels and offload() among them
    std::uint64_t timers = 0;         // that have expired
    std::uint64_t registrations = 0;  // of descriptors with epoll

    loop_counters& operator+=(const loop_counters& others) noexcept {
        turns += others.turns;
        resumes += others.resumes;
        polls += others.polls;
        events += others.events;
        posts += others.posts;
        timers += others.timers;
        registrations += others.registrations;
        return *this;
    }
};

namespace detail {

// A number that one thread changes and others read: plain loads and stores, no locked instruction.
class counter {
public:
    void add(std::uint64_t count) noexcept { set(read() + count); }
    void set(std::uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
    std::uint64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

// The loop's own copy, on a cache line that nobody else writes to.
struct alignas(64) loop_tally {
    counter turns, resumes, polls, events, posts, timers, registrations;

    loop_counters read() const noexcept {
        return {turns.read(), resumes.read(), polls.read(),        events.read(),
                posts.read(), timers.read(),  registrations.read()};
    }
};

}  // namespace detail
}  // namespace cove
