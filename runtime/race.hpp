// Several awaitables at once, the first of them wanted: asyncio's wait(FIRST_COMPLETED), Node's Promise.race.

#pragma once

#include <cove/runtime/task.hpp>
#include <cove/runtime/task_group.hpp>
#include <cove/runtime/when_all.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <source_location>
#include <tuple>
#include <utility>
#include <vector>

namespace cove {

namespace detail {

// How a race stands: the first to end decides it, and the others are canceled.
struct race_state {
    task_group group;
    std::source_location where;  // of the race
    bool decided = false;
    std::exception_ptr error;

    race_state() noexcept : where(awaited_at()) {}

    void decide() noexcept {
        decided = true;
        group.cancel("the end of the race", where);
    }

    // Waits for all. A race that was decided before it was canceled from outside keeps its result.
    task<> finish() {
        try {
            co_await group.join();
        } catch (const canceled&) {
            if (!decided) throw;
        }
        if (error) std::rethrow_exception(error);
        if (!decided && current_scope().is_canceled()) throw canceled(current_scope().reason());
    }
};

// Awaits an operation up to the moment when await_resume() is to be called: true, or false where it was canceled.
template <class Operation>
class until_ended {
public:
    explicit until_ended(Operation& operation) noexcept : operation_(operation) {}

    bool await_ready() const noexcept { return operation_.await_ready(); }
    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return operation_.await_suspend(awaiting);
    }
    bool await_resume() const noexcept { return !operation_.was_canceled(); }

private:
    Operation& operation_;
};

template <class Awaitable>
task<> store_and_decide(Awaitable& operation, std::optional<stored_result_t<Awaitable>>& into, race_state& state) {
    try {
        if constexpr (tells_cancellation<Awaitable>) {
            // Most of those who lose are operations: they end without an exception.
            const bool ended = co_await until_ended<Awaitable>(operation);
            if (!ended) co_return;
            into.emplace(take_stored(operation));
        } else {
            co_await store(operation, into);
        }
    } catch (const canceled&) {
        throw;
    } catch (...) {
        if (!state.decided) state.error = std::current_exception();
    }
    state.decide();
}

}  // namespace detail

// Awaits the operations concurrently until the first has finished, and cancels the others.
// Result: a tuple of optionals, one for each operation, std::monostate for void, a pointer for a reference. Only the first is filled, except where
// another had finished too before its cancellation could reach it: what has been done is never thrown away.
// Throws: what the first throws, if that ends by an exception; an exception of one that ends later is dropped.
// Cancellation: reaches all of them; what has finished by then is returned.
template <class... Awaitables>
task<std::tuple<std::optional<detail::stored_result_t<Awaitables>>...>> race(Awaitables... operations) {
    std::tuple<std::optional<detail::stored_result_t<Awaitables>>...> results;
    detail::race_state state;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (state.group.spawn(detail::store_and_decide(operations, std::get<I>(results), state)), ...);
    }(std::index_sequence_for<Awaitables...>());
    co_await state.finish();
    co_return std::move(results);
}

// The same for any number of awaitables of one type. Result: a vector of optionals, in their order. A race of none ends
// at once.
template <class Awaitable>
task<std::vector<std::optional<detail::stored_result_t<Awaitable>>>> race(std::vector<Awaitable> operations) {
    std::vector<std::optional<detail::stored_result_t<Awaitable>>> results(operations.size());
    if (operations.empty()) co_return std::move(results);
    detail::race_state state;
    for (std::size_t i = 0; i < operations.size(); ++i)
        state.group.spawn(detail::store_and_decide(operations[i], results[i], state));
    co_await state.finish();
    co_return std::move(results);
}

}  // namespace cove
