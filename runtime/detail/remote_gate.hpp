// Waiting, on many loops and plain threads, for one condition of an object that they share.
//
// The object's state is behind its monitor. Each loop that has coroutines waiting keeps a port: their list, touched by
// the loop's thread only, and one message that can be on its way to the loop's inbox. Whoever makes the condition true
// sends one hungry port's message; the port wakes its first coroutine, which looks at the state itself, under the lock,
// when its turn comes. Who was called and leaves without taking anything, or leaves something behind, calls the next
// one. So whenever the condition holds and somebody waits, somebody has been called: no wake-up is lost.

#pragma once

#include <cove/runtime/detail/inbox.hpp>
#include <cove/runtime/detail/intrusive_list.hpp>
#include <cove/runtime/detail/monitor.hpp>
#include <cove/runtime/waiter.hpp>

#include <atomic>
#include <coroutine>
#include <cstddef>

namespace cove::detail {

class remote_gate;
class remote_operation;
struct queue_tag;
struct hungry_tag;
struct port_tag;

// What is shared: the monitor, and how many handles and messages keep it alive.
class remote_object {
public:
    void hold() noexcept { holders_.fetch_add(1, std::memory_order_relaxed); }
    void let_go() noexcept {
        if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    monitor guarded;

protected:
    remote_object() noexcept = default;
    virtual ~remote_object() = default;

private:
    std::atomic<long> holders_{1};
};

// Those of one loop who wait at a gate.
class remote_port final : public posted, public list_node<hungry_tag>, public list_node<port_tag> {
public:
    remote_port(remote_gate& gate, inbox& home) noexcept;
    ~remote_port();

    inbox& home() const noexcept { return home_; }

    // The loop's thread only.
    intrusive_list<remote_operation, queue_tag> waiting;

    // Under the lock: whether the message is on its way, and whether it calls all who wait.
    bool sent = false;
    bool calls_all = false;

private:
    void run() noexcept override;
    void drop() noexcept override;

    remote_gate& gate_;
    inbox& home_;
};

class remote_gate {
public:
    // in_order: whether the coroutines of a loop go on in the order in which they came.
    remote_gate(remote_object& owner, bool in_order) noexcept : owner_(owner), in_order_(in_order) {}
    remote_gate(const remote_gate&) = delete;
    remote_gate& operator=(const remote_gate&) = delete;
    ~remote_gate();

    // With the lock held: calls one who waits; all of them.
    void notify_one() noexcept;
    void notify_all() noexcept;

    // With the lock held: blocks this thread until holds() is true.
    template <class Condition>
    void block_until(Condition holds) noexcept {
        ++blocked_;
        while (!holds()) threads_.wait(owner_.guarded);
        --blocked_;
    }

private:
    friend class remote_operation;
    friend class remote_port;

    remote_port& port_of(inbox& home);
    bool may_try(const remote_port& port, const remote_operation& operation) const noexcept;
    void add_hungry(remote_port& port) noexcept;
    bool send(remote_port& port) noexcept;

    remote_object& owner_;
    intrusive_list<remote_port, hungry_tag> hungry_;  // with coroutines that have not been called; message not sent
    intrusive_list<remote_port, port_tag> ports_;
    monitor::condition threads_;
    std::size_t blocked_ = 0;
    const bool in_order_;
};

// A coroutine's wait at a gate.
class remote_operation : public waiter, public list_node<queue_tag> {
public:
    bool await_ready() const noexcept { return false; }
    template <cove_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) {
        return start(awaiting.promise());
    }

protected:
    remote_operation(remote_object& object, remote_gate& gate) noexcept : object_(&object), gate_(&gate) {}
    remote_operation(const remote_operation& other) noexcept
        : waiter(other), list_node<queue_tag>(other), object_(other.object_), gate_(other.gate_) {}
    ~remote_operation() {
        if (port_ != nullptr) leave();
    }

private:
    // With the lock held: does what is waited for, if it can be done. And returns whether another one could do it too.
    virtual bool try_locked() noexcept = 0;
    virtual bool more_locked() const noexcept = 0;

    bool start(promise_base& frame);
    void leave() noexcept;
    bool attempt() noexcept final;
    bool withdraw() noexcept final;

    remote_object* object_;
    remote_gate* gate_;
    remote_port* port_ = nullptr;  // while it waits
};

}  // namespace cove::detail
