// Several awaitables at once, all of them wanted: asyncio's gather, Node's Promise.all.

#pragma once

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>

#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace cove {

namespace detail {

// What an awaitable gives, as something that can be stored.
template <class Awaitable>
using stored_result_t =
    std::conditional_t<std::is_void_v<await_result_t<Awaitable>>, std::monostate, await_result_t<Awaitable>>;

template <class Awaitable>
task<> store(Awaitable& operation, std::optional<stored_result_t<Awaitable>>& into) {
    if constexpr (std::is_void_v<await_result_t<Awaitable>>) {
        co_await operation;
        into.emplace();
    } else {
        into.emplace(co_await operation);
    }
}

}  // namespace detail

// Awaits all of the operations concurrently.
// Result: a tuple of their results, std::monostate for void. Throws: what the first that fails throws, once the others,
// canceled for it, have ended. Cancellation: reaches all of them.
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

}  // namespace cove
