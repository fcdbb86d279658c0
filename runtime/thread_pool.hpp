// thread_pool: threads for calls that block, so that a loop never does. asyncio's run_in_executor, Tokio's spawn_blocking.

#pragma once

#include <cove/runtime/clock.hpp>
#include <cove/runtime/detail/inbox.hpp>
#include <cove/runtime/detail/intrusive_list.hpp>
#include <cove/runtime/detail/monitor.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <utility>

namespace cove {

struct thread_pool_options {
    thread_pool_options() noexcept {}

    std::size_t threads_max = 16;
    // How many calls wait for a thread at most; a further one is refused.
    std::size_t queue_max = 1024;
    // A thread that has had nothing to do for so long ends.
    duration idle = std::chrono::seconds(10);
};

namespace detail {

struct job_tag;

// A call on its way to a thread and back to its loop. It belongs to both the operation that waits for it and the pool,
// and ends with the last of them.
class job : public posted, public list_node<job_tag> {
public:
    void hold() noexcept { holders_.fetch_add(1, std::memory_order_relaxed); }
    void let_go() noexcept {
        if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    // A thread of the pool: makes the call, and sends the job back to its loop.
    void work() noexcept;

    // Any thread: blocks until the call has been made.
    void wait_until_made() const noexcept { made_.wait(false, std::memory_order_acquire); }

    // The loop's thread: leaves the call to a kernel that makes such calls itself, and takes it back while it is unbegun.
    bool defer_to(kernel& os) noexcept;
    bool take_back() noexcept { return std::exchange(is_deferred_, false); }

    inbox* home = nullptr;  // of the loop that waits, held

protected:
    job() noexcept = default;
    virtual ~job() = default;

private:
    virtual void call() noexcept = 0;

    std::atomic<long> holders_{1};
    std::atomic<bool> made_{false};
    bool is_deferred_ = false;
};

}  // namespace detail

// Threads that start when there is work and end when there is none. offload() has one for the whole process.
// Concurrency: any thread. Lifetime: must outlive the operations on it; its destructor waits for the calls that run.
class thread_pool {
public:
    explicit thread_pool(const thread_pool_options& options = thread_pool_options()) noexcept : options_(options) {}
    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;
    ~thread_pool();

    // The one that offload() uses. It is never destroyed: a call that nobody waits for any more may outlive main().
    // Throws: std::bad_alloc, in the first call only.
    static thread_pool& shared();

    // Replaces the options, for calls to come.
    void set_options(const thread_pool_options& options) noexcept;

    // How many threads there are now.
    std::size_t threads() noexcept;

    // For operations: queues a job; returns 0, or -EAGAIN when the queue is full or no thread can be started.
    int add(detail::job& added) noexcept;
    // Takes a job out of the queue again; false: a thread has it already.
    bool remove(detail::job& queued) noexcept;

private:
    bool start_thread() noexcept;
    void run_thread() noexcept;

    thread_pool_options options_;
    detail::monitor monitor_;
    detail::monitor::condition work_;
    detail::monitor::condition ended_;
    detail::intrusive_list<detail::job, detail::job_tag> queue_;
    std::size_t queued_ = 0;
    std::size_t threads_ = 0;
    std::size_t idle_ = 0;
    bool stopping_ = false;
};

}  // namespace cove
