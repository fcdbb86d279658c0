// finally: what has to be awaited on the way out, whatever the way. Destructors cannot await.

#pragma once

#include <cove/runtime/clock.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/timeout.hpp>

#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace cove {

namespace detail {

template <class CleanUp>
task<> clean_up_within(duration limit, CleanUp& clean_up) {
    auto made = clean_up();
    co_await shield(move_on_after(limit, std::move(made)));
}

}  // namespace detail

// Awaits an operation, and then, whether it has returned, thrown or was canceled, what clean_up() returns, a task, say:
// beyond the reach of every cancellation, for at most limit. Then it ends as the operation did.
// Result: the operation's. Throws: what the operation throws; where that has not thrown, what clean_up throws.
// Lifetime: clean_up is moved in and lives until it has been awaited.
template <class Awaitable, class CleanUp>
task<detail::await_result_t<Awaitable>> finally(Awaitable operation, duration limit, CleanUp clean_up) {
    using result = detail::await_result_t<Awaitable>;
    std::exception_ptr failure;
    std::optional<std::conditional_t<std::is_void_v<result>, bool, result>> value;
    try {
        if constexpr (std::is_void_v<result>)
            co_await operation;
        else
            value.emplace(co_await operation);
    } catch (...) {
        failure = std::current_exception();
    }
    try {
        co_await detail::clean_up_within(limit, clean_up);
    } catch (...) {
        if (!failure) failure = std::current_exception();
    }
    if (failure) std::rethrow_exception(failure);
    if constexpr (!std::is_void_v<result>) co_return std::move(*value);
}

}  // namespace cove
