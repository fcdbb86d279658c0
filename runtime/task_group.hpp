// task_group: the one place where tasks are spawned.

#pragma once

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/detail/execution.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/waiter.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

namespace cove {

class task_group;

namespace detail {

struct child_tag;

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

// The frame that holds a spawned task, and the callable that made it.
struct child {
    struct promise_type : promise_base, runnable, list_node<child_tag> {
        task_group* group = nullptr;

        child get_return_object() noexcept {
            handle = std::coroutine_handle<promise_type>::from_promise(*this);
            return {*this};
        }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        auto final_suspend() const noexcept { return finish(); }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept;
        void run() noexcept override { resume(*this); }

        // Keeps the place of the spawn, which says more in a stack than the place of the co_await below.
        template <class Awaiter>
        awaiter_reference<std::remove_reference_t<Awaiter>> await_transform(Awaiter&& awaiter) noexcept {
            return awaiter_reference<std::remove_reference_t<Awaiter>>(awaiter);
        }
    };

    struct finish {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> finished) const noexcept;
        void await_resume() const noexcept {}
    };

    promise_type& promise;
};

}  // namespace detail

// Owns running tasks.
//
// co_await group.join() waits for all of them. When one throws, the others are canceled and join() throws that
// exception. A group that is left in any other way, by an exception or an early return, ends its tasks there and then:
// its destructor destroys their frames, and whatever they waited for is withdrawn. cancel() is the gentle way, which
// lets them clean up. So nothing outlives its owner.
//
// Concurrency: the thread of its loop. Lifetime: none of its own tasks may destroy it.
class task_group {
public:
    class join_operation;

    // Its tasks inherit the cancel scope of the running coroutine.
    task_group() noexcept : task_group(current_scope()) {}
    // Its tasks are in the scope given, or, shielded, beyond the reach of its cancellation.
    explicit task_group(cancel_scope& parent, bool shielded = false) noexcept { scope_.enter(parent, shielded); }
    ~task_group();

    // Starts a task, when its turn in the ready queue comes. Takes a task, or anything callable that returns one, such
    // as a coroutine lambda, whose captures are kept alive until the task has ended. The task's result is discarded.
    // Throws: std::bad_alloc.
    template <class Spawned>
    void spawn(Spawned spawned, std::source_location where = std::source_location::current()) {
        if constexpr (detail::is_task<Spawned>)
            start(hold(std::move(spawned)).promise, where);
        else
            start(call(std::move(spawned)).promise, where);
    }

    // Cancels the tasks, those to come as well. what and where are the reason that `canceled` and stacks show.
    void cancel(const char* what = "task_group::cancel()",
                std::source_location where = std::source_location::current()) noexcept {
        scope_.cancel(what, where);
    }

    // Waits until all tasks have ended, those spawned meanwhile as well.
    // Throws: what the first failed task threw; `canceled`, once all have ended, where a scope around this group was
    // canceled and has ended one of them. After cancel() it returns normally.
    // Cancellation: of a scope around the group too: reaches the tasks, and join goes on waiting until they have ended;
    // of a scope around this call only, as in timeout(limit, group.join()): ends the wait, and the tasks go on.
    // Concurrency: one coroutine at a time.
    join_operation join() noexcept;

    // How many tasks have not ended yet.
    std::size_t size() const noexcept { return size_; }

    // Throws what the first failed task threw, if one did, without waiting for the others: what join() ends with.
    void rethrow_failure() {
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    }

private:
    friend struct detail::child;

    template <class Task>
    static detail::child hold(Task held) {
        co_await held;
    }
    template <class Callable>
    static detail::child call(Callable held) {
        auto made = held();
        co_await made;
    }

    void start(detail::child::promise_type& added, std::source_location where) noexcept;
    void child_failed(std::source_location where) noexcept;
    void child_ended(detail::child::promise_type& ended) noexcept;

    cancel_scope scope_;
    detail::intrusive_list<detail::child::promise_type, detail::child_tag> children_;
    std::size_t size_ = 0;
    std::exception_ptr error_;
    join_operation* joining_ = nullptr;
    bool child_was_canceled_ = false;
};

class [[nodiscard]] task_group::join_operation final : public waiter {
public:
    explicit join_operation(task_group& group) noexcept : group_(&group) {}
    join_operation(const join_operation&) noexcept = default;
    ~join_operation() { leave(); }

    bool await_ready() const noexcept { return false; }
    template <detail::cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return start(awaiting.promise());
    }
    void await_resume() const;

    std::string describe() const override;

private:
    bool start(detail::promise_base& frame) noexcept;
    void leave() noexcept {
        if (group_->joining_ == this) group_->joining_ = nullptr;
    }
    bool withdraw() noexcept override;

    task_group* group_;
    cancel_scope* around_ = nullptr;
};

}  // namespace cove
