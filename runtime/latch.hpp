// latch: waits until so many things have been done. std::latch's and Go's WaitGroup's use.

#pragma once

#include <cove/runtime/event.hpp>

#include <cstddef>

namespace cove {

// Counts down to zero, once.
// Concurrency: the thread of its loop. Lifetime: must outlive its waiters.
class latch {
public:
    explicit latch(std::size_t count) noexcept : left_(count), done_(count == 0) {}

    // Counts down; at zero every wait ends. Counting below zero leaves it at zero.
    void count_down(std::size_t by = 1) noexcept {
        left_ -= by < left_ ? by : left_;
        if (left_ == 0) done_.set();
    }

    // Waits until the count is zero. Cancellation: ends the wait, and counts nothing.
    event::operation wait() noexcept { return done_.wait(); }

    std::size_t left() const noexcept { return left_; }

private:
    std::size_t left_;
    event done_;
};

}  // namespace cove
