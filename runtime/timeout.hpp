// Limits in time around any awaitable, and protection from cancellation. They make no coroutine frame and allocate
// nothing: the scope lives in the awaiting frame.

#pragma once

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/clock.hpp>

#include <coroutine>
#include <utility>

namespace cove {

namespace detail {

// Holds a scope as a base, so that it outlives the operation that waits in it. Before an operation is awaited it may be
// moved, and its scope is as good as a new one.
struct own_scope {
    own_scope() noexcept = default;
    own_scope(own_scope&&) noexcept {}

    cancel_scope scope_;
};

// Awaits an operation in a scope of its own.
template <class Awaitable>
class scope_around : private own_scope, public scoped_await<Awaitable> {
protected:
    scope_around(Awaitable operation, duration limit) : scoped_await<Awaitable>(std::move(operation)), limit_(limit) {}

    template <cove_promise Promise>
    bool suspend_until(std::coroutine_handle<Promise> awaiting) {
        scope_.set_deadline(add_clamped(now(), limit_));
        return this->suspend_in(scope_, awaiting, false);
    }

    template <cove_promise Promise>
    bool suspend_shielded(std::coroutine_handle<Promise> awaiting) {
        return this->suspend_in(scope_, awaiting, true);
    }

    duration limit_;
};

template <class Awaitable>
class [[nodiscard]] timeout_operation : public scope_around<Awaitable> {
public:
    timeout_operation(Awaitable operation, duration limit) : scope_around<Awaitable>(std::move(operation), limit) {}

    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return this->suspend_until(awaiting);
    }
    await_result_t<Awaitable> await_resume() {
        try {
            return this->finish();
        } catch (const canceled&) {
            if (!this->absorbed_) throw;
        }
        throw timed_out(this->limit_);
    }
};

template <class Awaitable>
class [[nodiscard]] move_on_operation : public scope_around<Awaitable> {
public:
    move_on_operation(Awaitable operation, duration limit) : scope_around<Awaitable>(std::move(operation), limit) {}

    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return this->suspend_until(awaiting);
    }
    auto await_resume() { return this->finish_optional(); }
};

template <class Awaitable>
class [[nodiscard]] shield_operation : public scope_around<Awaitable> {
public:
    explicit shield_operation(Awaitable operation) : scope_around<Awaitable>(std::move(operation), duration::max()) {}

    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return this->suspend_shielded(awaiting);
    }
    await_result_t<Awaitable> await_resume() { return this->finish(); }
};

}  // namespace detail

// Awaits an operation for at most limit, counted from the await.
// Result: the operation's. Throws: timed_out when the time is over first; whatever the operation throws. Where the
// operation could finish in the very turn in which its time is over, the time-out wins and nothing has been taken.
template <class Rep, class Period, class Awaitable>
detail::timeout_operation<Awaitable> timeout(std::chrono::duration<Rep, Period> limit, Awaitable operation) {
    return {std::move(operation), to_duration(limit)};
}

// Awaits an operation for at most limit, and goes on without its result if the time is over first.
// Result: the operation's in an optional, empty when the time was over (for void: true, or false).
template <class Rep, class Period, class Awaitable>
detail::move_on_operation<Awaitable> move_on_after(std::chrono::duration<Rep, Period> limit, Awaitable operation) {
    return {std::move(operation), to_duration(limit)};
}

// Awaits an operation that no cancellation from outside reaches, for clean-up. Bound it: shield(timeout(...)).
// Later waits outside the shield throw `canceled` again.
template <class Awaitable>
detail::shield_operation<Awaitable> shield(Awaitable operation) {
    return detail::shield_operation<Awaitable>(std::move(operation));
}

}  // namespace cove
