// Several awaitables at once, all of them wanted: asyncio's gather, Node's Promise.all.

#pragma once

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>

#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace cove {

namespace detail {

// What an awaitable gives, as something that can be stored: std::monostate for void, a pointer for a reference.
template <class Awaitable>
using stored_result_t = std::conditional_t<
    std::is_void_v<await_result_t<Awaitable>>, std::monostate,
    std::conditional_t<std::is_reference_v<await_result_t<Awaitable>>,
                       std::remove_reference_t<await_result_t<Awaitable>>*, await_result_t<Awaitable>>>;

// Takes it from an operation that has ended.
template <class Operation>
stored_result_t<Operation> take_stored(Operation& ended) {
    if constexpr (std::is_void_v<await_result_t<Operation>>) {
        ended.await_resume();
        return {};
    } else if constexpr (std::is_reference_v<await_result_t<Operation>>) {
        return std::addressof(ended.await_resume());
    } else {
        return ended.await_resume();
    }
}

// The same, while it is awaited.
template <class Operation>
class stored {
public:
    explicit stored(Operation& operation) noexcept : operation_(operation) {}

    bool await_ready() { return operation_.await_ready(); }
    template <cove_promise Promise>
    auto await_suspend(std::coroutine_handle<Promise> awaiting) {
        return operation_.await_suspend(awaiting);
    }
    stored_result_t<Operation> await_resume() { return take_stored(operation_); }

private:
    Operation& operation_;
};

template <class Awaitable>
task<> hold(Awaitable& operation) {
    co_await operation;
}

template <class Awaitable>
task<> store(Awaitable& operation, std::optional<stored_result_t<Awaitable>>& into) {
    into.emplace(co_await stored<Awaitable>(operation));
}

}  // namespace detail

// Awaits all of the operations concurrently.
// Result: a tuple of their results, std::monostate for void, a pointer for a reference. Throws: what the first that fails
// throws, once the others, canceled for it, have ended. Cancellation: reaches all of them.
template <class... Awaitables>
task<std::tuple<detail::stored_result_t<Awaitables>...>> when_all(Awaitables... operations) {
    std::tuple<std::optional<detail::stored_result_t<Awaitables>>...> results;
    task_group group;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (group.spawn(detail::store(operations, std::get<I>(results))), ...);
    }(std::index_sequence_for<Awaitables...>());
    co_await group.join();
    co_return std::apply(
        [](auto&... each) { return std::tuple<detail::stored_result_t<Awaitables>...>(std::move(*each)...); }, results);
}

// The same for any number of awaitables of one type. Result: a vector of their results, in their order; nothing for void.
template <class Awaitable>
    requires(!std::is_void_v<detail::await_result_t<Awaitable>>)
task<std::vector<detail::stored_result_t<Awaitable>>> when_all(std::vector<Awaitable> operations) {
    std::vector<std::optional<detail::stored_result_t<Awaitable>>> results(operations.size());
    task_group group;
    for (std::size_t i = 0; i < operations.size(); ++i) group.spawn(detail::store(operations[i], results[i]));
    co_await group.join();
    std::vector<detail::stored_result_t<Awaitable>> all;
    all.reserve(results.size());
    for (auto& each : results) all.push_back(std::move(*each));
    co_return std::move(all);
}
template <class Awaitable>
    requires std::is_void_v<detail::await_result_t<Awaitable>>
task<> when_all(std::vector<Awaitable> operations) {
    task_group group;
    for (Awaitable& each : operations) group.spawn(detail::hold(each));
    co_await group.join();
}

}  // namespace cove
