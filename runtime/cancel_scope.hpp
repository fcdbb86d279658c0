// Cancel scopes: which waits end together, and when.
//
// Scopes form a tree. A task inherits the scope of whoever awaits or spawns it, so nobody passes tokens. Canceling a
// scope wakes everything that waits inside it, and each of those waits throws `canceled`; it is level-triggered: every
// later wait in the scope throws too, until the scope is left. An operation has either finished or was canceled; a
// canceled one has done nothing, unless its own documentation says what part may be done.

#pragma once

#include <cove/runtime/clock.hpp>
#include <cove/runtime/detail/timer_wheel.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/waiter.hpp>

#include <concepts>
#include <coroutine>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace cove {

namespace detail {
struct child_scope_tag;

// What co_await of an Awaitable gives.
template <class Awaitable>
using await_result_t = decltype(std::declval<Awaitable&>().await_resume());

// An operation that says without an exception whether it was canceled.
template <class Operation>
concept tells_cancellation = requires(const Operation& operation) {
    { operation.was_canceled() } -> std::same_as<bool>;
};

template <class Awaitable>
class run_in_scope;
}  // namespace detail

// A scope that its owner can cancel: `co_await scope.run(operation)` waits inside it.
//
// Concurrency: the thread of its loop. Lifetime: must outlive what runs in it.
class cancel_scope : private detail::timer, private detail::list_node<detail::child_scope_tag> {
public:
    cancel_scope() noexcept = default;
    cancel_scope(const cancel_scope&) = delete;
    cancel_scope& operator=(const cancel_scope&) = delete;
    virtual ~cancel_scope() { leave(); }

    // Cancels everything that waits in this scope, now and later. Runs no coroutine; calling it again does nothing.
    // what and where are the reason that `canceled` and stacks show.
    void cancel(const char* what = "cancel()", std::source_location where = std::source_location::current()) noexcept {
        cancel(cancel_reason{what, duration::zero(), where});
    }
    void cancel(const cancel_reason& reason) noexcept;

    // Returns whether cancel() was called, or the deadline passed, here or in a scope around this one.
    bool is_canceled() const noexcept { return canceled_; }

    // Returns why this scope is canceled: the reason of the outermost scope whose cancellation reached it.
    const cancel_reason& reason() const noexcept;

    // Cancels the scope at this point in time; a later call replaces an earlier one, time_point::max() lifts it.
    void set_deadline(time_point deadline, const char* what = "deadline",
                      std::source_location where = std::source_location::current()) noexcept {
        set_deadline(deadline, cancel_reason{what, duration::zero(), where});
    }
    void set_deadline(time_point deadline, const cancel_reason& reason) noexcept;

    // Returns when this scope will be canceled by a deadline, its own or that of a scope around it; time_point::max() if
    // by none, time_point::min() once it is canceled.
    time_point effective_deadline() const noexcept;

    // Awaits an operation inside this scope.
    // Result: what it gives, in an optional that is empty when this scope was canceled first (for void: true, or false).
    // Throws: whatever the operation throws; `canceled` when a scope around this one is canceled.
    template <class Awaitable>
    detail::run_in_scope<Awaitable> run(Awaitable operation) {
        return {*this, std::move(operation)};
    }

    // For operations and for those who write scopes of their own:
    // enters the tree below parent, or as a root of a loop's; and leaves it.
    void enter(cancel_scope& parent, bool shielded = false) noexcept;
    void enter_as_root(loop& owner) noexcept { loop_ = &owner; }
    void leave() noexcept;

    // Returns whether a `canceled` that passes through this scope's end stops there: it was canceled itself, and no
    // scope around it was.
    bool absorbs() const noexcept { return cancel_called_ && (parent_ == nullptr || shielded_ || !parent_->canceled_); }

    // The scope around this one; null for a root.
    const cancel_scope* parent() const noexcept { return parent_; }
    loop& own_loop() const noexcept { return *loop_; }
    void add(waiter& suspended) noexcept { waiters_.push_back(suspended); }

    // Calls visit(waiter&) for everything that waits in this scope and those below it.
    template <class Visit>
    void for_each_waiter(Visit&& visit) const {
        for (const cancel_scope* scope = this; scope != nullptr; scope = scope->next_below(*this, true))
            for (waiter* w = scope->waiters_.front(); w != nullptr; w = scope->waiters_.next(*w)) visit(*w);
    }

private:
    friend class detail::intrusive_list<cancel_scope, detail::child_scope_tag>;

    void expire() noexcept override;
    void cancel_from_outside() noexcept;
    template <class Visit>
    void for_each_reached(Visit visit) noexcept;
    const cancel_scope* next_below(const cancel_scope& top, bool descend) const noexcept;

