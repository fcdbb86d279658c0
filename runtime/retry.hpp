// retry: tries again what failed, after longer and longer pauses.

#pragma once

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/clock.hpp>
#include <cove/runtime/sleep.hpp>
#include <cove/runtime/task.hpp>

#include <chrono>
#include <exception>
#include <system_error>
#include <utility>

namespace cove {

struct retry_options {
    retry_options() noexcept {}

    unsigned attempts_max = 5;
    // The pause after the first attempt, how much longer each is than the one before, and the longest.
    duration first_pause = std::chrono::milliseconds(100);
    double factor = 2;
    duration pause_max = std::chrono::seconds(30);
    // Which part of each pause is drawn by chance, so that many who failed together do not come back together:
    // 0 none, 1 all of it.
    double jitter = 0.5;
    // Which errors are worth another attempt; all of them where this is null.
    bool (*retriable)(std::error_code error) = nullptr;
};

// Returns the pause after the attempt with this number, counted from 1.
duration pause_after(unsigned attempt, const retry_options& options);

// Awaits what make() returns, a task, say, and makes and awaits it again where it throws a std::system_error.
// Result: that of the attempt that succeeds. Throws: what the last attempt throws; at once what is not a
// std::system_error, or not retriable. Cancellation: ends the attempt or the pause, and no other follows.
// timeout(limit, retry(...)) limits the whole, retry([] { return timeout(limit, ...); }) each attempt.
template <class Make>
auto retry(Make make, retry_options options = retry_options())
    -> task<decltype(std::declval<decltype(make())&>().await_resume())> {
    for (unsigned attempt = 1;; ++attempt) {
        try {
            auto made = make();
            co_return co_await made;
        } catch (const std::system_error& error) {
            if (attempt >= options.attempts_max) throw;
            if (options.retriable != nullptr && !options.retriable(error.code())) throw;
        }
        co_await sleep_for(pause_after(attempt, options));
    }
}

}  // namespace cove
