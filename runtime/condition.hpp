// condition: waiting, under a mutex, for what another coroutine changes under it.

#pragma once

#include <cove/runtime/attributes.hpp>
#include <cove/runtime/mutex.hpp>

#include <string>

namespace cove {

// Coroutines that hold a mutex wait here until notified: `while (!ready) co_await changed.wait(held);`
// Concurrency: the thread of its loop. Lifetime: must outlive its waiters.
class condition {
public:
    class operation;

    // Unlocks the mutex that `held` holds, waits to be notified, and locks it again.
    // Cancellation: the mutex is locked again before `canceled` is thrown, so that the guard is true either way. A
    // notification is never lost: who was notified before it was canceled returns.
    // held must hold a lock, and outlive the await.
    operation wait(mutex::guard& held COVE_LIFETIMEBOUND) noexcept;

    // Has the one that has waited longest go on, once it gets the mutex; runs no coroutine. The mutex need not be held.
    void notify_one() noexcept;
    void notify_all() noexcept;

private:
    detail::intrusive_list<semaphore::request, detail::queue_tag> waiting_;
};

class [[nodiscard]] condition::operation final : public semaphore::request {
public:
    // It unlocks the mutex when it begins.
    static constexpr bool selectable = false;

    operation(condition& waited_for, mutex::guard& held) noexcept
        : request(*held.from_), condition_(&waited_for), held_(&held) {}
    operation(const operation& other) noexcept : request(other), condition_(other.condition_), held_(other.held_) {}
    ~operation();

    template <detail::cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return start(awaiting.promise());
    }
    void await_resume();
    std::string describe() const override { return stage_ == stage::waiting ? "condition" : request::describe(); }

private:
    friend class condition;
    enum class stage : unsigned char { idle, waiting, notified, canceled };

    bool start(detail::promise_base& frame) noexcept;
    void lock_again(stage why) noexcept;
    bool withdraw() noexcept override;

    condition* condition_;
    mutex::guard* held_;
    stage stage_ = stage::idle;
};

inline condition::operation condition::wait(mutex::guard& held) noexcept {
    if (!held) detail::misuse("condition::wait needs a guard that holds the mutex");
    return operation(*this, held);
}

}  // namespace cove