    loop* loop_ = nullptr;
    cancel_scope* parent_ = nullptr;
    detail::intrusive_list<cancel_scope, detail::child_scope_tag> children_;
    detail::intrusive_list<waiter, detail::scope_tag> waiters_;
    time_point deadline_ = time_point::max();
    cancel_reason reason_;  // of the cancellation, or of the deadline that is to come
    bool canceled_ = false;
    bool cancel_called_ = false;
    bool shielded_ = false;
};

inline bool waiter::may_wait(detail::promise_base& frame) noexcept {
    frame_ = &frame;
    state_ = frame.scope->is_canceled() ? state::canceled : state::idle;
    return state_ == state::idle;
}

inline void waiter::suspend(detail::promise_base& frame) noexcept {
    frame_ = &frame;
    state_ = state::waiting;
    frame.scope->add(*this);
}

inline loop& waiter::own_loop() const noexcept { return frame_->scope->own_loop(); }

// Returns the scope that the running coroutine waits in.
cancel_scope& current_scope() noexcept;

// Returns when the running coroutine will be canceled by a deadline: see cancel_scope::effective_deadline().
inline time_point current_deadline() noexcept { return current_scope().effective_deadline(); }

namespace detail {

// Puts the awaiting frame into a scope for the time of one await, and awaits an operation there.
template <class Awaitable>
class scoped_await {
public:
    bool await_ready() const noexcept { return false; }

protected:
    explicit scoped_await(Awaitable operation) : operation_(std::move(operation)) {}
    scoped_await(scoped_await&&) noexcept = default;
    ~scoped_await() { leave(); }

    template <cove_promise Promise>
    bool suspend_in(cancel_scope& scope, std::coroutine_handle<Promise> awaiting, bool shielded) {
        frame_ = &awaiting.promise();
        outer_ = frame_->scope;
        scope_ = &scope;
        scope.enter(*outer_, shielded);
        frame_->scope = &scope;
        if (operation_.await_ready()) return false;
        if constexpr (std::is_void_v<decltype(operation_.await_suspend(awaiting))>) {
            operation_.await_suspend(awaiting);
            return true;
        } else {
            static_assert(std::is_same_v<decltype(operation_.await_suspend(awaiting)), bool>,
                          "awaitables that hand over by symmetric transfer cannot be awaited inside a scope");
            return operation_.await_suspend(awaiting);
        }
    }

    // Leaves the scope at the end of a block.
    struct leaving {
        scoped_await& self;
        ~leaving() { self.leave(); }
    };

    // Gives the operation's result, once the scope has been left.
    await_result_t<Awaitable> finish() {
        const leaving guard{*this};
        return operation_.await_resume();
    }

    // Returns whether the operation was canceled and this scope, which is left then, has absorbed that; throws `canceled`
    // where it has not. Exceptions are dear: where they can be told without, time-outs are.
    bool absorbs_cancellation() {
        if constexpr (tells_cancellation<Awaitable>) {
            if (!operation_.was_canceled()) return false;
            leave();
            if (!absorbed_) static_cast<void>(operation_.await_resume());
            return true;
        } else {
            return false;
        }
    }

    // Gives it in an optional (a bool for void), empty when this scope absorbed a cancellation.
    auto finish_optional() {
        using result = await_result_t<Awaitable>;
        static_assert(!std::is_reference_v<result>, "a reference cannot be optional: let the operation give a pointer");
        using optional = std::conditional_t<std::is_void_v<result>, bool, std::optional<result>>;
        if (absorbs_cancellation()) return optional();
        try {
            if constexpr (std::is_void_v<result>) {
                finish();
                return true;
            } else {
                return optional(finish());
            }
        } catch (const canceled&) {
            if (!absorbed_) throw;
            return optional();
        }
    }

private:
    void leave() noexcept {
        if (scope_ == nullptr) return;
        frame_->scope = outer_;
        absorbed_ = scope_->absorbs();
        scope_->leave();
        scope_ = nullptr;
    }

    promise_base* frame_ = nullptr;
    cancel_scope* scope_ = nullptr;
    cancel_scope* outer_ = nullptr;

protected:
    bool absorbed_ = false;  // set on leaving: a `canceled` was this scope's own and ends here
    Awaitable operation_;
};

template <class Awaitable>
class [[nodiscard]] run_in_scope : public scoped_await<Awaitable> {
public:
    run_in_scope(cancel_scope& scope, Awaitable operation)
        : scoped_await<Awaitable>(std::move(operation)), target_(scope) {}

    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return this->suspend_in(target_, awaiting, false);
    }
    auto await_resume() { return this->finish_optional(); }

private:
    cancel_scope& target_;
};

}  // namespace detail
}  // namespace cove
