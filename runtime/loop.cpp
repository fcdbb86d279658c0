#include <cove/runtime/loop.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/signals.hpp>
#include <cove/runtime/text.hpp>

#include <utility>

namespace cove {
[[gnu::cold]] loop::loop(kernel& os)
    : os_(os),
      inbox_(os),
      reactor_(*this, inbox_->signals.event_fd),
      descriptor_closed_("a descriptor to spare"),
      pipes_(os) {
    root_scope_.enter_as_root(*this);
}

[[gnu::cold]] loop::~loop() { inbox_->close(); }

loop& loop::current() noexcept {
    loop* running = detail::this_thread.running;
    if (running == nullptr) detail::misuse("this needs a running loop: call it from a coroutine that run() runs");
    return *running;
}

loop::running_guard::running_guard(loop& self) noexcept : outer_(std::exchange(detail::this_thread.running, &self)) {}
loop::running_guard::~running_guard() { detail::this_thread.running = outer_; }

[[gnu::hot]] std::size_t loop::turn() {
    begin_turn();
    std::size_t resumed = 0;
    while (run_next()) ++resumed;
    return resumed;
}

bool loop::poll_is_due() noexcept {
    const std::uint64_t resumes = inbox_->tally.resumes.read();
    const time_point present = now();
    if (resumes < poll_at_ && present - polled_at_ < poll_interval) {
        check_at_ = resumes + resumes_per_check;
        return false;
    }
    polled_at_ = present;
    return true;
}

[[gnu::hot]] void loop::poll() {
    duration timeout = duration::zero();
    if (ready_->empty()) {
        const time_point wake = timers_.next_wake();
        if (wake != time_point::max())
            timeout = time_until(wake);
        else if (reactor_.waiting > 0 || can_be_woken())
            timeout = duration(-1);
        else
            throw_deadlock();
    }
    const int polled =
        busy_poll_ > duration::zero() && timeout != duration::zero() ? wait(timeout) : reactor_.poll(timeout);
    if (polled < 0) detail::throw_error(detail::to_error_code(polled), "epoll_wait", {});
    detail::loop_tally& tally = inbox_->tally;
    check_at_ = tally.resumes.read() + resumes_per_check;
    poll_at_ = tally.resumes.read() + resumes_per_poll;
    tally.polls.add(1);
    tally.events.add(static_cast<unsigned>(polled));
    tally.registrations.set(reactor_.registrations);
    if (!inbox_->empty()) tally.posts.add(inbox_->run_all());
    if (inbox_->signals.pending.load(std::memory_order_acquire) != 0) deliver_signals();
    if (!timers_.empty()) tally.timers.add(timers_.expire(now()));
}

// Looks for events without sleeping for a while, if the last wait ended soon: being put to sleep and woken takes the kernel
// longer than many a peer takes to answer. So a loop that is idle looks in vain once, and then sleeps.
int loop::wait(duration timeout) noexcept {
    const time_point start = now();
    duration waited = duration::zero();
    while (was_busy_ && waited < busy_poll_) {
        const int found = reactor_.poll(duration::zero());
        if (found != 0) return found;
        waited = now() - start;
        if (timeout > duration::zero() && waited >= timeout) return 0;
    }
    const int polled = reactor_.poll(timeout < duration::zero() ? timeout : timeout - waited);
    was_busy_ = now() - start < busy_poll_;
    return polled;
}

// Zero for what is past, however long ago.
duration loop::time_until(time_point wake) const noexcept {
    const time_point present = now();
    return wake > present ? wake - present : duration::zero();
}

// By something else than a descriptor.
bool loop::can_be_woken() noexcept {
    if (!timers_.empty()) return true;                           // one may be set for ever
    if (inbox_->has_posters() || !inbox_->empty()) return true;  // in this order: the last poster may just have posted
    for (signal_set* set = signal_sets_.front(); set != nullptr; set = signal_sets_.next(*set))
        if (set->keeps_awake()) return true;
    return false;
}

void loop::throw_deadlock() { throw deadlock_error(async_stacks(root_scope_)); }

[[gnu::cold]] deadlock_error::deadlock_error(const std::string& stacks)
    : std::system_error(errc::deadlock), text_(text({"run: ", code().message(), ":\n", stacks})) {}

time_point now() noexcept { return kernel::current().now(); }

kernel& kernel::current() noexcept {
    const loop* running = detail::this_thread.running;
    return running != nullptr ? running->os() : linux_kernel();
}

}  // namespace cove
