// Several loops at once, each on a thread of its own, beside plain threads. What hangs there fails by a timeout.

#pragma once

#include <cove/runtime/run.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/timeout.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace test {

// By what the long runs are divided: ThreadSanitizer makes them some ten times slower.
#if defined(__SANITIZE_THREAD__)
inline constexpr int scale = 10;
#elif defined(__has_feature)
inline constexpr int scale = __has_feature(thread_sanitizer) ? 10 : 1;
#else
inline constexpr int scale = 1;
#endif

inline cove::task<> bounded(cove::task<> body) { co_await cove::timeout(std::chrono::seconds(60), std::move(body)); }

// Runs a task on Linux and by the real clock, for as long as a test may take at most.
inline void run_real(cove::task<> body) {
    cove::run_options options;
    options.stop_on_signals = false;
    cove::run(bounded(std::move(body)), options);
}

// Threads that are joined at the latest when this ends; join() throws what the first of them threw.
class threads {
public:
    threads() = default;
    threads(const threads&) = delete;
    threads& operator=(const threads&) = delete;
    ~threads() { wait(); }

    template <class Function>
    void start(Function function) {
        started_.emplace_back([this, function = std::move(function)]() mutable {
            try {
                function();
            } catch (...) {
                const std::lock_guard guard(mutex_);
                if (!failure_) failure_ = std::current_exception();
            }
        });
    }

    // The same for what a callable that returns a task does on a loop.
    template <class Body>
    void start_loop(Body body) {
        start([body = std::move(body)]() mutable { run_real(body()); });
    }

    void join() {
        wait();
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }

private:
    void wait() {
        for (std::thread& each : started_) each.join();
        started_.clear();
    }

    std::vector<std::thread> started_;
    std::mutex mutex_;
    std::exception_ptr failure_;
};

// A word that one thread opens and others block on.
class door {
public:
    void open() noexcept {
        open_.store(true);
        open_.notify_all();
    }
    void pass() const noexcept { open_.wait(false); }
    bool is_open() const noexcept { return open_.load(); }

private:
    std::atomic<bool> open_{false};
};

}  // namespace test
