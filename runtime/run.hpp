// run(): from main() into the loop and back.

#pragma once

#include <cove/runtime/clock.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/task.hpp>

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace cove {

class kernel;

struct run_options {
    run_options() noexcept {}

    // SIGINT and SIGTERM cancel the main task; a second one ends the process, as it would without cove.
    bool stop_on_signals = true;
    // How long the loop goes on looking for events before it sleeps, while they come at shorter intervals than that: takes the
    // time of falling asleep and waking out of each answer, and a core's power meanwhile. An idle loop sleeps all the same.
    // 50 microseconds suit peers on the same machine or rack; zero never.
    duration busy_poll = duration::zero();
    // What to run on, instead of Linux. Must outlive the run.
    kernel* os = nullptr;
};

namespace detail {
// Holds the main task, so that its frame ends under its loop, and stores its result.
template <class T>
task<> store_result(task<T> main, std::optional<T>& into) {
    into.emplace(co_await main);
}
inline task<> store_result(task<> main, std::optional<std::monostate>& into) {
    co_await main;
    into.emplace();
}

// Runs a loop until body has ended; returns whether a signal canceled it.
bool run_main(task<> body, const run_options& options);
}  // namespace detail

// Makes a loop on this thread, runs the main task on it to its end, and returns the task's result; for a task without
// one the process's exit status, 0.
//
// SIGINT and SIGTERM cancel the main task (see run_options). A task<> that ends by that has ended in order: 0.
// Throws: what the task throws; deadlock_error when everything waits and nothing can ever wake it; `canceled` when a
// signal canceled a task that should have had a result; std::system_error when the kernel has no descriptors left.
// Concurrency: any thread, one loop each. Not from inside a coroutine: co_await the task there.
template <class T>
auto run(task<T> main, run_options options = run_options()) {
    std::optional<std::conditional_t<std::is_void_v<T>, std::monostate, T>> result;
    const bool stopped = detail::run_main(detail::store_result(std::move(main), result), options);
    if constexpr (std::is_void_v<T>) {
        if (!result && !stopped) throw canceled();
        return 0;
    } else {
        if (!result) throw canceled();
        return std::move(*result);
    }
}

}  // namespace cove
