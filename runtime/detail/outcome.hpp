// What a coroutine ends with: a value or an exception, taken once.

#pragma once

#include <exception>
#include <new>
#include <type_traits>
#include <utility>

namespace cove::detail {

template <class T>
class outcome {
    using stored = std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>;

public:
    outcome() noexcept {}
    outcome(const outcome&) = delete;
    outcome& operator=(const outcome&) = delete;
    ~outcome() {
        if (state_ == state::value) value_.~stored();
        if (state_ == state::exception) exception_.~exception_ptr();
    }

    template <class U>
    void set_value(U&& value) {
        if constexpr (std::is_reference_v<T>)
            ::new (static_cast<void*>(&value_)) stored(&value);
        else
            ::new (static_cast<void*>(&value_)) stored(std::forward<U>(value));
        state_ = state::value;
    }

    void set_exception() noexcept {
        ::new (static_cast<void*>(&exception_)) std::exception_ptr(std::current_exception());
        state_ = state::exception;
    }

    T take() {
        if (state_ == state::exception) std::rethrow_exception(std::move(exception_));
        if constexpr (std::is_reference_v<T>)
            return static_cast<T>(*value_);
        else
            return std::move(value_);
    }

private:
    enum class state : unsigned char { none, value, exception };
    union {
        stored value_;
        std::exception_ptr exception_;
    };
    state state_ = state::none;
};

template <>
class outcome<void> {
public:
    void set_value() noexcept {}
    void set_exception() noexcept { exception_ = std::current_exception(); }
    void take() {
        if (exception_) std::rethrow_exception(std::move(exception_));
    }

private:
    std::exception_ptr exception_;
};

}  // namespace cove::detail
