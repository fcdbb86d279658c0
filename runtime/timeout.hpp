// Limits in time around any awaitable, and protection from cancellation. They make no coroutine frame and allocate
// nothing: the scope lives in the awaiting frame.

#pragma once

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/clock.hpp>

#include <coroutine>
#include <optional>
#include <source_location>
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

// When a scope ends, and why: after a time counted from the await, or at a deadline.
struct limit {
    cancel_reason reason;
    std::optional<time_point> deadline;  // none: the reason has a length of time instead

    static limit after(duration length, const char* what, std::source_location where) noexcept {
        return {{what, length, where}, std::nullopt};
    }
    static limit at(time_point deadline, const char* what, std::source_location where) noexcept {
        return {{what, duration::zero(), where}, deadline};
    }
    bool is_length() const noexcept { return !deadline; }
    time_point end() const noexcept { return is_length() ? add_clamped(now(), reason.limit) : *deadline; }
};

// Awaits an operation in a scope of its own.
template <class Awaitable>
class scope_around : private own_scope, public scoped_await<Awaitable> {
protected:
    explicit scope_around(Awaitable operation) : scoped_await<Awaitable>(std::move(operation)) {}

    template <cove_promise Promise>
    bool suspend_within(const limit& until, std::coroutine_handle<Promise> awaiting) {
        scope_.set_deadline(until.end(), until.reason);
        return this->suspend_in(scope_, awaiting, false);
    }

    template <cove_promise Promise>
    bool suspend_shielded(std::coroutine_handle<Promise> awaiting) {
        return this->suspend_in(scope_, awaiting, true);
    }
};

template <class Awaitable>
class [[nodiscard]] timeout_operation : public scope_around<Awaitable> {
public:
    timeout_operation(Awaitable operation, const limit& end)
        : scope_around<Awaitable>(std::move(operation)), end_(end) {}

    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return this->suspend_within(end_, awaiting);
    }
    await_result_t<Awaitable> await_resume() {
        if (this->absorbs_cancellation()) throw_timed_out();
        try {
            return this->finish();
        } catch (const canceled&) {
            if (!this->absorbed_) throw;
        }
        throw_timed_out();
    }

    // As_result's way: without a throw.
    auto take_result()
        requires tells_cancellation<Awaitable> && requires(Awaitable& operation) { operation.take_result(); }
    {
        using result = decltype(this->operation_.take_result());
        if (this->absorbs_cancellation()) return result(make_error_code(errc::timed_out));
        const typename scoped_await<Awaitable>::leaving guard{*this};
        return this->operation_.take_result();
    }

private:
    [[noreturn]] void throw_timed_out() const {
        if (end_.is_length()) throw timed_out(end_.reason.limit);
        throw timed_out();
    }

    limit end_;
};

template <class Awaitable>
class [[nodiscard]] move_on_operation : public scope_around<Awaitable> {
public:
    move_on_operation(Awaitable operation, const limit& end)
        : scope_around<Awaitable>(std::move(operation)), end_(end) {}

    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return this->suspend_within(end_, awaiting);
    }
    auto await_resume() { return this->finish_optional(); }

private:
    limit end_;
};

template <class Awaitable>
class [[nodiscard]] shield_operation : public scope_around<Awaitable> {
public:
    explicit shield_operation(Awaitable operation) : scope_around<Awaitable>(std::move(operation)) {}

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
detail::timeout_operation<Awaitable> timeout(std::chrono::duration<Rep, Period> limit, Awaitable operation,
                                             std::source_location where = std::source_location::current()) {
    return {std::move(operation), detail::limit::after(to_duration(limit), "timeout", where)};
}

// The same until a point in time, which several operations can share.
template <class Awaitable>
detail::timeout_operation<Awaitable> timeout_at(time_point deadline, Awaitable operation,
                                                std::source_location where = std::source_location::current()) {
    return {std::move(operation), detail::limit::at(deadline, "timeout_at", where)};
}

// Awaits an operation for at most limit, and goes on without its result if the time is over first.
// Result: the operation's in an optional, empty when the time was over (for void: true, or false).
template <class Rep, class Period, class Awaitable>
detail::move_on_operation<Awaitable> move_on_after(std::chrono::duration<Rep, Period> limit, Awaitable operation,
                                                   std::source_location where = std::source_location::current()) {
    return {std::move(operation), detail::limit::after(to_duration(limit), "move_on_after", where)};
}

// The same until a point in time.
template <class Awaitable>
detail::move_on_operation<Awaitable> move_on_at(time_point deadline, Awaitable operation,
                                                std::source_location where = std::source_location::current()) {
    return {std::move(operation), detail::limit::at(deadline, "move_on_at", where)};
}

// Awaits an operation that no cancellation from outside reaches, for clean-up. Bound it: shield(timeout(...)).
// Later waits outside the shield throw `canceled` again.
template <class Awaitable>
detail::shield_operation<Awaitable> shield(Awaitable operation) {
    return detail::shield_operation<Awaitable>(std::move(operation));
}

}  // namespace cove
