#include <cove/runtime/remote_event.hpp>

namespace cove {

struct remote_event::shared final : detail::remote_object {
    detail::remote_gate gate{*this, false};
    bool is_set = false;
    std::uint64_t sets = 0;  // how often it was set: what a wait sees of a flag that was reset again
};

remote_event::remote_event() : shared_(new shared) {}
remote_event::remote_event(const remote_event& other) noexcept : shared_(other.shared_) { shared_->hold(); }
remote_event::~remote_event() {
    if (shared_ != nullptr) shared_->let_go();
}

void remote_event::set() noexcept {
    const detail::monitor::lock guard(shared_->guarded);
    shared_->is_set = true;
    ++shared_->sets;
    shared_->gate.notify_all();
}

void remote_event::reset() noexcept {
    const detail::monitor::lock guard(shared_->guarded);
    shared_->is_set = false;
}

bool remote_event::is_set() const noexcept {
    const detail::monitor::lock guard(shared_->guarded);
    return shared_->is_set;
}

void remote_event::wait_blocking() noexcept {
    const detail::monitor::lock guard(shared_->guarded);
    const std::uint64_t before = shared_->sets;
    shared_->gate.block_until([&] { return shared_->is_set || shared_->sets != before; });
}

remote_event::operation remote_event::wait() noexcept { return operation(*shared_); }

remote_event::operation::operation(shared& waited_for) noexcept
    : remote_operation(waited_for, waited_for.gate), shared_(&waited_for) {
    const detail::monitor::lock guard(shared_->guarded);
    sets_before_ = shared_->sets;
}

bool remote_event::operation::try_locked() noexcept {
    if (!shared_->is_set && shared_->sets == sets_before_) return false;
    sets_before_ = shared_->sets;  // for one that is awaited again
    return true;
}

}  // namespace cove
