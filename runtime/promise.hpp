// promise<T>: a result that is set once and that any number of coroutines wait for. asyncio's Future, Node's deferred.

#pragma once

#include <cove/runtime/error.hpp>
#include <cove/runtime/event.hpp>

#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace cove {

// Is empty until somebody sets a value or an exception; from then on everybody gets that.
// Concurrency: the thread of its loop. Lifetime: must outlive its waiters, and what they got refers to it.
template <class T = void>
class promise {
    using stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

public:
    class operation;

    promise() noexcept = default;

    // Sets the result and ends every wait, in order; returns false, changing nothing, where there is one already.
    template <class... Arguments>
    bool set_value(Arguments&&... arguments) {
        if (is_set()) return false;
        value_.emplace(std::forward<Arguments>(arguments)...);
        set_.set();
        return true;
    }
    bool set_exception(std::exception_ptr error) noexcept {
        if (!error) detail::misuse("promise::set_exception needs an exception");
        if (is_set()) return false;
        error_ = std::move(error);
        set_.set();
        return true;
    }
    bool is_set() const noexcept { return set_.is_set(); }

    // Waits for the result. Result: a reference to the value. Throws: the exception that was set.
    // Cancellation: ends the wait.
    operation get() noexcept { return operation(*this); }

private:
    std::optional<stored> value_;
    std::exception_ptr error_;
    event set_;
};

template <class T>
class [[nodiscard]] promise<T>::operation final : public event::wait_operation {
public:
    explicit operation(promise& awaited) noexcept : event::wait_operation(awaited.set_), promise_(&awaited) {}

    std::add_lvalue_reference_t<T> await_resume() const {
        throw_if_canceled();
        if (promise_->error_) std::rethrow_exception(promise_->error_);
        if constexpr (!std::is_void_v<T>) return *promise_->value_;
    }
    std::string describe() const override { return "promise"; }

private:
    promise* promise_;
};

}  // namespace cove
