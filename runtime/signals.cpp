#include <cove/runtime/signals.hpp>

#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/text.hpp>

#include <bit>
#include <cerrno>

namespace cove {

signal_set::signal_set(std::initializer_list<int> signals) : loop_(loop::current()) {
    for (const int signo : signals) {
        if (signo < 1 || signo > 64)
            detail::throw_error(detail::to_error_code(-EINVAL), "signal_set", text({"signal ", signo}));
        mask_ |= std::uint64_t{1} << (signo - 1);
    }
    loop_.add(*this);
}

signal_set::~signal_set() { loop_.remove(*this); }

void signal_set::deliver(std::uint64_t arrived) noexcept {
    pending_ |= arrived & mask_;
    if (pending_ != 0 && waiting_ != nullptr) waiting_->finish();
}

signal_set::operation signal_set::next() noexcept { return operation(*this); }

bool signal_set::operation::start(detail::promise_base& frame) noexcept {
    busy_ = set_->waiting_ != nullptr;
    if (busy_ || !may_wait(frame) || set_->pending_ != 0) return false;
    set_->waiting_ = this;
    suspend(frame);
    return true;
}

bool signal_set::operation::withdraw() noexcept {
    if (set_->waiting_ == this) set_->waiting_ = nullptr;
    return true;
}

int signal_set::operation::await_resume() {
    throw_if_canceled();
    if (busy_) throw std::system_error(errc::busy, "signal_set::next");
    withdraw();
    const int bit = std::countr_zero(set_->pending_);
    set_->pending_ &= set_->pending_ - 1;
    return bit + 1;
}

// The loop subscribes to each signal once for all of its receivers.
void loop::add(signal_set& receiver) {
    const std::uint64_t wanted = receiver.mask_ & ~inbox_->signals.wanted.load();
    signal_sets_.push_back(receiver);
    for (std::uint64_t left = wanted; left != 0; left &= left - 1) {
        const int signo = std::countr_zero(left) + 1;
        const int subscribed = os_.subscribe(signo, inbox_->signals);
        if (subscribed >= 0) continue;
        remove(receiver);
        detail::throw_error(detail::to_error_code(subscribed), "signal_set", text({"signal ", signo}));
    }
}

void loop::remove(signal_set& receiver) noexcept {
    receiver.unlink();
    std::uint64_t unwanted = inbox_->signals.wanted.load();
    for (signal_set* other = signal_sets_.front(); other != nullptr; other = signal_sets_.next(*other))
        unwanted &= ~other->mask_;
    for (; unwanted != 0; unwanted &= unwanted - 1) os_.unsubscribe(std::countr_zero(unwanted) + 1, inbox_->signals);
}

void loop::deliver_signals() noexcept {
    const std::uint64_t arrived = inbox_->signals.pending.exchange(0);
    for (signal_set* receiver = signal_sets_.front(); receiver != nullptr; receiver = signal_sets_.next(*receiver))
        receiver->deliver(arrived);
}

}  // namespace cove
