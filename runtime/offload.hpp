// offload: a call that blocks, on another thread, awaited like any other operation.

#pragma once

#include <cove/runtime/detail/outcome.hpp>
#include <cove/runtime/thread_pool.hpp>
#include <cove/runtime/waiter.hpp>

#include <coroutine>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cove {

namespace detail {

class offload_waiter;

// The part of a job that knows who waits for it: the loop's thread only.
class offloaded : public job {
public:
    offload_waiter* waiting = nullptr;

private:
    void run() noexcept final;
    void drop() noexcept final;
};

// What waiting for a job takes, whatever its type.
class offload_waiter : public waiter {
public:
    bool await_ready() const noexcept { return false; }
    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return start(awaiting.promise());
    }
    std::string describe() const override { return "offload"; }

    // Its call cannot be taken back.
    static constexpr bool selectable = false;

protected:
    offload_waiter(thread_pool& pool, offloaded& job, bool may_abandon) noexcept
        : pool_(&pool), job_(&job), may_abandon_(may_abandon) {}
    offload_waiter(offload_waiter&& other) noexcept
        : waiter(other),
          pool_(other.pool_),
          job_(std::exchange(other.job_, nullptr)),
          may_abandon_(other.may_abandon_) {}
    ~offload_waiter();

    // Throws what the wait ended with, unless it ended with the call made.
    void throw_if_not_made() const;

    offloaded& awaited() const noexcept { return *job_; }

private:
    friend class offloaded;
    bool start(promise_base& frame);
    bool withdraw() noexcept override;
    bool take_back() noexcept;

    thread_pool* pool_;
    offloaded* job_;
    int refused_ = 0;
    bool job_in_flight_ = false;
    bool may_abandon_;
};

template <class Result, class Function, class... Arguments>
class offload_job final : public offloaded {
public:
    offload_job(Function function, Arguments... arguments)
        : function_(std::move(function)), arguments_(std::move(arguments)...) {}

    Result take() { return outcome_.take(); }

private:
    // The function and its arguments end with the call: what they refer to may be gone before the job is.
    void call() noexcept override {
        try {
            Function function(std::move(function_));
            std::tuple<Arguments...> arguments(std::move(arguments_));
            if constexpr (std::is_void_v<Result>) {
                std::apply(std::move(function), std::move(arguments));
                outcome_.set_value();
            } else {
                outcome_.set_value(std::apply(std::move(function), std::move(arguments)));
            }
        } catch (...) {
            outcome_.set_exception();
        }
    }

    Function function_;
    std::tuple<Arguments...> arguments_;
    outcome<Result> outcome_;
};

template <class Result, class Function, class... Arguments>
class [[nodiscard]] offload_operation final : public offload_waiter {
    using job_type = offload_job<Result, Function, Arguments...>;

public:
    offload_operation(thread_pool& pool, bool may_abandon, Function function, Arguments... arguments)
        : offload_waiter(pool, *new job_type(std::move(function), std::move(arguments)...), may_abandon) {}

    Result await_resume() {
        throw_if_not_made();
        return static_cast<job_type&>(awaited()).take();
    }
};

template <class Function, class... Arguments>
using offload_operation_t = offload_operation<std::invoke_result_t<Function, Arguments...>, Function, Arguments...>;

}  // namespace detail

// Calls function(arguments...) on a thread of a pool, thread_pool::shared() unless another is given, and waits for it.
// Result: what the call returns. Throws: what the call throws; std::system_error (EAGAIN) when the pool's queue is full.
// Cancellation: a call that no thread has begun is not made; one that runs cannot be stopped: the operation waits for its
// end and gives its result, and the next wait throws `canceled`. A frame that is destroyed meanwhile blocks for it.
// Lifetime: function and arguments are moved in; what they refer to must outlive the await.
template <class Function, class... Arguments>
detail::offload_operation_t<Function, Arguments...> offload(Function function, Arguments... arguments) {
    return {thread_pool::shared(), false, std::move(function), std::move(arguments)...};
}
template <class Function, class... Arguments>
detail::offload_operation_t<Function, Arguments...> offload(thread_pool& pool, Function function,
                                                            Arguments... arguments) {
    return {pool, false, std::move(function), std::move(arguments)...};
}

// As offload(), but cancellation, and destruction, let go of a call that runs: it goes on, and its result is dropped when
// it ends. So function and arguments must own all that they use: no captures by reference, no views.
template <class Function, class... Arguments>
detail::offload_operation_t<Function, Arguments...> offload_or_abandon(Function function, Arguments... arguments) {
    return {thread_pool::shared(), true, std::move(function), std::move(arguments)...};
}
template <class Function, class... Arguments>
detail::offload_operation_t<Function, Arguments...> offload_or_abandon(thread_pool& pool, Function function,
                                                                       Arguments... arguments) {
    return {pool, true, std::move(function), std::move(arguments)...};
}

}  // namespace cove
