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
//
// What is tried is known where an operation is compiled, so that as few calls as can be stand between the loop and the system
// call. Right after one each return is slow, because the kernel has overwritten the processor's memory of where calls return to.

#pragma once

#include <cove/runtime/io_waiter.hpp>
#include <cove/runtime/loop.hpp>

#include <cerrno>
#include <coroutine>

namespace cove {

template <class Operation>
[[gnu::always_inline]] inline long io_waiter::try_now(Operation& self, detail::slot& slot) noexcept {
    bool drained = false;
    long result = 0;
    do result = self.try_once(slot.home->os(), slot.fd, drained);
    while (result == -EINTR);
    if (result == -EAGAIN)
        slot.is_ready(self.direction_) = false;
    else if (drained)
        slot.clear_after_short(self.direction_);
    return result;
}

// Each step of a start is a call in tail position, so that one which has to wait saves no registers.
template <class Operation>
[[gnu::always_inline]] inline bool io_waiter::start_as(Operation& self, detail::promise_base& frame) {
    if (!self.may_wait(frame)) return false;
    detail::reactor& reactor = frame.scope->own_loop().reactor();
    if (self.is_on_ == on::owned && self.target_->slot_ != nullptr && self.target_->slot_->home == &reactor) [[likely]]
        return start_in(self, *self.target_->slot_, frame);
    return start_first(self, frame);
}

// The first operation on a descriptor, or one on a borrowed one: it has to find its slot.
template <class Operation>
[[gnu::noinline]] bool io_waiter::start_first(Operation& self, detail::promise_base& frame) {
    detail::slot* const found = self.find_slot(frame.scope->own_loop().reactor());
    return found != nullptr && start_in(self, *found, frame);
}

template <class Operation>
[[gnu::always_inline]] inline bool io_waiter::start_in(Operation& self, detail::slot& slot,
                                                       detail::promise_base& frame) {
    if (slot.waits_for(self.direction_) != nullptr) {
        self.outcome_ = detail::raw(errc::busy);
        return false;
    }
    return slot.is_ready(self.direction_) ? try_in(self, slot, frame) : self.wait_in(slot, frame);
}

template <class Operation>
[[gnu::noinline, gnu::hot]] bool io_waiter::try_in(Operation& self, detail::slot& slot, detail::promise_base& frame) {
    // Ready, but this coroutine has had its share: it is tried when its turn comes again.
    if (!frame.scope->own_loop().spend_budget()) return self.requeue_in(slot, frame);
    self.set_outcome(try_now(self, slot));
    if (self.outcome_ == -EAGAIN) return self.wait_in(slot, frame);
    if (self.outcome_ == again) return self.requeue_in(slot, frame);
    return false;
}

template <class Operation>
[[gnu::always_inline]] inline bool io_waiter::attempt_as(Operation& self) noexcept {
    if (self.is_on_ != on::slot) return true;  // abandoned: the outcome is known
    detail::slot& slot = *self.slot_;
    if (!slot.is_ready(self.direction_)) return false;
    self.set_outcome(try_now(self, slot));
    if (self.outcome_ == again) {
        self.wake();
        return false;
    }
    if (self.outcome_ == -EAGAIN) {
        self.set_outcome(slot.armed() ? 0 : slot.home->arm(slot, self.direction_));
        if (self.outcome_ >= 0) return false;
    }
    self.leave_slot();
    return true;
}

template <class Operation>
[[gnu::always_inline]] inline void io_waiter::run_as(Operation& self) noexcept {
    if (!self.waiting() || attempt_as(self)) self.go_on();
}

// An operation, final, of your own. Operation has
//   const char* name() const noexcept          what it is called in messages and stacks
//   long try_once(kernel& os, int fd, bool& drained) noexcept
//       makes the system call once: returns zero or more, or -errno; sets drained if it moved less than there was room for,
//       so that the next call would say EAGAIN
//   await_resume()                             which gives what outcome() stands for, or calls throw_outcome()
template <class Operation>
class io_operation : public io_waiter {
public:
    template <detail::cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return start_as(static_cast<Operation&>(*this), awaiting.promise());
    }

protected:
    using io_waiter::io_waiter;

private:
    void run() noexcept override { run_as(static_cast<Operation&>(*this)); }
};

}  // namespace cove
