// What run() does, by its turns.

#pragma once

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/task_group.hpp>

#include <cstddef>
#include <optional>

namespace cove {

// A run by its turns, for those who have several loops on one thread, as a simulation has: where run() has one.
// Concurrency: one thread, which may be inside no other loop's turn.
class stepped_run {
public:
    // Throws std::system_error when the kernel has no descriptors left.
    explicit stepped_run(kernel& os, bool stop_on_signals = true);
    stepped_run(const stepped_run&) = delete;
    stepped_run& operator=(const stepped_run&) = delete;
    ~stepped_run();

    // Begins the main task that make() returns; kernel::current() is the run's own meanwhile.
    template <class Make>
    void start(Make&& make) {
        const loop::running_guard guard(loop_);
        main_->spawn(make());
    }

    // Makes one turn of the loop, which throws what loop::turn() throws. Returns how many coroutines it has resumed.
    std::size_t turn();

    // Makes turns until the main task has ended.
    void turn_to_end();

    bool has_ended() const noexcept { return main_->size() == 0; }

    // Does what a signal does: cancels the main task, and watches for signals no more, so that the next one does what it did
    // before cove. May be called between two turns or by a function that was posted.
    void stop(const cancel_reason& why) noexcept;
    bool is_stopped() const noexcept { return stopped_; }

    // Throws what the main task has thrown. Returns whether a signal, or stop(), canceled it.
    bool finish();

    cove::loop& loop() noexcept { return loop_; }

private:
    cove::loop loop_;
    cancel_scope outside_;
    // Destroyed under the loop.
    std::optional<task_group> helpers_;
    std::optional<task_group> main_;
    bool stopped_ = false;
};

}  // namespace cove
