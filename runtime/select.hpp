// select: the first of several operations, and exactly that one. Go's select, Tokio's select!.

#pragma once

#include <cove/runtime/waiter.hpp>
#include <cove/runtime/when_all.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

namespace cove {

namespace detail {

// An operation that does nothing before its own turn comes, so that one which loses leaves no trace.
template <class Operation>
concept selectable = std::derived_from<Operation, waiter> && !requires { requires !Operation::selectable; };

// All of the operations wait in the same frame. The first whose turn comes has that frame resumed, and await_resume()
// withdraws the others before they can do anything.
template <selectable... Operations>
class [[nodiscard]] select_operation {
    static constexpr std::size_t count = sizeof...(Operations);

public:
    explicit select_operation(Operations... operations) : operations_(std::move(operations)...) {}

    bool await_ready() const noexcept { return false; }

    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return start<0>(awaiting);
    }

    std::variant<stored_result_t<Operations>...> await_resume() {
        for_each([this](auto& operation, std::size_t index) {
            if (winner_ == count && operation->has_ended()) winner_ = index;
        });
        for_each([this](auto& operation, std::size_t index) {
            if (winner_ != index) operation.reset();
        });
        return result<0>();
    }

private:
    template <std::size_t I, cove_promise Promise>
    bool start(std::coroutine_handle<Promise> awaiting) {
        auto& operation = *std::get<I>(operations_);
        if (operation.await_ready() || !operation.await_suspend(awaiting)) {
            winner_ = I;
            return false;
        }
        if constexpr (I + 1 < count) return start<I + 1>(awaiting);
        return true;
    }

    template <class Visit>
    void for_each(Visit visit) {
        std::size_t index = 0;
        std::apply([&](auto&... each) { (visit(each, index++), ...); }, operations_);
    }

    template <std::size_t I>
    std::variant<stored_result_t<Operations>...> result() {
        if constexpr (I + 1 < count)
            if (winner_ != I) return result<I + 1>();
        return std::variant<stored_result_t<Operations>...>(std::in_place_index<I>,
                                                            take_stored(*std::get<I>(operations_)));
    }

    std::tuple<std::optional<Operations>...> operations_;
    std::size_t winner_ = count;
};

}  // namespace detail

// Waits for the first of several operations, which is done; the others have then done nothing. Where several can be done
// at once the first in the list is: put what is urgent first. Makes no frame and allocates nothing.
//
// It takes single operations that do nothing before their own turn comes: receive() of channels, broadcasts and watches,
// read() and accept(), sleeps and ticks, events, locks, permits, signals; of connect() the socket is closed where it loses.
// For tasks, and for operations that may be half done or undone by nobody, such as write() and channel::send(), there is
// race(), which keeps every result.
// Result: a variant; index() says which one; std::monostate stands for void, a pointer for a reference. Throws: what that one throws.
// Cancellation: nothing has been done.
template <detail::selectable... Operations>
detail::select_operation<Operations...> select(Operations... operations) {
    return detail::select_operation<Operations...>(std::move(operations)...);
}

}  // namespace cove
