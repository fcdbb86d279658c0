#include <cove/runtime/task_group.hpp>

#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/text.hpp>

#include <cxxabi.h>
#include <typeinfo>

namespace cove {

void detail::starter::run() noexcept {
    promise_base& first = frame_;
    first.spawned_at = place_of(where_);
    group_.running_.push_back(first);
    delete this;
    resume(first);
}

void task_group::prepare(detail::promise_base& added, std::source_location where) {
    auto* item = new detail::starter(*this, added, where);
    added.scope = this;
    starting_.push_back(*item);
    ++size_;
    own_loop().make_ready(*item);
}

task_group::~task_group() {
    if (size_ > 0) destroy_tasks();
}

[[gnu::cold]] void task_group::destroy_tasks() noexcept {
    const detail::promise_base* current = detail::this_thread.current;
    while (current != nullptr && current->awaited_by() != nullptr) current = current->awaited_by();
    const detail::destroying_guard guard;
    while (size_ > 0) {  // a frame's objects may spawn another one on their way out
        --size_;
        if (detail::promise_base* left = running_.pop_front()) {
            if (left == current) detail::misuse("a task_group was destroyed by one of its own tasks");
            left->handle().destroy();
        } else {
            detail::starter* unstarted = starting_.pop_front();
            // Neither running nor to be started: it has ended, and is being destroyed with what it holds, this group.
            if (unstarted == nullptr) detail::misuse("a task_group was destroyed by one of its own tasks");
            const std::coroutine_handle<> frame = unstarted->frame().handle();
            delete unstarted;
            frame.destroy();
        }
    }
}

void detail::fail_spawned(promise_base& frame) noexcept { static_cast<task_group*>(frame.scope)->task_failed(frame); }

void detail::end_spawned(promise_base& frame) noexcept {
    auto* group = static_cast<task_group*>(frame.scope);
    frame.unlink();
    frame.continuation = nullptr;  // out of the list it is taken for awaited, and what it holds may look for by whom
    frame.handle().destroy();
    --group->size_;
    group->task_ended();
    if (group->size_ == 0 && group->joining_ != nullptr) std::exchange(group->joining_, nullptr)->finish();
}

bool task_group::handles_canceled() noexcept {
    const std::type_info* thrown = abi::__cxa_current_exception_type();  // null for what is not C++'s
    return thrown != nullptr && *thrown == typeid(canceled);
}

// Called inside the handler of what the task threw.
void task_group::task_failed(const detail::promise_base& failed) noexcept {
    if (survives_failure()) return;
    if (is_canceled() && handles_canceled()) {
        task_was_canceled_ = true;
        return;
    }
    if (!error_) error_ = std::current_exception();
    cancel("the failure of a task spawned", detail::location_of(failed.spawned_at));
}

task_group::join_operation task_group::join() noexcept { return join_operation(*this); }

bool task_group::join_operation::start(detail::promise_base& frame) noexcept {
    if (group_->joining_ != nullptr) detail::misuse("a task_group can be joined by one coroutine at a time");
    around_ = frame.scope;
    if (group_->size_ == 0) return false;
    if (!group_->is_canceled() && !may_wait(frame)) return false;
    group_->joining_ = this;
    suspend(frame);
    return true;
}

bool task_group::join_operation::withdraw() noexcept {
    if (group_->is_canceled()) return false;
    leave();
    return true;
}

void task_group::join_operation::await_resume() const {
    throw_if_canceled();
    group_->rethrow_failure();
    if (group_->task_was_canceled_ && around_->is_canceled()) throw canceled(around_->reason());
}

std::string task_group::join_operation::describe() const {
    return text({"join of ", group_->size_, group_->size_ == 1 ? " task" : " tasks"});
}

}  // namespace cove
