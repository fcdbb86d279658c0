// What the operations of the synchronisation primitives have in common: try at once; otherwise stand in the primitive's
// list, in order, until whoever changes its state ends the wait.
//
// An Operation derives from queued_operation<Operation> and has:
//   bool try_now() noexcept   does what is waited for, if it can be done at once, ahead of nobody who waits
//   void enter() noexcept     puts the operation at the end of its list
// A coroutine that has spent its budget lets the others go first, but keeps its place: the operation takes what it wants,
// or enters the list, at once, and only the coroutine goes on later. Where what was taken could get lost meanwhile,
// Operation hides take_or_enter().

#pragma once

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/detail/intrusive_list.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/waiter.hpp>

#include <coroutine>

namespace cove::detail {

struct queue_tag;

template <class Operation>
class queued_operation : public waiter, protected list_node<queue_tag> {
public:
    bool await_ready() const noexcept { return false; }

    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        promise_base& frame = awaiting.promise();
        if (!may_wait(frame)) return false;
        const bool has_share = frame.scope->own_loop().spend_budget();
        if (has_share && self().try_now()) return false;
        suspend(frame);
        if (has_share)
            self().enter();
        else
            self().take_or_enter();
        return true;
    }

protected:
    friend class intrusive_list<Operation, queue_tag>;

    queued_operation() noexcept = default;
    queued_operation(const queued_operation&) noexcept = default;
    ~queued_operation() = default;

    bool in_list() const noexcept { return list_node<queue_tag>::linked(); }
    void leave_list() noexcept { list_node<queue_tag>::unlink(); }

    void take_or_enter() noexcept {
        if (self().try_now())
            finish();
        else
            self().enter();
    }
    bool withdraw() noexcept override {
        leave_list();
        return true;
    }

private:
    Operation& self() noexcept { return static_cast<Operation&>(*this); }
};

}  // namespace cove::detail
