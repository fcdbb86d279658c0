// An operation on a descriptor that is tried, and, where the kernel says EAGAIN, tried again when the descriptor is
// ready. The loop of try, wait and retry is written here once for every operation of the library and for yours:
//
//   1. in a canceled scope: no system call, `canceled`;
//   2. on a closed descriptor, or where another coroutine waits for the same direction: an error;
//   3. if the descriptor may be ready, and the loop's budget allows: the system call, at once;
//   4. on EAGAIN: the readiness is cleared, the descriptor registered with epoll if it is not yet, and the
//      coroutine suspends;
//   5. an event marks the descriptor ready and puts the operation into the ready queue;
//   6. when its turn comes: the system call again, right before the coroutine would go on, so that what it brings can
//      neither be lost by a cancellation nor be overtaken by one;
//   7. on EAGAIN (somebody was faster, or the event was spurious): back to waiting;
//   8. otherwise the coroutine is resumed and await_resume() gives the result.

#pragma once

#include <cove/runtime/descriptor.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/waiter.hpp>

#include <coroutine>
#include <system_error>

namespace cove {

using detail::direction;

class io_operation : public waiter {
public:
    bool await_ready() const noexcept { return false; }

    template <detail::cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return start(awaiting.promise());
    }

    std::string describe() const override;

    // For the reactor: the descriptor was closed, or cannot be waited for.
    void abandon(long outcome) noexcept;

protected:
    io_operation(descriptor& target, direction d) noexcept : direction_(d), is_on_(on::owned), target_(&target) {}
    // On a descriptor that cove does not own.
    io_operation(int borrowed_fd, direction d) noexcept : direction_(d), is_on_(on::borrowed), borrowed_(borrowed_fd) {}
    io_operation(const io_operation& other) noexcept;
    ~io_operation() {
        if (is_on_ == on::slot) leave_slot();
    }

    // Steps 1 to 4. Returns whether the coroutine has to suspend.
    bool start(detail::promise_base& frame);

    // As start(), for an operation that has made its first system call itself and was told to wait.
    bool start_waiting(detail::promise_base& frame);

    // Returns the raw outcome: zero or more, or negative for an error (-errno, or detail::raw(errc)). Throws `canceled`.
    long outcome() const {
        throw_if_canceled();
        return outcome_;
    }
    void set_outcome(long outcome) noexcept { outcome_ = static_cast<int>(outcome); }

    // Throws the error that the outcome stands for, naming the operation and its subject.
    [[noreturn]] void throw_outcome() const;

    // What try_once() answers to be called again after everybody else has had a turn.
    static constexpr long again = -detail::own_error_base;

    // What the operation is called in messages and stacks.
    virtual const char* name() const noexcept = 0;

    direction what_for() const noexcept { return direction_; }

    // The descriptor's number, for messages; -1 once it is closed.
    int number() const noexcept;

    // Names what the operation is on, for error messages: "127.0.0.1:8080", or "fd 7" where nothing better is known.
    virtual std::string subject() const;

private:
    // Makes the system call once: returns zero or more, or -errno. Sets drained if it moved less than there was room
    // for, so that the next call would say EAGAIN.
    virtual long try_once(kernel& os, int fd, bool& drained) noexcept = 0;

    detail::slot* find_slot(detail::reactor& reactor);
    bool wait_in(detail::slot& slot, detail::promise_base& frame);
    bool requeue_in(detail::slot& slot, detail::promise_base& frame) noexcept;
    long try_now(detail::slot& slot) noexcept;
    void enter_slot(detail::slot& slot) noexcept;
    void leave_slot() noexcept;
    void stand_on_target(const detail::slot& left) noexcept;
    bool attempt() noexcept final;
    bool withdraw() noexcept final;

    // In this order the small ones fill up what is left of waiter's last word. An int is enough: no call moves more bytes.
    enum class on : unsigned char { nothing, owned, borrowed, slot };
    direction direction_;
    on is_on_;
    int outcome_ = 0;
    union {
        descriptor* target_;  // owned
        int borrowed_;
        detail::slot* slot_;  // while it waits: a stream may be moved meanwhile
    };
};

}  // namespace cove
