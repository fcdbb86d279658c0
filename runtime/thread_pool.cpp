#include <cove/runtime/thread_pool.hpp>

#include <cove/runtime/kernel.hpp>

#include <signal.h>
#include <cerrno>

namespace cove {

void detail::job::work() noexcept {
    call();
    made_.store(true, std::memory_order_release);
    made_.notify_all();
    if (!home->push(*this)) drop();
}

bool detail::job::defer_to(kernel& os) noexcept {
    const auto call = [](void* self, bool make) noexcept {
        job& deferred = *static_cast<job*>(self);
        if (deferred.take_back()) make ? deferred.work() : static_cast<posted&>(deferred).drop();
        deferred.let_go();
    };
    hold();
    is_deferred_ = os.defer(call, this);
    if (!is_deferred_) let_go();
    return is_deferred_;
}

thread_pool& thread_pool::shared() {
    static thread_pool& pool = *new thread_pool;
    return pool;
}

thread_pool::~thread_pool() {
    const detail::monitor::lock guard(monitor_);
    stopping_ = true;
    while (detail::job* unbegun = queue_.pop_front()) unbegun->drop();
    work_.wake_all();
    while (threads_ > 0) ended_.wait(monitor_);
}

void thread_pool::set_options(const thread_pool_options& options) noexcept {
    const detail::monitor::lock guard(monitor_);
    options_ = options;
}

std::size_t thread_pool::threads() noexcept {
    const detail::monitor::lock guard(monitor_);
    return threads_;
}

int thread_pool::add(detail::job& added) noexcept {
    if (added.defer_to(kernel::current())) return 0;
    {
        const detail::monitor::lock guard(monitor_);
        const bool needs_thread = idle_ <= queued_;
        const bool has_thread = !needs_thread || (threads_ < options_.threads_max && start_thread()) || threads_ > 0;
        if (!has_thread || (queued_ >= idle_ && queued_ - idle_ >= options_.queue_max)) return -EAGAIN;
        queue_.push_back(added);
        ++queued_;
    }
    work_.wake_one();  // without the lock, which the woken thread takes first of all
    return 0;
}

bool thread_pool::remove(detail::job& queued) noexcept {
    if (queued.take_back()) return true;
    const detail::monitor::lock guard(monitor_);
    if (!queued.list_node<detail::job_tag>::linked()) return false;
    queued.list_node<detail::job_tag>::unlink();
    --queued_;
    return true;
}

// Counts as idle from the start: what was queued for it is there for it.
bool thread_pool::start_thread() noexcept {
    const auto body = [](void* self) -> void* {
        static_cast<thread_pool*>(self)->run_thread();
        return nullptr;
    };
    ::pthread_attr_t detached;
    ::pthread_attr_init(&detached);
    ::pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    // Signals are for the threads that run loops, except what a call does itself: blocked, it would end the process
    // past all handlers.
    ::sigset_t others, before;
    ::sigfillset(&others);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) ::sigdelset(&others, fault);
    ::pthread_sigmask(SIG_SETMASK, &others, &before);
    ::pthread_t thread;
    // A thread may run where the one that starts it may: for a pool that is everywhere, whichever loop is pinned.
    const int pinned_to = linux_kernel().unpin();
    const bool started = ::pthread_create(&thread, &detached, body, this) == 0;
    // It succeeded before, and only a processor that was taken away makes it fail now: then the loop runs anywhere.
    if (pinned_to >= 0) linux_kernel().pin(pinned_to);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::pthread_attr_destroy(&detached);
    if (started) {
        ++threads_;
        ++idle_;
    }
    return started;
}

void thread_pool::run_thread() noexcept {
    const detail::monitor::lock guard(monitor_);
    for (;;) {
        bool waited_enough = false;
        const time_point until = add_clamped(linux_kernel().now(), options_.idle);
        while (queue_.empty() && !stopping_ && !waited_enough) waited_enough = !work_.wait_until(monitor_, until);
        detail::job* next = queue_.pop_front();
        --idle_;
        if (next == nullptr) break;
        --queued_;
        {
            const detail::monitor::unlock without(monitor_);
            next->work();
        }
        ++idle_;
    }
    --threads_;
    ended_.wake_all();
}

}  // namespace cove
