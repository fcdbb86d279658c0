// Errors as values: `co_await as_result(operation)` gives a result<T> where `co_await operation` would throw.

#pragma once

#include <cove/runtime/cancel_scope.hpp>

#include <coroutine>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

namespace cove {

// A value, or the std::error_code of why there is none: std::expected<T, std::error_code> in shape.
template <class T>
class [[nodiscard]] result {
    using stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

public:
    using value_type = T;

    result(stored value) : value_(std::move(value)) {}
    result(std::error_code error) noexcept : error_(error) {}

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }

    // The error; the empty code where there is a value.
    std::error_code error() const noexcept { return error_; }

    // The value. value() throws std::system_error where there is none; * and -> must not be used then.
    stored& value() & {
        if (!value_) throw std::system_error(error_);
        return *value_;
    }
    stored&& value() && { return std::move(value()); }
    stored& operator*() & noexcept { return *value_; }
    const stored& operator*() const& noexcept { return *value_; }
    stored&& operator*() && noexcept { return std::move(*value_); }
    stored* operator->() noexcept { return &*value_; }
    const stored* operator->() const noexcept { return &*value_; }

    template <class U>
    stored value_or(U&& otherwise) const& {
        return value_ ? *value_ : static_cast<stored>(std::forward<U>(otherwise));
    }

private:
    std::optional<stored> value_;
    std::error_code error_;
};

namespace detail {

template <class Awaitable>
class [[nodiscard]] result_operation {
public:
    explicit result_operation(Awaitable operation) : operation_(std::move(operation)) {}

    bool await_ready() { return operation_.await_ready(); }
    template <cove_promise Promise>
    auto await_suspend(std::coroutine_handle<Promise> awaiting) {
        return operation_.await_suspend(awaiting);
    }
    bool was_canceled() const noexcept
        requires tells_cancellation<Awaitable>
    {
        return operation_.was_canceled();
    }
    result<await_result_t<Awaitable>> await_resume() {
        if constexpr (requires { operation_.take_result(); }) {
            return operation_.take_result();
        } else {
            try {
                if constexpr (std::is_void_v<await_result_t<Awaitable>>) {
                    operation_.await_resume();
                    return std::monostate();
                } else {
                    return operation_.await_resume();
                }
            } catch (const std::system_error& error) {
                return error.code();
            }
        }
    }

private:
    Awaitable operation_;
};

}  // namespace detail

// Awaits an operation and gives what it would throw as std::system_error as a value; for operations on descriptors
// nothing is thrown inside either. `canceled` and other exceptions pass.
template <class Awaitable>
detail::result_operation<Awaitable> as_result(Awaitable operation) {
    return detail::result_operation<Awaitable>(std::move(operation));
}

}  // namespace cove
