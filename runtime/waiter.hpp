// What every suspended operation is: a node in the awaiting coroutine's own frame, linked to the one thing it waits
// for and to its cancel scope. Waiting allocates nothing, and a frame that is destroyed takes its waiters out of
// whatever they stand in.
//
// An operation of your own derives from waiter (or from io_operation, for descriptors):
//   - await_suspend() calls may_wait(), and then suspend() if it has to wait;
//   - whatever it waits for calls finish() when the wait is over, or wake() when attempt() should look again;
//   - await_resume() calls throw_if_canceled() first.

#pragma once

#include <cove/runtime/detail/execution.hpp>
#include <cove/runtime/detail/intrusive_list.hpp>

#include <string>

namespace cove {

namespace detail {
struct ready_tag;
struct scope_tag;
}  // namespace detail

// Something that the loop runs when its turn in the ready queue comes. It must not end while it stands there.
class runnable : public detail::list_hook<detail::ready_tag> {
protected:
    runnable() noexcept = default;
    runnable(const runnable&) noexcept = default;
    ~runnable() = default;

private:
    friend class loop;
    virtual void run() noexcept = 0;
};

class waiter : public runnable, public detail::list_hook<detail::scope_tag> {
public:
    waiter& operator=(const waiter&) = delete;

    // The frame that waits; null before it has begun to.
    const detail::promise_base* frame() const noexcept { return frame_; }

    // Has the loop call attempt() when this one's turn comes, and resume the coroutine if that returns true.
    void wake() noexcept;

    // Ends the wait: the coroutine is resumed when its turn comes, and a cancellation before that is too late.
    void finish() noexcept;

    // Return whether the wait is over and the coroutine goes on, and whether it was canceled: for those who await it as a
    // part of something, and want to know without an exception.
    bool has_ended() const noexcept { return state_ > state::waiting && !runnable::linked(); }
    bool was_canceled() const noexcept { return state_ == state::canceled; }

    // Says what is waited for, as stacks print it: "read fd 7".
    virtual std::string describe() const = 0;

protected:
    waiter() noexcept = default;
    // An operation may be moved about until it is awaited; a copy is one that has not begun.
    waiter(const waiter&) noexcept : runnable(), list_hook<detail::scope_tag>() {}
    ~waiter() {
        if (runnable::linked() || list_hook<detail::scope_tag>::linked()) [[unlikely]]
            leave_lists();
    }

    // Returns whether the operation may begin. Where it returns false, the scope of the awaiting frame is canceled and
    // the operation must neither do anything nor suspend.
    inline bool may_wait(detail::promise_base& frame) noexcept;

    // From here on the operation waits, and its scope can cancel it.
    inline void suspend(detail::promise_base& frame) noexcept;

    bool waiting() const noexcept { return state_ == state::waiting; }
    bool woken_but_not_resumed() const noexcept { return state_ == state::finished && runnable::linked(); }
    void throw_if_canceled() const {
        if (state_ == state::canceled) throw_canceled();
    }
    [[noreturn]] void throw_canceled() const;

    // What run() ends with: the wait is over, and the coroutine goes on.
    void go_on() noexcept {
        if (state_ == state::waiting) state_ = state::finished;
        list_hook<detail::scope_tag>::unlink();
        detail::resume(*frame_);
    }

    inline loop& own_loop() const noexcept;

private:
    friend class cancel_scope;
    enum class state : unsigned char { idle, waiting, finished, canceled };

    // Called right before the coroutine would be resumed: does what was waited for. Returns false to go on waiting.
    virtual bool attempt() noexcept { return true; }

    // Takes the operation out of what it waits for. Returns false if it cannot be canceled and goes on waiting.
    virtual bool withdraw() noexcept = 0;

    void run() noexcept override {
        if (state_ != state::waiting || attempt()) go_on();
    }
    void cancel() noexcept;
    void leave_lists() noexcept;

    detail::promise_base* frame_ = nullptr;
    state state_ = state::idle;
};

}  // namespace cove

#include <cove/runtime/cancel_scope.hpp>  // has what is inline here
