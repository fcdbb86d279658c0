// run_sharded(): a loop for each core, each on a thread of its own, which share nothing but what they post to one another.

#pragma once

#include <cove/runtime/detail/inbox.hpp>
#include <cove/runtime/loop_counters.hpp>
#include <cove/runtime/loop_handle.hpp>
#include <cove/runtime/task.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace cove {

class kernel;
class shard;

struct sharded_options {
    sharded_options() noexcept {}

    // Binds each thread to one processor of those that the process may run on, in turn. Threads that offload() starts are
    // not bound; those that a handler starts by itself inherit the bond.
    bool pin = false;
    // SIGINT and SIGTERM cancel the main task of every shard; a second one ends the process, as it would without cove.
    bool stop_on_signals = true;
    // What to run on, instead of Linux: for any thread to call. Must outlive the run.
    kernel* os = nullptr;
};

namespace detail {

class shard_group;

// The callable that each shard has a copy of.
class shard_body {
public:
    virtual ~shard_body() = default;
    virtual std::unique_ptr<shard_body> copy() const = 0;
    virtual task<> make_main(shard& self) = 0;
};

template <class Main>
class shard_body_of final : public shard_body {
public:
    explicit shard_body_of(Main main) : main_(std::move(main)) {}
    std::unique_ptr<shard_body> copy() const override { return std::make_unique<shard_body_of>(main_); }
    task<> make_main(shard& self) override { return main_(self); }

private:
    Main main_;
};

void run_shards(unsigned count, const shard_body& body, const sharded_options& options);

}  // namespace detail

// One of the loops of run_sharded(), as its main task, and whoever that tells of it, sees it.
// Concurrency: any thread. Lifetime: until run_sharded() returns.
class shard {
public:
    shard(const shard&) = delete;
    shard& operator=(const shard&) = delete;
    ~shard() = default;

    // Which one it is, of how many; 0 runs on the thread that called run_sharded().
    unsigned index() const noexcept { return index_; }
    unsigned count() const noexcept;

    // Runs function on the loop of a shard, which may be this one, as loop_handle::post() does: after what this thread has
    // posted there before. Functions must not throw.
    // Result: false when that shard has ended; the function is then destroyed at once, on this thread. One that ends before it
    // gets to a function destroys it unrun. Throws: std::bad_alloc.
    template <class Function>
    bool post(unsigned to, Function function) const {
        return detail::post(inbox_of(to), std::move(function));
    }

    // Returns a handle of a shard's loop, which may outlive it. As long as it exists that loop is never deadlocked.
    loop_handle handle(unsigned of) const noexcept { return loop_handle(inbox_of(of)); }

    // Returns what a shard's loop has done so far; without an index, the sum of all.
    loop_counters counters(unsigned of) const noexcept { return inbox_of(of).tally.read(); }
    loop_counters counters() const noexcept;

private:
    friend class detail::shard_group;

    shard(detail::shard_group& group, unsigned index) noexcept : group_(group), index_(index) {}
    detail::inbox& inbox_of(unsigned index) const noexcept;

    detail::shard_group& group_;
    const unsigned index_;
};

// Returns how many processors this process may run on, at least 1: not how many there are. See sched_getaffinity(2).
// Throws: std::system_error where a sandbox forbids to ask.
unsigned processors_allowed();

// Makes n loops, one on this thread and each of the others on a new one, runs main(shard&), a callable that returns a task<>,
// once on each of them, and returns 0 when all have ended. n = 0: as many as processors_allowed().
//
// Each shard has its own copy of the callable, which is called on the shard's thread once all loops exist, and kept alive
// until its task has ended. What the shards are to share is captured by reference, and is for several threads: atomics,
// remote_channel, remote_event. A shard whose task ends leaves the others running.
// SIGINT and SIGTERM cancel the main task of every shard (see sharded_options); a task that ends by that has ended in order.
// Throws: what the first task threw that failed; the others are canceled by that, and waited for, and what they throw then
// is dropped. `canceled` is a failure where it comes neither of a signal nor of another's failure. deadlock_error, where
// everything in a shard waits and nothing can ever wake it: as long as others run they can, so it comes when they have ended.
// std::system_error where a loop cannot be made, a thread not be started or not be pinned: no task has begun then.
// Concurrency: any thread that runs no loop. Not in a simulated world, which has one thread: start its hosts there.
// See `runtime/sharded.cpp`, and serve_evenly() for servers.
template <class Main>
int run_sharded(unsigned n, Main main, const sharded_options& options = sharded_options()) {
    static_assert(std::is_same_v<std::invoke_result_t<Main&, shard&>, task<>>,
                  "main takes a shard& and returns a task<>");
    static_assert(std::is_copy_constructible_v<Main>, "each shard has a copy of main: capture by reference");
    detail::run_shards(n, detail::shard_body_of<Main>(std::move(main)), options);
    return 0;
}

}  // namespace cove
