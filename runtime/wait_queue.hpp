// A first-in, first-out queue of coroutines that wait for a condition: what every primitive of synchronisation in cove
// stands on.

#pragma once

#include <cove/runtime/detail/intrusive_list.hpp>
#include <cove/runtime/waiter.hpp>

#include <coroutine>
#include <cstddef>

namespace cove {

namespace detail {
struct queue_tag;
}

// Coroutines wait here until somebody wakes them, in order. A wake-up says that it is worth looking at the condition
// again, not that it holds: `while (!condition) co_await queue.wait();`
//
// Concurrency: one loop. Lifetime: must outlive its waiters.
class wait_queue {
public:
    class operation;

    // what: the name that stacks print; must outlive the queue.
    explicit wait_queue(const char* what = "wait_queue") noexcept : what_(what) {}

    // Waits until woken. Cancellation: leaves the queue; once woken, it is too late to cancel.
    operation wait() noexcept;

    // Wakes the one that has waited longest; returns whether there was one. Runs no coroutine.
    bool wake_one() noexcept;
    void wake_all() noexcept {
        while (wake_one()) {
        }
    }

    bool empty() const noexcept { return waiters_.empty(); }

private:
    detail::intrusive_list<operation, detail::queue_tag> waiters_;
    const char* what_;
};

class [[nodiscard]] wait_queue::operation final : public waiter, private detail::list_node<detail::queue_tag> {
public:
    explicit operation(wait_queue& queue) noexcept : queue_(&queue) {}
    operation(const operation&) noexcept = default;
    // A wake-up that reached a coroutine which is destroyed before it could go on is passed to the next one.
    ~operation() {
        if (woken_but_not_resumed()) queue_->wake_one();
    }

    bool await_ready() const noexcept { return false; }
    template <detail::cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        if (!may_wait(awaiting.promise())) return false;
        suspend(awaiting.promise());
        queue_->waiters_.push_back(*this);
        return true;
    }
    void await_resume() const { throw_if_canceled(); }

    std::string describe() const override { return queue_->what_; }

private:
    friend class wait_queue;
    friend class detail::intrusive_list<operation, detail::queue_tag>;
    bool withdraw() noexcept override {
        list_node<detail::queue_tag>::unlink();
        return true;
    }

    wait_queue* queue_;
};

inline wait_queue::operation wait_queue::wait() noexcept { return operation(*this); }

inline bool wait_queue::wake_one() noexcept {
    operation* first = waiters_.pop_front();
    if (first == nullptr) return false;
    first->finish();
    return true;
}

}  // namespace cove
