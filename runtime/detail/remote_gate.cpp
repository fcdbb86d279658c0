#include <cove/runtime/detail/remote_gate.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>

#include <utility>

namespace cove::detail {

remote_port::remote_port(remote_gate& gate, inbox& home) noexcept : gate_(gate), home_(home) {
    home_.hold();
    home_.add_poster();
}

remote_port::~remote_port() {
    home_.remove_poster();
    home_.let_go();
}

// The message has arrived.
void remote_port::run() noexcept {
    remote_object& owner = gate_.owner_;
    {
        const monitor::lock guard(owner.guarded);
        sent = false;
        const bool all = std::exchange(calls_all, false);
        remote_operation* next = waiting.front();
        while (next != nullptr && next->runnable::linked()) next = waiting.next(*next);
        if (next == nullptr) gate_.notify_one();
        for (; next != nullptr; next = waiting.next(*next)) {
            next->wake();
            if (all) continue;
            if (waiting.next(*next) != nullptr) gate_.add_hungry(*this);
            break;
        }
    }
    owner.let_go();
}

// The loop has ended, and with it all who waited on it.
void remote_port::drop() noexcept {
    remote_object& owner = gate_.owner_;
    {
        const monitor::lock guard(owner.guarded);
        gate_.notify_one();
        delete this;
    }
    owner.let_go();
}

remote_gate::~remote_gate() {
    while (remote_port* port = ports_.pop_front()) delete port;
}

// Called on the loop's thread, without the lock. Throws std::bad_alloc.
remote_port& remote_gate::port_of(inbox& home) {
    const monitor::lock guard(owner_.guarded);
    for (remote_port* port = ports_.front(); port != nullptr; port = ports_.next(*port))
        if (&port->home() == &home) return *port;
    // A new loop: those that have ended leave nothing behind here.
    for (remote_port* port = ports_.front(); port != nullptr;) {
        remote_port* after = ports_.next(*port);
        if (!port->sent && port->home().is_closed()) delete port;
        port = after;
    }
    remote_port& made = *new remote_port(*this, home);
    ports_.push_back(made);
    return made;
}

// Where there is an order, it is the turn of the first of its loop; who has been called calls the next one.
bool remote_gate::may_try(const remote_port& port, const remote_operation& operation) const noexcept {
    return !in_order_ || port.waiting.empty() || port.waiting.front() == &operation;
}

void remote_gate::add_hungry(remote_port& port) noexcept {
    if (!port.sent && !port.list_node<hungry_tag>::linked()) hungry_.push_back(port);
}

// Returns false, and the port is gone, where its loop has ended.
bool remote_gate::send(remote_port& port) noexcept {
    port.sent = true;
    owner_.hold();
    if (port.home().push(port)) return true;
    delete &port;
    owner_.let_go();  // not the last: the caller holds it too
    return false;
}

void remote_gate::notify_one() noexcept {
    if (blocked_ > 0) threads_.wake_one();
    while (remote_port* port = hungry_.pop_front())
        if (send(*port)) return;
}

void remote_gate::notify_all() noexcept {
    threads_.wake_all();
    for (remote_port* port = ports_.front(); port != nullptr;) {
        remote_port* after = ports_.next(*port);
        port->calls_all = true;
        port->list_node<hungry_tag>::unlink();
        if (!port->sent) send(*port);
        port = after;
    }
}

bool remote_operation::start(promise_base& frame) {
    if (!may_wait(frame)) return false;
    loop& home = frame.scope->own_loop();
    const bool has_share = home.spend_budget();
    remote_port& port = gate_->port_of(home.inbox());
    {
        const monitor::lock guard(object_->guarded);
        if (has_share && gate_->may_try(port, *this) && try_locked()) return false;
        if (has_share) gate_->add_hungry(port);
    }
    port_ = &port;
    port.waiting.push_back(*this);
    suspend(frame);
    if (!has_share) wake();
    return true;
}

bool remote_operation::attempt() noexcept {
    {
        const monitor::lock guard(object_->guarded);
        if (!gate_->may_try(*port_, *this) || !try_locked()) {
            gate_->add_hungry(*port_);  // somebody else was faster, or has waited for longer
            return false;
        }
        if (more_locked()) gate_->notify_one();
    }
    list_node<queue_tag>::unlink();
    port_ = nullptr;
    return true;
}

void remote_operation::leave() noexcept {
    list_node<queue_tag>::unlink();
    const monitor::lock guard(object_->guarded);
    remote_port& left = *std::exchange(port_, nullptr);
    if (left.waiting.empty()) left.list_node<hungry_tag>::unlink();
    if (runnable::linked()) gate_->notify_one();
}

bool remote_operation::withdraw() noexcept {
    leave();
    return true;
}

}  // namespace cove::detail
