// A shard's life: it makes its loop and its main task, waits until all have done so, turns until its task has ended, and
// tells the others of its end only where it failed or a signal stopped it.

#include <cove/runtime/sharded.hpp>

#include <cove/runtime/detail/execution.hpp>
#include <cove/runtime/detail/monitor.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/kernel.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/stepped_run.hpp>

#include <atomic>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace cove {
namespace {

std::vector<int> allowed_processors(kernel& os) {
    constexpr int processors_max = 8192;
    std::vector<int> numbers(processors_max);
    const int count = os.processors(numbers.data(), processors_max);
    if (count < 0) detail::throw_error(detail::to_error_code(count), "sched_getaffinity", {});
    numbers.resize(static_cast<std::size_t>(count));
    return numbers;
}

// Binds this thread to a processor for as long as it stands.
class pinned {
public:
    pinned(kernel& os, int processor) : os_(os) {
        const int answer = os.pin(processor);
        if (answer < 0)
            detail::throw_error(detail::to_error_code(answer), "sched_setaffinity", "to " + std::to_string(processor));
    }
    pinned(const pinned&) = delete;
    pinned& operator=(const pinned&) = delete;
    ~pinned() { os_.unpin(); }

private:
    kernel& os_;
};

// Keeps the callable alive until its task has ended.
task<> run_body(std::unique_ptr<detail::shard_body> body, shard& self, bool& ended) {
    auto made = body->make_main(self);
    co_await made;
    ended = true;
}

// Threads that are joined with its end.
struct joined_threads {
    std::vector<std::thread> started;
    ~joined_threads() {
        for (std::thread& each : started) each.join();
    }
};

}  // namespace

unsigned processors_allowed() { return static_cast<unsigned>(allowed_processors(kernel::current()).size()); }

namespace detail {

class shard_group {
public:
    shard_group(unsigned count, const shard_body& body, const sharded_options& options);
    shard_group(const shard_group&) = delete;
    shard_group& operator=(const shard_group&) = delete;
    ~shard_group();

    void run();

    unsigned count() const noexcept { return count_; }
    inbox& inbox_of(unsigned index) const noexcept { return *members_[index].home; }

private:
    // Tells a shard, once, that it is to stop. There beforehand, so that it cannot fail.
    struct stop_message final : posted {
        stepped_run* told = nullptr;
        cancel_reason why;
        void run() noexcept override { told->stop(why); }
        void drop() noexcept override {}
    };
    struct member {
        member(shard_group& group, unsigned index) noexcept : self(group, index) {}
        shard self;
        inbox* home = nullptr;  // held until the group ends
        stop_message stop;
    };

    void start_thread(joined_threads& others, unsigned index);
    void run_member(unsigned index) noexcept;
    void turn_to_the_end(stepped_run& here, unsigned index);
    bool arrive(stepped_run& here, unsigned index) noexcept;
    void leave(unsigned index) noexcept;
    void fail(unsigned index) noexcept;
    void stop_others(unsigned index, const cancel_reason& why) noexcept;

    kernel& os_;
    const shard_body& body_;
    const bool stop_on_signals_;
    std::vector<int> processors_;  // none: the threads are not bound
    unsigned count_;
    std::deque<member> members_;
    std::atomic<bool> stopping_{false};

