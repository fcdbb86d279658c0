// event: something that has happened or has not, and those who wait for it. asyncio's and Trio's Event.

#pragma once

#include <cove/runtime/detail/queued_operation.hpp>

#include <string>

namespace cove {

// A flag that coroutines wait for.
// Concurrency: the thread of its loop; remote_event is for several. Lifetime: must outlive its waiters.
class event {
public:
    class wait_operation;
    class operation;

    explicit event(bool set = false) noexcept : set_(set) {}

    // Sets the flag and ends every wait, in order, even if it is reset before they go on. Runs no coroutine.
    void set() noexcept;

    // Takes the flag back: later waits wait.
    void reset() noexcept { set_ = false; }
    bool is_set() const noexcept { return set_; }

    // Waits until the flag is set. Cancellation: ends the wait.
    operation wait() noexcept;

private:
    detail::intrusive_list<wait_operation, detail::queue_tag> waiting_;
    bool set_;
};

// What waiting for an event, and for a promise, have in common.
class event::wait_operation : public detail::queued_operation<event::wait_operation> {
public:
    std::string describe() const override { return "event"; }

protected:
    explicit wait_operation(event& waited_for) noexcept : event_(&waited_for) {}
    wait_operation(const wait_operation&) noexcept = default;
    ~wait_operation() = default;

private:
    friend queued_operation;
    bool try_now() const noexcept { return event_->set_; }
    void enter() noexcept { event_->waiting_.push_back(*this); }

    friend class event;
    event* event_;
};

class [[nodiscard]] event::operation final : public event::wait_operation {
public:
    explicit operation(event& waited_for) noexcept : wait_operation(waited_for) {}
    void await_resume() const { throw_if_canceled(); }
};

inline event::operation event::wait() noexcept { return operation(*this); }

inline void event::set() noexcept {
    set_ = true;
    while (wait_operation* first = waiting_.pop_front()) first->finish();
}

}  // namespace cove
