// The simulated kernel's epoll, eventfd, signals and threads, and the end of a process.

#include <cove/net/sim/kernel.hpp>

#include <cove/net/sim/detail/call_guard.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace cove::sim {
namespace {

using namespace std::chrono_literals;

constexpr duration event_delay_max = 10ms;

// So long a call of offload() takes, with the wait for a thread.
constexpr duration deferred_call_max = 10ms;

std::uint64_t signal_bit(int signo) noexcept { return std::uint64_t{1} << (signo - 1); }

}  // namespace

int kernel::create_poller() noexcept {
    const detail::call_guard guard(all_, machine_, call::create_poller);
    if (guard.error() != 0) return -guard.error();
    if (!has_room()) return -EMFILE;
    const auto made = std::make_shared<detail::poller>(static_cast<detail::poller_host&>(*this));
    pollers_.push_back(made.get());
    return install(made);
}

int kernel::control(int poller, registration what, int fd, readiness_event event) noexcept {
    const detail::call_guard guard(all_, machine_, call::control);
    int error = 0;
    const auto watched = find<detail::file>(fd, error);
    if (watched == nullptr) return error;
    const auto into = find<detail::poller>(poller, error);
    if (into == nullptr) return error;
    if (into.get() == watched.get()) return -EINVAL;
    if (guard.error() != 0) return -guard.error();
    switch (what) {
        case registration::add:
            if (strikes(fault::no_memory)) return -ENOMEM;
            return into->add(*watched, fd, event);
        case registration::modify: return into->modify(*watched, fd, event);
        case registration::remove: return into->remove(*watched, fd);
    }
    return -EINVAL;
}

int kernel::wait(int poller, readiness_event* events, int events_max, duration timeout) noexcept {
    const detail::call_guard guard(all_, machine_, call::wait);
    int error = 0;
    const auto asked = find<detail::poller>(poller, error);
    if (asked == nullptr) return error;
    if (events_max <= 0) return -EINVAL;
    if (guard.error() != 0) return -guard.error();
    if (strikes(fault::interrupted)) return -EINTR;
    int count = asked->take(events, events_max);
    if (count < events_max && strikes(fault::spurious_event))
        count += asked->take_spurious(all_.choices.next(), events + count);
    if (count > 0 || timeout == duration::zero()) return count;
    const time_point end =
        timeout < duration::zero() ? time_point::max() : add_clamped(all_.now, clock_.to_world(timeout));
    if (is_stepped_) {
        sleeps_until_ = end;
        return 0;
    }
    while (count == 0 && all_.agenda.next() <= end && !all_.agenda.empty()) {
        all_.step();
        count = asked->take(events, events_max);
    }
    if (count > 0) return count;
    if (end == time_point::max()) return -EDEADLK;  // nothing will ever happen again
    all_.now = std::max(all_.now, end);
    return 0;
}

int kernel::create_event() noexcept {
    const detail::call_guard guard(all_, machine_, call::create_event);
    if (guard.error() != 0) return -guard.error();
    if (!has_room()) return -EMFILE;
    return install(std::make_shared<detail::event_counter>());
}

int kernel::signal_event(int fd) noexcept {
    const detail::allocation_guard guard(all_);
    int error = 0;
    const auto counter = find<detail::event_counter>(fd, error);
    if (counter == nullptr) return error;
    counter->signal();
    return 0;
}

int kernel::subscribe(int signo, signal_mailbox& mailbox) noexcept {
    const detail::call_guard guard(all_, machine_, call::subscribe);
    constexpr int sigkill = 9, sigstop = 19, signals_max = 64;
    if (signo < 1 || signo > signals_max || signo == sigkill || signo == sigstop) return -EINVAL;
    if (guard.error() != 0) return -guard.error();
    mailboxes_.emplace_back(signo, &mailbox);
    mailbox.wanted.fetch_or(signal_bit(signo));
    return 0;
}

void kernel::unsubscribe(int signo, signal_mailbox& mailbox) noexcept {
    std::erase(mailboxes_, std::pair(signo, &mailbox));
    mailbox.wanted.fetch_and(~signal_bit(signo));
    mailbox.pending.fetch_and(~signal_bit(signo));
}

bool kernel::raise(int signo) {
    bool anybody = false;
    for (const auto& [subscribed, mailbox] : mailboxes_) {
        if (subscribed != signo) continue;
        anybody = true;
        mailbox->pending.fetch_or(signal_bit(signo));
        signal_event(mailbox->event_fd);
    }
    return anybody;
}

int kernel::processors(int* numbers, int numbers_max) noexcept {
    if (numbers_max > 0) numbers[0] = 0;
    return std::min(numbers_max, 1);
}

bool kernel::defer(void (*call)(void* context, bool make) noexcept, void* context) noexcept {
    struct made_or_dropped {
        made_or_dropped(void (*to_call)(void*, bool) noexcept, void* with) noexcept : call(to_call), context(with) {}
        made_or_dropped(made_or_dropped&& other) noexcept
            : call(std::exchange(other.call, nullptr)), context(other.context) {}
        ~made_or_dropped() {
            if (call != nullptr) call(context, false);
        }
        void operator()() { std::exchange(call, nullptr)(context, true); }
        void (*call)(void*, bool) noexcept;
        void* context;
    };
    const detail::allocation_guard guard(all_);
    all_.after(all_.choices.between(1us, deferred_call_max), made_or_dropped(call, context));
    return true;
}

void kernel::begin_step(sleeper& to_wake) noexcept {
    sleeper_ = &to_wake;
    is_stepped_ = true;
    sleeps_until_ = all_.now;
}

void kernel::has_events() {
    if (sleeper_ != nullptr) sleeper_->wake();
}

bool kernel::has_ready_events() const noexcept {
    return std::any_of(pollers_.begin(), pollers_.end(), [](const detail::poller* each) { return each->has_ready(); });
}

bool kernel::delays(detail::poller& from, int fd) {
    if (!strikes(fault::delayed_event)) return false;
    all_.after(all_.choices.between(1us, event_delay_max), [weak = from.weak_from_this(), fd] {
        if (const auto still_there = weak.lock()) still_there->deliver(fd);
    });
    return true;
}

int kernel::close_all() noexcept {
    int open = 0;
    for (std::size_t fd = 0; fd < files_.size(); ++fd)
        if (files_[fd] != nullptr && close(static_cast<int>(fd)) <= 0) ++open;
    mailboxes_.clear();
    return open;
}

void kernel::lose_power() noexcept {
    tcp_.lose_power();
    for (const auto& each : files_)
        if (each != nullptr) each->forget_interests();
    files_.clear();
    pollers_.clear();
    open_ = 0;
    mailboxes_.clear();
}

std::string kernel::describe_open() const {
    std::string open;
    for (std::size_t fd = 0; fd < files_.size(); ++fd) {
        if (files_[fd] == nullptr) continue;
        open += " fd " + std::to_string(fd);
        if (const auto* socket = dynamic_cast<const detail::tcp_socket*>(files_[fd].get()))
            open += " (" + to_string(socket->local()) + " - " + to_string(socket->remote()) + ')';
    }
    return open;
}

}  // namespace cove::sim
