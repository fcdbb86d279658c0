// mutex: one at a time, across awaits. Code between two awaits needs none: a loop runs one coroutine at a time.

#pragma once

#include <cove/runtime/semaphore.hpp>

namespace cove {

// A lock that is handed to those who wait for it in order.
// Concurrency: the thread of its loop. Lifetime: must outlive its waiters and guards.
class mutex {
public:
    // Holds the lock until it is destroyed, or release() is called.
    using guard = semaphore::permit;

    // Waits for the lock. Result: a guard. Cancellation: the lock is not taken.
    semaphore::operation lock() noexcept { return one_.acquire(); }

    // Takes the lock if it is free; otherwise the guard is empty.
    guard try_lock() noexcept { return one_.try_acquire(); }

    bool is_locked() const noexcept { return one_.available() == 0; }

private:
    semaphore one_{1, "mutex"};
};

}  // namespace cove
