// Several awaitables at once, the first of them wanted: asyncio's wait(FIRST_COMPLETED), Node's Promise.race.

#pragma once

#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/when_all.hpp>

#include <cstddef>
#include <exception>
#include <optional>
#include <tuple>
#include <utility>

namespace cove {

namespace detail {

template <class Awaitable>
task<> store_and_end(Awaitable& operation, std::optional<stored_result_t<Awaitable>>& into, task_group& others,
                     bool& decided, std::exception_ptr& error) {
    try {
        co_await store(operation, into);
    } catch (const canceled&) {
        throw;
    } catch (...) {
        if (!decided) error = std::current_exception();
    }
    decided = true;
    others.cancel();
}

}  // namespace detail

// Awaits the operations concurrently until the first has finished, and cancels the others.
// Result: a tuple of optionals, one for each operation, std::monostate for void. Only the first is filled, except where
// another had finished too before its cancellation could reach it: what has been done is never thrown away.
// Throws: what the first throws, if that ends by an exception; an exception of one that ends later is dropped.
// Cancellation: reaches all of them; what has finished by then is returned.
template <class... Awaitables>
task<std::tuple<std::optional<detail::stored_result_t<Awaitables>>...>> race(Awaitables... operations) {
    std::tuple<std::optional<detail::stored_result_t<Awaitables>>...> results;
    bool decided = false;
    std::exception_ptr error;
    task_group group;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (group.spawn(detail::store_and_end(operations, std::get<I>(results), group, decided, error)), ...);
    }(std::index_sequence_for<Awaitables...>());
    try {
        co_await group.join();
    } catch (const canceled&) {
        if (!decided) throw;
    }
    if (error) std::rethrow_exception(error);
    co_return std::move(results);
}

}  // namespace cove
