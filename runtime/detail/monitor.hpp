// A mutex and conditions for threads: what several loops and threads share is behind one. pthread's own, because
// <mutex> and <condition_variable> are heavy to include.

#pragma once

#include <cove/runtime/clock.hpp>

#include <pthread.h>

namespace cove::detail {

class monitor {
public:
    monitor() noexcept = default;
    monitor(const monitor&) = delete;
    monitor& operator=(const monitor&) = delete;
    ~monitor() { ::pthread_mutex_destroy(&mutex_); }

    class lock {
    public:
        explicit lock(monitor& locked) noexcept : locked_(locked) { ::pthread_mutex_lock(&locked_.mutex_); }
        lock(const lock&) = delete;
        lock& operator=(const lock&) = delete;
        ~lock() { ::pthread_mutex_unlock(&locked_.mutex_); }

    private:
        monitor& locked_;
    };

    // The lock, let go of for a while.
    class unlock {
    public:
        explicit unlock(monitor& locked) noexcept : locked_(locked) { ::pthread_mutex_unlock(&locked_.mutex_); }
        unlock(const unlock&) = delete;
        unlock& operator=(const unlock&) = delete;
        ~unlock() { ::pthread_mutex_lock(&locked_.mutex_); }

    private:
        monitor& locked_;
    };

    // What threads wait for with the lock held, which they let go of meanwhile. Wake-ups may come for no reason.
    class condition {
    public:
        condition() noexcept;
        condition(const condition&) = delete;
        condition& operator=(const condition&) = delete;
        ~condition() { ::pthread_cond_destroy(&changed_); }

        void wait(monitor& locked) noexcept { ::pthread_cond_wait(&changed_, &locked.mutex_); }
        // Returns false at the deadline.
        bool wait_until(monitor& locked, time_point deadline) noexcept;
        void wake_one() noexcept { ::pthread_cond_signal(&changed_); }
        void wake_all() noexcept { ::pthread_cond_broadcast(&changed_); }

    private:
        ::pthread_cond_t changed_;
    };

private:
    ::pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

}  // namespace cove::detail
