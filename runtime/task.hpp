// task<T>: a coroutine that runs when it is awaited.

#pragma once

#include <cove/runtime/attributes.hpp>
#include <cove/runtime/detail/execution.hpp>
#include <cove/runtime/detail/outcome.hpp>
#include <cove/runtime/error.hpp>

#include <source_location>
#include <utility>

namespace cove {

template <class T>
class task;
class task_group;

// Sets what is called with the text of a report about a task that was never awaited; null: it is printed to stderr, as
// it is at first. Returns what was set before. Concurrency: any thread.
using unawaited_handler = void (*)(const char* report);
unawaited_handler set_unawaited_handler(unawaited_handler handler) noexcept;

namespace detail {

template <class T>
struct task_promise;

// Reports a frame that is dropped unstarted, unless an exception or the destruction of what owned it took it along.
void report_unawaited(const promise_base& frame) noexcept;

// Stands while a frame is destroyed: what is dropped with it is not reported.
struct destroying_guard {
    destroying_guard() noexcept { ++this_thread.destroying; }
    destroying_guard(const destroying_guard&) = delete;
    destroying_guard& operator=(const destroying_guard&) = delete;
    ~destroying_guard() { --this_thread.destroying; }
};

struct resume_continuation {
    bool await_ready() const noexcept { return false; }
    template <cove_promise Promise>
    void await_suspend(std::coroutine_handle<Promise> finished) noexcept {
        promise_base& ended = finished.promise();
        if (ended.is_spawned()) [[unlikely]]
            end_spawned(ended);
        else
            this_thread.current = ended.continuation;
    }
    void await_resume() const noexcept {}
};

template <class T>
struct task_promise_base : promise_base {
    outcome<T> result;

    task<T> get_return_object(std::source_location coroutine = std::source_location::current()) noexcept;
    std::suspend_always initial_suspend() const noexcept { return {}; }
    resume_continuation final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept {
        if (this->is_spawned())
            fail_spawned(*this);
        else
            result.set_exception();
    }
};

template <class T>
struct task_promise : task_promise_base<T> {
    template <class U>
    void return_value(U&& value) {
        this->result.set_value(std::forward<U>(value));
    }
};

template <>
struct task_promise<void> : task_promise_base<void> {
    void return_void() noexcept { result.set_value(); }
};

}  // namespace detail

// A lazy coroutine: nothing of it runs until it is awaited, once, or given to a task_group or to run().
//
// `co_await some_task()` starts it, waits for its end, and gives its result or throws what it threw. T is void, a value
// (move-only is enough, aligned to 16 bytes at most) or a reference. A loop may await any number of tasks, and a chain of
// tasks be of any depth, in every build: no more than nine coroutines ever stand on the stack, each with those of its
// variables that the compiler does not keep in its frame. Only a chain that is destroyed while it is suspended takes stack
// for each of its frames: some 80 bytes in a release build, up to 800 under AddressSanitizer.
//
// Cancellation: a task inherits the cancel scope of whoever awaits or spawns it; awaiting a task in a canceled scope
// still starts it, and its first wait throws `canceled`.
// Concurrency: a task belongs to the thread of the loop that runs it.
// In builds without NDEBUG a task that is dropped without ever having been awaited, other than by an exception or along with
// a frame that is destroyed, is reported, with the places of the coroutine and of the co_await after which it was dropped:
// see set_unawaited_handler.
// Lifetime: a task that is destroyed before it has ended takes its frame with it, and whatever the frame waits for is
// withdrawn. It must not outlive the frame that awaits it. Reference parameters must outlive the await, as must the closure of a lambda that is a coroutine
// (task_group::spawn keeps that one alive for you).
template <class T = void>
class [[nodiscard]] COVE_CORO_RETURN_TYPE COVE_CORO_LIFETIMEBOUND task {
public:
    using promise_type = detail::task_promise<T>;
    using value_type = T;

    task(task&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
    task& operator=(task&& other) noexcept {
        task old(std::move(*this));
        frame_ = std::exchange(other.frame_, {});
        return *this;
    }
    ~task() {
        if (!frame_) [[unlikely]]
            return;
#ifndef NDEBUG
        if (frame_.promise().continuation == nullptr) detail::report_unawaited(frame_.promise());
        const detail::destroying_guard guard;
#endif
        frame_.destroy();
    }

    bool await_ready() const noexcept { return false; }

    // Starts the task; false: it has ended already, and whoever awaits it goes on.
    template <detail::cove_promise Promise>
    [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        if (!frame_) detail::misuse("a task that was moved from cannot be awaited", awaiting.promise().location);
        promise_type& mine = frame_.promise();
        if (mine.continuation != nullptr) detail::misuse("a task can be awaited once", awaiting.promise().location);
        mine.continuation = &awaiting.promise();
        mine.scope = awaiting.promise().scope;
        return detail::run_awaited(mine, awaiting.promise());
    }

    T await_resume() { return frame_.promise().result.take(); }

private:
    friend detail::task_promise_base<T>;
    friend class task_group;

    explicit task(promise_type& promise) noexcept : frame_(detail::frame_of(promise)) {}

    std::coroutine_handle<promise_type> frame_;
};

template <class T>
task<T> detail::task_promise_base<T>::get_return_object(std::source_location coroutine) noexcept {
    this->location = coroutine;
    return task<T>(static_cast<task_promise<T>&>(*this));
}

}  // namespace cove
