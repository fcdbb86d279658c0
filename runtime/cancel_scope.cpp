#include <cove/runtime/cancel_scope.hpp>

#include <cove/runtime/loop.hpp>

#include <algorithm>

namespace cove {

void cancel_scope::enter(cancel_scope& parent, bool shielded) noexcept {
    if (parent_ != nullptr) detail::misuse("a cancel_scope can be entered by one operation at a time");
    parent_ = &parent;
    loop_ = parent.loop_;
    shielded_ = shielded;
    parent.children_.push_back(*this);
    canceled_ = cancel_called_ || (parent.canceled_ && !shielded);
    if (deadline_ != time_point::max()) loop_->set_timer(*this, deadline_);
}

void cancel_scope::leave() noexcept {
    timer::unlink();
    // What was made inside and lives on, a task_group that was returned, say, belongs to the scope around from now on.
    while (cancel_scope* child = children_.pop_front()) {
        child->parent_ = parent_;
        if (parent_ == nullptr) continue;
        parent_->children_.push_back(*child);
        if (parent_->canceled_ && !child->shielded_) child->cancel_from_outside();
    }
    list_node<detail::child_scope_tag>::unlink();
    parent_ = nullptr;
}

void cancel_scope::set_deadline(time_point deadline, const cancel_reason& reason) noexcept {
    deadline_ = deadline;
    if (!cancel_called_) reason_ = reason;
    timer::unlink();
    if (parent_ != nullptr && deadline != time_point::max()) loop_->set_timer(*this, deadline);
}

void cancel_scope::expire() noexcept { cancel(reason_); }

void cancel_scope::cancel(const cancel_reason& reason) noexcept {
    if (!cancel_called_) reason_ = reason;
    cancel_called_ = true;
    cancel_from_outside();
}

const cancel_reason& cancel_scope::reason() const noexcept {
    const cancel_scope* outermost = this;
    while (!outermost->shielded_ && outermost->parent_ != nullptr && outermost->parent_->canceled_)
        outermost = outermost->parent_;
    return outermost->reason_;
}

time_point cancel_scope::effective_deadline() const noexcept {
    if (canceled_) return time_point::min();
    time_point earliest = deadline_;
    for (const cancel_scope* scope = this; !scope->shielded_ && scope->parent_ != nullptr;) {
        scope = scope->parent_;
        earliest = std::min(earliest, scope->deadline_);
    }
    return earliest;
}

void cancel_scope::cancel_from_outside() noexcept {
    if (canceled_) return;
    // First all the scopes, then what waits in them: a join() looks whether the scope of its group is canceled as well.
    for_each_reached([](cancel_scope& scope) { scope.canceled_ = true; });
    for_each_reached([](cancel_scope& scope) {
        for (waiter* w = scope.waiters_.front(); w != nullptr; w = scope.waiters_.next(*w)) w->cancel();
    });
}

template <class Visit>
void cancel_scope::for_each_reached(Visit visit) noexcept {
    for (const cancel_scope* scope = this; scope != nullptr;) {
        const bool reached = scope == this || !scope->shielded_;
        if (reached) visit(const_cast<cancel_scope&>(*scope));
        scope = scope->next_below(*this, reached);
    }
}

cancel_scope& current_scope() noexcept {
    const detail::promise_base* running = detail::this_thread.current;
    if (running == nullptr)
        detail::misuse("this inherits the cancel scope of the running coroutine, and none is running");
    return *running->scope;
}

// The next scope in pre-order below top; a walk by links, because a tree may be deeper than the stack.
const cancel_scope* cancel_scope::next_below(const cancel_scope& top, bool descend) const noexcept {
    if (descend)
        if (const cancel_scope* child = children_.front()) return child;
    const cancel_scope* scope = this;
    while (scope != &top) {
        if (const cancel_scope* sibling = scope->parent_->children_.next(*const_cast<cancel_scope*>(scope)))
            return sibling;
        scope = scope->parent_;
    }
    return nullptr;
}

}  // namespace cove
