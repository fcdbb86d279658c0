// Where other threads and signal handlers reach a loop. It outlives the loop for as long as somebody holds a handle, so
// that a late post finds it closed instead of gone; its event descriptor, and the kernel, it needs no longer than the loop.

#pragma once

#include <cove/runtime/kernel.hpp>
#include <cove/runtime/loop_counters.hpp>

#include <atomic>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace cove::detail {

// A function on its way to another thread's loop. run() and drop() both destroy it.
class posted {
public:
    virtual void run() noexcept = 0;
    virtual void drop() noexcept = 0;

protected:
    ~posted() = default;

private:
    friend class inbox;
    posted* next_ = nullptr;
};

class inbox {
public:
    // Makes one with one holder, the loop. Throws std::system_error when there is no event descriptor to wake it by.
    static inbox& create(kernel& os);

    // Counts those who keep it in memory; it deletes itself with the last.
    void hold() noexcept { holders_.fetch_add(1, std::memory_order_relaxed); }
    void let_go() noexcept;

    // Counts those, among the holders, who can still post. When none is left the loop is woken, if it may be asleep, to see
    // whether anything can wake it from now on.
    void add_poster() noexcept { posters_.fetch_add(1, std::memory_order_relaxed); }
    void remove_poster() noexcept;
    bool has_posters() const noexcept { return posters_.load(std::memory_order_acquire) > 0; }

    // Any thread: queues item and wakes the loop. Returns false, taking nothing, once the loop has ended. Where it returns
    // true the item may be gone, and what held the inbox with it.
    bool push(posted& item) noexcept;

    // The loop's thread: runs all that has been pushed, in order. Returns how many.
    std::size_t run_all() noexcept;

    // Any thread: whether the loop has ended.
    bool is_closed() const noexcept;

    bool empty() const noexcept { return last_.load(std::memory_order_acquire) == nullptr; }

    // The loop's thread: takes no more, waits for those who are just entering, and drops what has not run. Again: nothing.
    void close() noexcept;

    // Written by the loop's thread, read by any: here, because that may be later than the loop's end.
    loop_tally tally;

    // signals.event_fd is the event descriptor that wakes the loop.
    signal_mailbox signals;

private:
    // Stands while a thread may use the event descriptor; its end is the last touch of the inbox.
    class entry {
    public:
        explicit entry(inbox& entered) noexcept : entered_(entered) { entered_.entering_.fetch_add(1); }
        entry(const entry&) = delete;
        entry& operator=(const entry&) = delete;
        ~entry() { entered_.entering_.fetch_sub(1); }

    private:
        inbox& entered_;
    };

    inbox(kernel& os, int event_fd) noexcept;
    ~inbox() = default;

    posted* take_all(posted* leave_behind) noexcept;

    // Pushed items form a stack, which the loop takes whole and turns round. Whoever pushes onto an empty one wakes the
    // loop, and the loop empties it in every turn before it sleeps, so no wake-up is lost.
    std::atomic<posted*> last_{nullptr};
    std::atomic<long> entering_{0};
    std::atomic<long> holders_{1};
    std::atomic<long> posters_{0};
    kernel& os_;
};

// What loop_handle::post() does.
template <class Function>
bool post(inbox& to, Function function) {
    static_assert(std::is_invocable_v<Function&>, "post takes a function without arguments");
    struct item final : posted {
        explicit item(Function&& f) : call(std::move(f)) {}
        void run() noexcept override {
            call();
            delete this;
        }
        void drop() noexcept override { delete this; }
        Function call;
    };
    auto* added = new item(std::move(function));
    if (to.push(*added)) return true;
    added->drop();
    return false;
}

// The loop's own hold on its inbox.
class inbox_owner {
public:
    explicit inbox_owner(kernel& os) : inbox_(inbox::create(os)) {}
    inbox_owner(const inbox_owner&) = delete;
    inbox_owner& operator=(const inbox_owner&) = delete;
    ~inbox_owner() {
        inbox_.close();
        inbox_.let_go();
    }

    inbox& operator*() const noexcept { return inbox_; }
    inbox* operator->() const noexcept { return &inbox_; }

private:
    inbox& inbox_;
};

}  // namespace cove::detail
