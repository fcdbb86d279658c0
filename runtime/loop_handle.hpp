// How other threads reach a loop.

#pragma once

#include <cove/runtime/detail/inbox.hpp>

#include <utility>

namespace cove {

// A handle by which any thread can run a function on the thread of a loop. While a handle exists, the loop counts as
// one that can still be woken.
class loop_handle {
public:
    // Makes a handle of the loop that runs on this thread.
    static loop_handle current() noexcept;

    loop_handle(const loop_handle& other) noexcept;
    loop_handle(loop_handle&& other) noexcept : inbox_(std::exchange(other.inbox_, nullptr)) {}
    loop_handle& operator=(loop_handle other) noexcept {
        std::swap(inbox_, other.inbox_);
        return *this;
    }
    ~loop_handle();

    // Runs function on the loop's thread, after what this thread has posted before. Functions must not throw.
    // Result: false when the loop has ended; the function is then destroyed at once, on this thread. A loop that ends
    // before it gets to a function destroys it unrun. Throws: std::bad_alloc.
    // Concurrency: any thread, at any time. What else of cove is for several threads says so: remote_channel, remote_event.
    template <class Function>
    bool post(Function function) const {
        return detail::post(*inbox_, std::move(function));
    }

    // Returns what the loop has done so far, or, once it has ended, had done by then. Concurrency: any thread.
    loop_counters counters() const noexcept { return inbox_->tally.read(); }

private:
    friend class shard;

    explicit loop_handle(detail::inbox& inbox) noexcept;

    detail::inbox* inbox_;
};

}  // namespace cove
