// Signals as something to await.

#pragma once

#include <cove/runtime/detail/intrusive_list.hpp>
#include <cove/runtime/waiter.hpp>

#include <coroutine>
#include <csignal>
#include <cstdint>
#include <initializer_list>

namespace cove {

namespace detail {
struct signal_tag;
}

// Receives signals for as long as it exists; several receivers, on one loop or on many, each get each signal.
//
// A signal that comes several times before it is looked at counts once, as signals do. While any receiver of a signal
// exists in the process the signal's own disposition is replaced; the last one restores it. See signal(7).
// Concurrency: the thread of its loop.
class signal_set : public detail::list_node<detail::signal_tag> {
public:
    class operation;

    // Throws std::system_error for a number that is no signal, or one that cannot be caught (SIGKILL, SIGSTOP).
    explicit signal_set(std::initializer_list<int> signals);
    signal_set(const signal_set&) = delete;
    signal_set& operator=(const signal_set&) = delete;
    ~signal_set();

    // Waits for the next of the signals and returns its number; where several have come, the lowest. One coroutine at a
    // time. Throws std::system_error (errc::busy) for a second one. Cancellation: takes no signal.
    operation next() noexcept;

    // From now on a wait for these signals alone does not keep a loop from reporting a deadlock.
    void unref() noexcept { referenced_ = false; }

private:
    friend class loop;

    bool keeps_awake() const noexcept { return waiting_ != nullptr && referenced_; }
    void deliver(std::uint64_t arrived) noexcept;

    loop& loop_;
    std::uint64_t mask_ = 0;
    std::uint64_t pending_ = 0;
    operation* waiting_ = nullptr;
    bool referenced_ = true;
};

class [[nodiscard]] signal_set::operation final : public waiter {
public:
    explicit operation(signal_set& set) noexcept : set_(&set) {}
    operation(const operation&) noexcept = default;
    ~operation() { withdraw(); }

    bool await_ready() const noexcept { return false; }
    template <detail::cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return start(awaiting.promise());
    }
    int await_resume();

    std::string describe() const override { return "signal"; }

private:
    friend class signal_set;
    bool start(detail::promise_base& frame) noexcept;
    bool withdraw() noexcept override;

    signal_set* set_;
    bool busy_ = false;
};

}  // namespace cove
