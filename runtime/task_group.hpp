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

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

// Stands for a spawned frame until its turn in the ready queue comes.
class starter final : public runnable, public list_node<child_tag> {
public:
    starter(task_group& group, promise_base& frame, std::source_location where) noexcept
        : group_(group), frame_(frame), where_(where) {}
    ~starter() { runnable::unlink(); }

    static void* operator new(std::size_t size_bytes) { return frames.allocate(size_bytes); }
    static void operator delete(void* self, std::size_t size_bytes) noexcept { frames.free(self, size_bytes); }

    promise_base& frame() const noexcept { return frame_; }

private:
    void run() noexcept override;

    task_group& group_;
    promise_base& frame_;
    std::source_location where_;
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
class task_group : private cancel_scope {
public:
    class join_operation;

    // Its tasks inherit the cancel scope of the running coroutine.
    task_group() noexcept : task_group(current_scope()) {}
    // Its tasks are in the scope given, or, shielded, beyond the reach of its cancellation.
    explicit task_group(cancel_scope& parent, bool shielded = false) noexcept { enter(parent, shielded); }
    ~task_group() override;

    // Starts a task, when its turn in the ready queue comes. Takes a task, or anything callable that returns one, such
    // as a coroutine lambda, whose captures are kept alive until the task has ended. The task's result is discarded.
    // Throws: std::bad_alloc.
    template <class Spawned>
    void spawn(Spawned spawned, std::source_location where = std::source_location::current()) {
        if constexpr (detail::is_task<Spawned>) {
            prepare(spawned.frame_.promise(), where);
            static_cast<void>(std::exchange(spawned.frame_, {}));
        } else {
            task<> called = call(std::move(spawned));
            called.frame_.promise().location = {};
            spawn(std::move(called), where);
        }
    }

    // Cancels the tasks, those to come as well. what and where are the reason that `canceled` and stacks show.
    void cancel(const char* what = "task_group::cancel()",
                std::source_location where = std::source_location::current()) noexcept {
        cancel_scope::cancel(what, where);
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

protected:
    // For a group of its own kind. A task has thrown std::current_exception(): whether the others go on all the same.
    virtual bool survives_failure() noexcept { return false; }
    // A task has ended, and is gone.
    virtual void task_ended() noexcept {}

    // Inside a handler: whether what was thrown is `canceled`.
    static bool handles_canceled() noexcept;

private:
    friend void detail::fail_spawned(detail::promise_base& frame) noexcept;
    friend void detail::end_spawned(detail::promise_base& frame) noexcept;
    friend class detail::starter;

    template <class Callable>
    static task<> call(Callable held) {
        auto made = held();
        co_await detail::unplaced<decltype(made)>{made};
    }

    void prepare(detail::promise_base& added, std::source_location where);
    void destroy_tasks() noexcept;
    void task_failed(const detail::promise_base& failed) noexcept;

    detail::intrusive_list<detail::starter, detail::child_tag> starting_;
    detail::intrusive_list<detail::promise_base, detail::child_tag> running_;
    std::size_t size_ = 0;
    std::exception_ptr error_;
    join_operation* joining_ = nullptr;
    bool task_was_canceled_ = false;
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
