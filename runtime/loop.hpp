// The event loop: runs ready coroutines, due timers and the reactor, on one thread, like Node's and gevent's.
//
// A turn takes a snapshot of the ready queue and runs it, so that a coroutine which always has work cannot keep I/O or
// timers waiting. Operations that succeed at once draw on a budget that each resumed coroutine gets; one that has
// spent it goes to the back of the queue. Resuming is done by the loop alone: no operation resumes, inside its own call,
// a coroutine that waits.
//
// Users seldom meet this class: run() makes a loop. Those who write operations use what is public here.

#pragma once

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/detail/inbox.hpp>
#include <cove/runtime/detail/intrusive_list.hpp>
#include <cove/runtime/detail/reactor.hpp>
#include <cove/runtime/detail/timer_wheel.hpp>
#include <cove/runtime/kernel.hpp>
#include <cove/runtime/loop_counters.hpp>
#include <cove/runtime/pipe_pool.hpp>
#include <cove/runtime/wait_queue.hpp>
#include <cove/runtime/waiter.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace cove {

class signal_set;

namespace detail {
struct signal_tag;
}

class loop {
public:
    // Throws std::system_error when the kernel gives no epoll or event descriptor.
    explicit loop(kernel& os = kernel::current());
    ~loop();
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;

    // Returns the loop whose turn it is on this thread; there must be one.
    static loop& current() noexcept;

    // Makes a loop the one that runs on this thread for as long as the guard stands. Frames are to be run, and destroyed,
    // under one.
    class running_guard {
    public:
        explicit running_guard(loop& self) noexcept;
        running_guard(const running_guard&) = delete;
        running_guard& operator=(const running_guard&) = delete;
        ~running_guard();

    private:
        loop* outer_;
    };

    // Makes one turn: waits for something to do if there is nothing, and does what is ready. Returns how many items that was.
    // Throws deadlock_error when everything waits and nothing can ever wake it, and std::system_error when the kernel refuses
    // to wait.
    std::size_t turn();

    // A turn by its parts, for those who want to look on, or to interfere, between one coroutine and the next: takes the
    // snapshot, where nothing is left of the one before, and runs the first of what is left of it; false: nothing is left.
    void begin_turn() {
        detail::loop_tally& tally = inbox_->tally;
        tally.turns.add(1);
        if (ready_->empty() || (tally.resumes.read() >= check_at_ && poll_is_due())) poll();
        std::swap(ready_, snapshot_);
    }
    bool run_next() noexcept {
        runnable* item = snapshot_->pop_front();
        if (item == nullptr) return false;
        budget_ = budget_per_resume;
        inbox_->tally.resumes.add(1);
        item->run();
        return true;
    }

    // Puts an item at the back of the ready queue.
    void make_ready(runnable& item) noexcept { ready_->push_back(item); }

    // Takes one from the running coroutine's budget; false: it has had its share and should go to the back of the queue.
    bool spend_budget() noexcept {
        if (budget_ == 0) return false;
        --budget_;
        return true;
    }

    void set_timer(detail::timer& item, time_point deadline) noexcept { timers_.set(item, deadline); }
    time_point now() const noexcept { return os_.now(); }
    duration time_until(time_point wake) const noexcept;

    kernel& os() const noexcept { return os_; }
    detail::reactor& reactor() noexcept { return reactor_; }
    detail::inbox& inbox() noexcept { return *inbox_; }
    cancel_scope& root_scope() noexcept { return root_scope_; }

    // Woken whenever a descriptor is closed on this thread: for those who wait for the process to have one to spare.
    wait_queue& descriptor_closed() noexcept { return descriptor_closed_; }

    // Pipes, kept for who passes bytes on.
    pipe_pool& pipes() noexcept { return pipes_; }

    // Registers a receiver of signals; see signals.hpp. Throws std::system_error for a signal that cannot be caught.
    void add(signal_set& receiver);
    void remove(signal_set& receiver) noexcept;

    // How long the loop looks for events again and again before it goes to sleep: see run_options::busy_poll.
    void set_busy_poll(duration limit) noexcept { busy_poll_ = limit; }

    // Returns what the loop has done so far. From other threads: loop_handle::counters().
    loop_counters counters() const noexcept { return inbox_->tally.read(); }

private:
    // After one read from a connection that never runs dry, 31 more; then the others. A second's worth of one connection's
    // data is thus cut into many turns, and a turn of a thousand connections stays in the milliseconds.
    static constexpr unsigned budget_per_resume = 32;

    // Coroutines that keep the ready queue full do not keep I/O and timers waiting for longer than so many resumes, and, where
    // those are but an instant, a few microseconds; nor for ever where time stands still, because it is simulated.
    static constexpr unsigned resumes_per_check = 64;
    static constexpr duration poll_interval = std::chrono::microseconds(10);
    static constexpr unsigned resumes_per_poll = 1024;

    bool poll_is_due() noexcept;
    void poll();
    int wait(duration timeout) noexcept;
    void deliver_signals() noexcept;
    bool can_be_woken() noexcept;
    [[noreturn]] void throw_deadlock();

    kernel& os_;
    detail::intrusive_list<runnable, detail::ready_tag> queues_[2];
    detail::intrusive_list<runnable, detail::ready_tag>* ready_ = &queues_[0];     // what becomes ready stands here,
    detail::intrusive_list<runnable, detail::ready_tag>* snapshot_ = &queues_[1];  // and here what this turn runs
    unsigned budget_ = 0;
    // How many resumes there have been when, under constant work, a poll may be due, and when it is; and when it last was.
    std::uint64_t check_at_ = resumes_per_check;
    std::uint64_t poll_at_ = resumes_per_poll;
    time_point polled_at_;
    duration busy_poll_ = duration::zero();
    bool was_busy_ = false;  // the last wait was a short one
    detail::timer_wheel timers_;
    detail::inbox_owner inbox_;
    detail::reactor reactor_;
    wait_queue descriptor_closed_;
    pipe_pool pipes_;
    detail::intrusive_list<signal_set, detail::signal_tag> signal_sets_;
    cancel_scope root_scope_;
};

// Thrown by run() when every coroutine waits and neither a timer, a descriptor, a signal nor another thread can ever
// wake one. what() lists what waits for what.
class deadlock_error : public std::system_error {
public:
    explicit deadlock_error(const std::string& stacks);
    const char* what() const noexcept override { return text_.c_str(); }

private:
    std::string text_;
};

}  // namespace cove
