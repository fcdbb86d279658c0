#include <cove/runtime/task_group.hpp>

#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>

#include <cxxabi.h>
#include <typeinfo>

namespace cove {

void detail::child::promise_type::unhandled_exception() const noexcept { group->child_failed(location); }

void detail::child::finish::await_suspend(std::coroutine_handle<promise_type> finished) const noexcept {
    finished.promise().group->child_ended(finished.promise());
}

task_group::~task_group() {
    if (children_.empty()) return;
    const detail::promise_base* running = detail::this_thread.current;
    while (running != nullptr && running->continuation != nullptr) running = running->continuation;
    const detail::destroying_guard guard;
    while (detail::child::promise_type* left = children_.pop_front()) {
        if (left == running) detail::misuse("a task_group was destroyed by one of its own tasks");
        left->handle.destroy();
    }
}

void task_group::start(detail::child::promise_type& added, std::source_location where) noexcept {
    added.group = this;
    added.scope = &scope_;
    added.location = where;
    children_.push_back(added);
    ++size_;
    scope_.own_loop().make_ready(added);
}

// Called inside the handler of what the child, spawned there, threw.
void task_group::child_failed(std::source_location where) noexcept {
    const std::type_info* thrown = abi::__cxa_current_exception_type();  // null for what is not C++'s
    if (scope_.is_canceled() && thrown != nullptr && *thrown == typeid(canceled)) {
        child_was_canceled_ = true;
        return;
    }
    if (!error_) error_ = std::current_exception();
    scope_.cancel("the failure of a task spawned", where);
}

void task_group::child_ended(detail::child::promise_type& ended) noexcept {
    ended.detail::list_node<detail::child_tag>::unlink();
    ended.handle.destroy();
    if (--size_ == 0 && joining_ != nullptr) std::exchange(joining_, nullptr)->finish();
}

task_group::join_operation task_group::join() noexcept { return join_operation(*this); }

bool task_group::join_operation::start(detail::promise_base& frame) noexcept {
    if (group_->joining_ != nullptr) detail::misuse("a task_group can be joined by one coroutine at a time");
    around_ = frame.scope;
    if (group_->size_ == 0) return false;
    if (!group_->scope_.is_canceled() && !may_wait(frame)) return false;
    group_->joining_ = this;
    suspend(frame);
    return true;
}

bool task_group::join_operation::withdraw() noexcept {
    if (group_->scope_.is_canceled()) return false;
    leave();
    return true;
}

void task_group::join_operation::await_resume() const {
    throw_if_canceled();
    group_->rethrow_failure();
    if (group_->child_was_canceled_ && around_->is_canceled()) throw canceled(around_->reason());
}

std::string task_group::join_operation::describe() const {
    return "join of " + std::to_string(group_->size_) + (group_->size_ == 1 ? " task" : " tasks");
}

}  // namespace cove