    // Behind the monitor.
    monitor monitor_;
    monitor::condition changed_;
    unsigned arrived_ = 0;
    std::exception_ptr failure_;
};

shard_group::shard_group(unsigned count, const shard_body& body, const sharded_options& options)
    : os_(options.os != nullptr ? *options.os : kernel::current()),
      body_(body),
      stop_on_signals_(options.stop_on_signals),
      count_(count) {
    if (options.pin || count == 0) processors_ = allowed_processors(os_);
    if (count == 0) count_ = static_cast<unsigned>(processors_.size());
    if (!options.pin) processors_.clear();
    for (unsigned i = 0; i < count_; ++i) members_.emplace_back(*this, i);
}

shard_group::~shard_group() {
    for (const member& each : members_)
        if (each.home != nullptr) each.home->let_go();
}

void shard_group::run() {
    {
        joined_threads others;
        others.started.reserve(count_);
        for (unsigned i = 1; i < count_; ++i) start_thread(others, i);
        run_member(0);
    }
    if (failure_) std::rethrow_exception(failure_);
}

void shard_group::start_thread(joined_threads& others, unsigned index) {
    try {
        others.started.emplace_back([this, index] { run_member(index); });
    } catch (...) {
        fail(index);
    }
}

void shard_group::run_member(unsigned index) noexcept {
    bool arrived = false;
    try {
        std::optional<pinned> here_only;
        if (!processors_.empty()) here_only.emplace(os_, processors_[index % processors_.size()]);
        bool ended = false;
        stepped_run here(os_, stop_on_signals_);
        here.start([&] {
            const monitor::lock one_copies(monitor_);
            return run_body(body_.copy(), members_[index].self, ended);
        });
        arrived = arrive(here, index);
        if (arrived) {
            turn_to_the_end(here, index);
            if (!here.finish() && !ended) throw canceled(here.loop().root_scope().reason());
        }
    } catch (...) {
        fail(index);
    }
    if (arrived) leave(index);
}

void shard_group::turn_to_the_end(stepped_run& here, unsigned index) {
    while (!here.has_ended()) {
        here.turn();
        if (here.is_stopped()) stop_others(index, here.loop().root_scope().reason());
    }
}

// Waits until every shard has its loop; returns false where one has failed to make it. From then on each shard counts, until
// it has ended, as one that can wake the others.
bool shard_group::arrive(stepped_run& here, unsigned index) noexcept {
    const monitor::lock guard(monitor_);
    member& own = members_[index];
    own.home = &here.loop().inbox();
    own.home->hold();
    own.stop.told = &here;
    if (++arrived_ == count_) {
        for (const member& each : members_)
            for (unsigned i = 1; i < count_; ++i) each.home->add_poster();
        changed_.wake_all();
    }
    while (arrived_ < count_ && !failure_) changed_.wait(monitor_);
    return arrived_ == count_;
}

void shard_group::leave(unsigned index) noexcept {
    for (unsigned i = 0; i < count_; ++i)
        if (i != index) members_[i].home->remove_poster();
}

// Called inside a handler. Before all have arrived those that have are woken by it; after that they are told to stop.
void shard_group::fail(unsigned index) noexcept {
    bool all_arrived = false;
    {
        const monitor::lock guard(monitor_);
        if (!failure_) failure_ = std::current_exception();
        all_arrived = arrived_ == count_;
        changed_.wake_all();
    }
    if (all_arrived) stop_others(index, {"the failure of another shard", duration::zero(), {}});
}

void shard_group::stop_others(unsigned index, const cancel_reason& why) noexcept {
    if (stopping_.load(std::memory_order_relaxed) || stopping_.exchange(true)) return;
    for (unsigned i = 0; i < count_; ++i) {
        if (i == index) continue;
        members_[i].stop.why = why;
        members_[i].home->push(members_[i].stop);  // refused by one that has ended
    }
}

void run_shards(unsigned count, const shard_body& body, const sharded_options& options) {
    if (this_thread.running != nullptr) misuse("run_sharded() was called inside a running loop");
    shard_group(count, body, options).run();
}

}  // namespace detail

unsigned shard::count() const noexcept { return group_.count(); }

loop_counters shard::counters() const noexcept {
    loop_counters sum;
    for (unsigned i = 0; i < count(); ++i) sum += counters(i);
    return sum;
}

detail::inbox& shard::inbox_of(unsigned index) const noexcept {
    if (index >= count()) detail::misuse("there is no shard of this index");
    return group_.inbox_of(index);
}

}  // namespace cove
